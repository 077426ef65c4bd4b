//! Wire types of the set-up of authenticator apps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// The secret, for the app to keep.
#[derive(Clone, Serialize, JsonSchema)]
pub struct AuthenticatorTotpChallenge {
    /// Secret and settings as an `otpauth` address; apps read it from a QR code.
    pub config_url: String,
}

impl Challenge for AuthenticatorTotpChallenge {
    const COMPONENT: &'static str = "ak-stage-authenticator-totp";
}

/// The code that the app shows.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct AuthenticatorTotpResponse {
    /// The code.
    #[schemars(length(min = 1))]
    pub code: String,
}
