//! Wire types of the log-in stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// Asks whether to stay signed in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UserLoginChallenge {}

impl Challenge for UserLoginChallenge {
    const COMPONENT: &'static str = "ak-stage-user-login";
}

/// The choice.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct UserLoginResponse {
    /// Stay signed in.
    pub remember_me: bool,
}
