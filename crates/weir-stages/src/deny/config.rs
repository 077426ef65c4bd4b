//! Definition of the deny stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Resource, resource::UuidKeyed};

/// Refuses whoever arrives here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DenyStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What the person is told.
    #[serde(default)]
    pub deny_message: String,
}

impl UuidKeyed for DenyStage {}
impl Resource for DenyStage {
    const MODEL: &'static str = "authentik_stages_deny.denystage";
    const PATH: &'static str = "stages/deny";
    const SCHEMA: &'static str = "DenyStage";
    const VERBOSE: &'static str = "Deny Stage";
    const COMPONENT: &'static str = "ak-stage-deny-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
