//! Definition of the stage.

use super::WebAuthnDeviceType;
use crate::set_up::SetUp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Ref, Resource, resource::UuidKeyed};
use weir_webauthn::{Attachment, Hint, Requirement};

/// Sets up a security key or passkey.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticatorWebAuthnStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How people come to it.
    #[serde(flatten)]
    pub set_up: SetUp,
    /// Whether the authenticator must recognise its user, by finger or PIN.
    #[serde(default)]
    pub user_verification: Requirement,
    /// Only authenticators that are there: in the device with the browser, or apart from it. When not set it follows
    /// from the hints.
    #[serde(default)]
    pub authenticator_attachment: Option<Attachment>,
    /// Whether the credential must be found without its user's name, as passkeys are.
    #[serde(default)]
    pub resident_key_requirement: Requirement,
    /// Where browsers should look for an authenticator, best first.
    #[serde(default)]
    pub hints: Vec<Hint>,
    /// Only these models are taken; with none, all are. A model whose maker's certificates are known must prove that it
    /// is one.
    #[serde(default)]
    pub device_type_restrictions: Vec<Ref<WebAuthnDeviceType>>,
    /// How many refused answers end the flow; 0 for any number.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub max_attempts: i32,
}

impl UuidKeyed for AuthenticatorWebAuthnStage {}
impl Resource for AuthenticatorWebAuthnStage {
    const MODEL: &'static str = "authentik_stages_authenticator_webauthn.authenticatorwebauthnstage";
    const PATH: &'static str = "stages/authenticator/webauthn";
    const SCHEMA: &'static str = "AuthenticatorWebAuthnStage";
    const VERBOSE: &'static str = "WebAuthn Authenticator Setup Stage";
    const COMPONENT: &'static str = "ak-stage-authenticator-webauthn-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
