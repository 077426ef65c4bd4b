//! The definition of users.

mod filter;
mod hooks;
mod present;
mod temporary;

pub(crate) use filter::{any_of, flag, uuids, values as filter_values};
pub(crate) use hooks::added;
pub use hooks::{FORGET, UserHooks};
pub(crate) use present::{keys, pick};
pub use present::{partial, self_view};
pub(crate) use temporary::DELETE_ON_LOGOUT;
pub use temporary::delete_ended;

use crate::{Group, Role};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Backing, Link, Map, Ref, Resource, TableDef, types::RefTarget};

/// What an account is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserType {
    /// A person of the organisation.
    #[default]
    Internal,
    /// A person from outside, e.g. a customer.
    External,
    /// A program.
    ServiceAccount,
    /// An account that Weir keeps for an outpost.
    InternalServiceAccount,
}

/// A user.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The name to sign in with, unique.
    #[schemars(length(min = 1, max = 150))]
    pub username: String,
    /// The name shown to people.
    pub name: String,
    /// Whether the account may sign in. Switching it off ends its sessions; prefer it to deleting.
    #[serde(default = "yes")]
    pub is_active: bool,
    /// Last time signed in.
    #[serde(default)]
    pub last_login: Option<DateTime<Utc>>,
    /// Groups the user is a member of.
    #[serde(default)]
    pub groups: Vec<Ref<Group>>,
    /// Roles given to the user directly.
    #[serde(default)]
    pub roles: Vec<Ref<Role>>,
    /// E-mail address.
    #[serde(default)]
    #[schemars(length(max = 254), extend("format" = "email"))]
    pub email: String,
    /// Free attributes; policies and mappings can read them.
    #[serde(default)]
    pub attributes: Map,
    /// Place in the tree of users, parts separated by `/`.
    #[serde(default = "default_path")]
    #[schemars(length(min = 1))]
    pub path: String,
    /// What the account is for.
    #[serde(default, rename = "type")]
    pub kind: UserType,
    /// Stable identifier.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "format" = "uuid"))]
    pub uuid: Option<String>,
    /// When the account was made.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub date_joined: Option<DateTime<Utc>>,
    /// When the password was last set.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub password_change_date: Option<DateTime<Utc>>,
    /// When the account was last written.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub last_updated: Option<DateTime<Utc>>,
}

fn yes() -> bool {
    true
}

fn default_path() -> String {
    "users".to_owned()
}

impl RefTarget for User {
    const MODEL: &'static str = <Self as Resource>::MODEL;
    type Pk = i64;
}

const TABLE: TableDef = TableDef {
    table: "identity_user",
    pk: "id",
    pk_is_int: true,
    links: &[
        Link { field: "groups", table: "identity_membership", own: "user_id", other: "group_id", other_is_int: false },
        Link { field: "roles", table: "identity_user_role", own: "user_id", other: "role_id", other_is_int: false },
    ],
    only: "",
    search_index: "identity_user_search",
};

impl Resource for User {
    const MODEL: &'static str = "authentik_core.user";
    const PATH: &'static str = "core/users";
    const SCHEMA: &'static str = "User";
    const VERBOSE: &'static str = "User";
    const COMPONENT: &'static str = "ak-user-form";
    const PARAM: &'static str = "id";
    const SEARCH: &'static [&'static str] = &["username", "name", "email", "uuid", "attributes"];
    const ORDER: &'static str = "username";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["username"]];
    const PERMISSIONS: &'static [&'static str] =
        &["reset_user_password", "impersonate", "preview_user", "view_user_applications"];
    const BACKING: Backing = Backing::Table(&TABLE);
}
