//! Definition of the dummy stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Resource, resource::UuidKeyed};

/// Shows its name and takes any answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DummyStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Fail on purpose when shown.
    #[serde(default)]
    pub throw_error: bool,
}

impl UuidKeyed for DummyStage {}
impl Resource for DummyStage {
    const MODEL: &'static str = "authentik_stages_dummy.dummystage";
    const PATH: &'static str = "stages/dummy";
    const SCHEMA: &'static str = "DummyStage";
    const VERBOSE: &'static str = "Dummy Stage";
    const COMPONENT: &'static str = "ak-stage-dummy-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
