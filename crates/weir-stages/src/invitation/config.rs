//! Definition of the invitation stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Resource, resource::UuidKeyed};

/// Lets people in who were invited.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvitationStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Go on without an invitation too; otherwise the flow ends here.
    #[serde(default)]
    pub continue_flow_without_invitation: bool,
}

impl UuidKeyed for InvitationStage {}
impl Resource for InvitationStage {
    const MODEL: &'static str = "authentik_stages_invitation.invitationstage";
    const PATH: &'static str = "stages/invitation/stages";
    const SCHEMA: &'static str = "InvitationStage";
    const VERBOSE: &'static str = "Invitation Stage";
    const COMPONENT: &'static str = "ak-stage-invitation-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
