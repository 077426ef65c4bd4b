//! Definition of the redirect stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, FieldErrors, Ref, Resource, resource::UuidKeyed};
use weir_flow::Flow;

/// Kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RedirectMode {
    /// An address.
    Static,
    /// A flow.
    Flow,
}

fn yes() -> bool {
    true
}

/// Sends the browser to an address or into another flow.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RedirectStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The other flow starts with the context of this one.
    #[serde(default = "yes")]
    pub keep_context: bool,
    /// Kind of target.
    pub mode: RedirectMode,
    /// Address of a static target.
    #[serde(default)]
    pub target_static: String,
    /// Flow of a flow target.
    #[serde(default)]
    pub target_flow: Option<Ref<Flow>>,
}

impl UuidKeyed for RedirectStage {}
impl Resource for RedirectStage {
    const MODEL: &'static str = "authentik_stages_redirect.redirectstage";
    const PATH: &'static str = "stages/redirect";
    const SCHEMA: &'static str = "RedirectStage";
    const VERBOSE: &'static str = "Redirect Stage";
    const COMPONENT: &'static str = "ak-stage-redirect-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";

    fn check(&self) -> FieldErrors {
        match self.mode {
            RedirectMode::Static if self.target_static.is_empty() => {
                FieldErrors::general("Target URL should be present when mode is Static.")
            }
            RedirectMode::Flow if self.target_flow.is_none() => {
                FieldErrors::general("Target Flow should be present when mode is Flow.")
            }
            _ => FieldErrors::new(),
        }
    }
}
