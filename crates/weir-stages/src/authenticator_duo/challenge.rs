//! Wire types of the set-up of accounts at Duo.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// Asks to open the new account with Duo's app.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuthenticatorDuoChallenge {
    /// Address of a picture with the activation code.
    pub activation_barcode: String,
    /// Opens Duo's app on the same telephone.
    pub activation_code: String,
    /// Key of the stage, to ask whether the account was opened.
    pub stage_uuid: String,
}

impl Challenge for AuthenticatorDuoChallenge {
    const COMPONENT: &'static str = "ak-stage-authenticator-duo";
}

/// Says that it was opened; Duo is asked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct AuthenticatorDuoResponse {}
