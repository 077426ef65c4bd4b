//! Groups: members, parents, roles, attributes.

mod hooks;
mod present;

pub use hooks::GroupHooks;
pub use present::partial_many;

use crate::{Role, User, kind, role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{ApiError, Backing, Link, Map, Ref, Resource, TableDef, resource::UuidKeyed};
use weir_resource::{Unit, store};

/// A group of users.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Unique name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Members, and those of descendants, may do everything.
    #[serde(default)]
    pub is_superuser: bool,
    /// Groups whose rights and attributes the members get too.
    #[serde(default)]
    pub parents: Vec<Ref<Group>>,
    /// Direct members.
    #[serde(default)]
    pub users: Vec<Ref<User>>,
    /// Free attributes, merged into those of the members.
    #[serde(default)]
    pub attributes: Map,
    /// Roles of all members.
    #[serde(default)]
    pub roles: Vec<Ref<Role>>,
}

impl UuidKeyed for Group {}

const TABLE: TableDef = TableDef {
    table: "identity_group",
    pk: "id",
    pk_is_int: false,
    links: &[
        Link {
            field: "parents",
            table: "identity_group_parent",
            own: "group_id",
            other: "parent_id",
            other_is_int: false,
        },
        Link { field: "users", table: "identity_membership", own: "group_id", other: "user_id", other_is_int: true },
        Link { field: "roles", table: "identity_group_role", own: "group_id", other: "role_id", other_is_int: false },
    ],
    only: "",
    search_index: "",
};

impl Resource for Group {
    const MODEL: &'static str = "authentik_core.group";
    const PATH: &'static str = "core/groups";
    const SCHEMA: &'static str = "Group";
    const VERBOSE: &'static str = "Group";
    const COMPONENT: &'static str = "ak-group-form";
    const PARAM: &'static str = "group_uuid";
    const SEARCH: &'static [&'static str] = &["name"];
    const PERMISSIONS: &'static [&'static str] =
        &["add_user_to_group", "remove_user_from_group", "enable_group_superuser", "disable_group_superuser"];
    const BACKING: Backing = Backing::Table(&TABLE);
}

/// Puts a user into a group, or takes the user out, through the user's own write path: rights, audit.
///
/// # Errors
/// 404 when the group is gone; 400 when the user is, or when the actor may not give what membership confers.
pub async fn set_user(unit: &mut Unit<'_>, group_id: &str, user_id: i64, member: bool) -> Result<(), ApiError> {
    unit.tx.begin_write().await.map_err(store)?;
    unit.find(kind::<Group>(unit.site)?, group_id).await?.ok_or_else(ApiError::not_found)?;
    role::set_link(unit, "groups", group_id, user_id, member).await
}
