//! Wire types of the dummy stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// The stage's name.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DummyChallenge {
    /// Name of the stage.
    pub name: String,
}

impl Challenge for DummyChallenge {
    const COMPONENT: &'static str = "ak-stage-dummy";
    const WITH_USER: bool = false;
}

/// Anything.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct DummyResponse {}
