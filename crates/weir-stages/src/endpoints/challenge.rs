//! Wire types of the stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// A signed question to the agent on the device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EndpointAgentChallenge {
    /// What the agent's answer must repeat.
    pub challenge: String,
    /// Seconds after which the page goes on without an answer.
    pub challenge_idle_timeout: i64,
}

impl Challenge for EndpointAgentChallenge {
    const COMPONENT: &'static str = "ak-stage-endpoint-agent";
    const WITH_USER: bool = false;
}

/// What the agent says; nothing when there is none.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct EndpointAgentResponse {
    /// The agent's signed answer.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub response: Option<String>,
}
