//! Wire types of the password stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// Asks for the password.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PasswordChallenge {
    /// Where to go who forgot it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_url: Option<String>,
    /// Offer to show what is typed.
    pub allow_show_password: bool,
}

impl Challenge for PasswordChallenge {
    const COMPONENT: &'static str = "ak-stage-password";
}

/// The password, byte for byte.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct PasswordResponse {
    /// Not trimmed; the empty one is refused by the stage, because it counts as a try.
    pub password: String,
}
