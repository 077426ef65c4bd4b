//! Wire types of the stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::Map;
use weir_flow::Challenge;

/// Asks for a new credential.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuthenticatorWebAuthnChallenge {
    /// What the browser is told to make (`PublicKeyCredentialCreationOptionsJSON`).
    pub registration: Map,
}

impl Challenge for AuthenticatorWebAuthnChallenge {
    const COMPONENT: &'static str = "ak-stage-authenticator-webauthn";
}

/// What the browser made.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct AuthenticatorWebAuthnResponse {
    /// The credential (`RegistrationResponseJSON`).
    pub response: Map,
}
