//! Definition of the user write stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Ref, Resource, resource::UuidKeyed};
use weir_identity::Group;

/// When a user is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreationMode {
    /// Never.
    NeverCreate,
    /// When there is no pending user.
    #[default]
    CreateWhenRequired,
    /// Always.
    AlwaysCreate,
}

/// Type of created users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserType {
    Internal,
    #[default]
    External,
    ServiceAccount,
    InternalServiceAccount,
}

impl UserType {
    /// The type a new user gets: the internal service account cannot be made here.
    pub fn for_new_user(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
            Self::ServiceAccount | Self::InternalServiceAccount => "service_account",
        }
    }
}

/// Writes what prompts collected to a user.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserWriteStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// When a user is created.
    #[serde(default)]
    pub user_creation_mode: CreationMode,
    /// New users cannot sign in before they are activated.
    #[serde(default)]
    pub create_users_as_inactive: bool,
    /// Group of users written here.
    #[serde(default)]
    pub create_users_group: Option<Ref<Group>>,
    /// Type of new users.
    #[serde(default)]
    pub user_type: UserType,
    /// Path of new users; empty for the default.
    #[serde(default)]
    pub user_path_template: String,
}

impl UuidKeyed for UserWriteStage {}
impl Resource for UserWriteStage {
    const MODEL: &'static str = "authentik_stages_user_write.userwritestage";
    const PATH: &'static str = "stages/user_write";
    const SCHEMA: &'static str = "UserWriteStage";
    const VERBOSE: &'static str = "User Write Stage";
    const COMPONENT: &'static str = "ak-stage-user-write-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
