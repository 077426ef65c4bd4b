//! Definition of the log-out stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Resource, resource::UuidKeyed};

/// Ends the session.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserLogoutStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
}

impl UuidKeyed for UserLogoutStage {}
impl Resource for UserLogoutStage {
    const MODEL: &'static str = "authentik_stages_user_logout.userlogoutstage";
    const PATH: &'static str = "stages/user_logout";
    const SCHEMA: &'static str = "UserLogoutStage";
    const VERBOSE: &'static str = "User Logout Stage";
    const COMPONENT: &'static str = "ak-stage-user-logout-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
