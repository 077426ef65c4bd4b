//! What the connections of one kind of sources are called. A kind of sources gets both APIs of connections by telling
//! this.

use crate::oauth::OAuthSource;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;
use weir_core::{Operations, Secret, TableDef, types::RefTarget};
use weir_resource::AnySource;

/// Names of a kind of connections in the API.
pub struct Names {
    /// `app_label.model`.
    pub model: &'static str,
    /// Path of the collection.
    pub path: &'static str,
    /// OpenAPI component name.
    pub schema: &'static str,
    /// Human name.
    pub verbose: &'static str,
}

/// A kind of sources, or all of them together.
pub trait Connects: RefTarget<Pk = Uuid> + Send + Sync {
    /// What is kept of a user's connection besides who it is.
    type Kept: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static;
    /// Names of the connections of users.
    const USERS: Names;
    /// Names of the connections of groups.
    const GROUPS: Names;
    /// Condition on the rows of the kind; empty for all.
    const ONLY: &'static str;
    /// Which operations are served.
    const OPERATIONS: Operations = Operations::ALL;
}

/// Where connections are kept.
pub(super) const fn table(table: &'static str, only: &'static str) -> TableDef {
    TableDef { table, pk: "id", pk_is_int: true, links: &[], only, search_index: "" }
}

/// Nothing is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

impl Connects for AnySource {
    type Kept = Nothing;
    const USERS: Names = Names {
        model: "authentik_core.usersourceconnection",
        path: "sources/user_connections/all",
        schema: "UserSourceConnection",
        verbose: "User Source Connection",
    };
    const GROUPS: Names = Names {
        model: "authentik_core.groupsourceconnection",
        path: "sources/group_connections/all",
        schema: "GroupSourceConnection",
        verbose: "Group Source Connection",
    };
    const ONLY: &'static str = "";
    const OPERATIONS: Operations = Operations { create: false, update: true, destroy: true, used_by: true };
}

/// What an OAuth provider gave to act in the person's name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OAuthTokens {
    /// What the provider gave to act in the person's name.
    #[serde(default)]
    pub access_token: Option<Secret>,
    /// When that ends.
    #[serde(default)]
    // May be left out but not be null.
    #[schemars(with = "DateTime<Utc>")]
    pub expires: Option<DateTime<Utc>>,
}

impl Connects for OAuthSource {
    type Kept = OAuthTokens;
    const USERS: Names = Names {
        model: "authentik_sources_oauth.useroauthsourceconnection",
        path: "sources/user_connections/oauth",
        schema: "UserOAuthSourceConnection",
        verbose: "User OAuth Source Connection",
    };
    const GROUPS: Names = Names {
        model: "authentik_sources_oauth.groupoauthsourceconnection",
        path: "sources/group_connections/oauth",
        schema: "GroupOAuthSourceConnection",
        verbose: "Group OAuth Source Connection",
    };
    const ONLY: &'static str = "kind = 'oauth'";
}
