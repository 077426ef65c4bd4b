//! Wire types of the email stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// Says that a mail is on its way.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EmailChallenge {}

impl Challenge for EmailChallenge {
    const COMPONENT: &'static str = "ak-stage-email";
    const WITH_USER: bool = false;
}

/// Asks for another mail.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct EmailResponse {}
