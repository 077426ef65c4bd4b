//! Definition of the set-up of telephone numbers.

use crate::set_up::SetUp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, FieldErrors, Ref, Resource, Secret, resource::UuidKeyed};
use weir_policy::NotificationWebhookMapping;

use crate::remote::is_web_address;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Twilio.
    Twilio,
    /// Any service that takes JSON.
    Generic,
}

/// How a generic service knows us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthType {
    /// Name and password.
    #[default]
    Basic,
    /// A token.
    Bearer,
}

/// Sets a telephone number up as second factor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticatorSmsStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How people come to it.
    #[serde(flatten)]
    pub set_up: SetUp,
    /// Who sends.
    pub provider: Provider,
    /// Number or name that messages come from.
    #[schemars(length(min = 1))]
    pub from_number: String,
    /// Account at Twilio; for a generic service its address.
    #[schemars(length(min = 1))]
    pub account_sid: String,
    /// Twilio's authentication token; for a generic service the name or the token.
    #[schemars(length(min = 1))]
    pub auth: Secret,
    /// Password at a generic service.
    #[serde(default)]
    pub auth_password: Secret,
    /// How a generic service knows us.
    #[serde(default)]
    pub auth_type: AuthType,
    /// Only find out whether the person has the number: it is kept as hash and never asked for again.
    #[serde(default)]
    pub verify_only: bool,
    /// Says what is sent. For Twilio a dictionary with `message`, for a generic service the whole body. It sees `device`
    /// (with `phone_number`), `token` and `stage`.
    #[serde(default)]
    pub mapping: Option<Ref<NotificationWebhookMapping>>,
}

impl UuidKeyed for AuthenticatorSmsStage {}
impl Resource for AuthenticatorSmsStage {
    const MODEL: &'static str = "authentik_stages_authenticator_sms.authenticatorsmsstage";
    const PATH: &'static str = "stages/authenticator/sms";
    const SCHEMA: &'static str = "AuthenticatorSMSStage";
    const VERBOSE: &'static str = "SMS Authenticator Setup Stage";
    const COMPONENT: &'static str = "ak-stage-authenticator-sms-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";

    fn check(&self) -> FieldErrors {
        if self.provider == Provider::Generic && !is_web_address(&self.account_sid) {
            return FieldErrors::one("account_sid", "Enter an address that begins with https:// or http://.");
        }
        FieldErrors::new()
    }
}
