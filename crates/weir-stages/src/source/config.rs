//! Definition of the source stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{DurationText, Family, Ref, Resource, resource::UuidKeyed};
use weir_resource::AnySource;

/// Why a person of a source was matched with nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchFailure {
    /// The source did not tell the property by which it matches.
    MissingProperty,
}

impl MatchFailure {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingProperty => "missing_property",
        }
    }
}

fn ten_minutes() -> DurationText {
    DurationText("minutes=10".to_owned())
}

/// Has somebody sign in with a source before the flow goes on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SourceStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The source.
    pub source: Ref<AnySource>,
    /// How long a person may take until they are back.
    #[serde(default = "ten_minutes")]
    pub resume_timeout: DurationText,
    /// Failures of the matching after which the flow goes on all the same.
    #[serde(default)]
    pub resume_on_match_failures: Vec<MatchFailure>,
}

impl UuidKeyed for SourceStage {}
impl Resource for SourceStage {
    const MODEL: &'static str = "authentik_stages_source.sourcestage";
    const PATH: &'static str = "stages/source";
    const SCHEMA: &'static str = "SourceStage";
    const VERBOSE: &'static str = "Source Stage";
    const COMPONENT: &'static str = "ak-stage-source-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
