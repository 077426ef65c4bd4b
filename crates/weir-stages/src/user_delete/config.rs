//! Definition of the user delete stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Resource, resource::UuidKeyed};

/// Deletes the account the flow is about. There is no way back, so put a stage that asks in front of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserDeleteStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
}

impl UuidKeyed for UserDeleteStage {}
impl Resource for UserDeleteStage {
    const MODEL: &'static str = "authentik_stages_user_delete.userdeletestage";
    const PATH: &'static str = "stages/user_delete";
    const SCHEMA: &'static str = "UserDeleteStage";
    const VERBOSE: &'static str = "User Delete Stage";
    const COMPONENT: &'static str = "ak-stage-user-delete-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
