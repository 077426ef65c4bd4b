//! Definition of the consent stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{DurationText, Family, Resource, resource::UuidKeyed};

/// How long an answer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentMode {
    /// Asked every time.
    AlwaysRequire,
    /// Asked once.
    Permanent,
    /// Asked again after a while.
    #[default]
    Expiring,
}

fn four_weeks() -> DurationText {
    "weeks=4".into()
}

/// Asks whether an application may have what it wants.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsentStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How long an answer holds.
    #[serde(default)]
    pub mode: ConsentMode,
    /// Life of an expiring answer.
    #[serde(default = "four_weeks")]
    pub consent_expire_in: DurationText,
}

impl UuidKeyed for ConsentStage {}
impl Resource for ConsentStage {
    const MODEL: &'static str = "authentik_stages_consent.consentstage";
    const PATH: &'static str = "stages/consent";
    const SCHEMA: &'static str = "ConsentStage";
    const VERBOSE: &'static str = "Consent Stage";
    const COMPONENT: &'static str = "ak-stage-consent-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
