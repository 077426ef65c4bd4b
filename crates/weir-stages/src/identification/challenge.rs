//! Wire types of the identification stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_flow::{Challenge, Designation, sources::LoginSource};

/// Asks who somebody is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct IdentificationChallenge {
    /// What a person may identify by.
    pub user_fields: Vec<String>,
    /// Name to fill in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_user_identifier: Option<String>,
    /// The password is asked on the same page.
    pub password_fields: bool,
    /// Offer to show the password.
    pub allow_show_password: bool,
    /// Name of the application that is waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_pre: Option<String>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_pre_launch: Option<String>,
    /// What the flow is for.
    pub flow_designation: Designation,
    /// Captcha on the same page.
    pub captcha_stage: Option<Value>,
    /// Way to a new account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enroll_url: Option<String>,
    /// Way back in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_url: Option<String>,
    /// Way in without password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passwordless_url: Option<String>,
    /// Text of the button.
    pub primary_action: &'static str,
    /// Sources with their challenges.
    pub sources: Vec<LoginSource>,
    /// Sources show their names.
    pub show_source_labels: bool,
    /// Offer to fill in the name next time.
    pub enable_remember_me: bool,
    /// WebAuthn request options.
    pub passkey_challenge: Option<Value>,
}

impl Challenge for IdentificationChallenge {
    const COMPONENT: &'static str = "ak-stage-identification";
    const WITH_USER: bool = false;
}

/// Who somebody claims to be.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct IdentificationResponse {
    /// Name, address or principal name.
    #[serde(default)]
    pub uid_field: Option<String>,
    /// Password, when asked on the same page.
    #[serde(default)]
    pub password: Option<String>,
    /// Answer of the captcha.
    #[serde(default)]
    pub captcha_token: Option<String>,
    /// WebAuthn assertion.
    #[serde(default)]
    pub passkey: Option<serde_json::Map<String, Value>>,
}
