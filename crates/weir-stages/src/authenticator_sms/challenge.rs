//! Wire types of the set-up of telephone numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// Asks for a number, then for the code that was sent to it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuthenticatorSmsChallenge {
    /// No number is known yet.
    pub phone_number_required: bool,
}

impl Challenge for AuthenticatorSmsChallenge {
    const COMPONENT: &'static str = "ak-stage-authenticator-sms";
}

/// One or the other.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct AuthenticatorSmsResponse {
    /// The code that came.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub code: Option<String>,
    /// The number; a code is sent to it.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub phone_number: Option<String>,
}
