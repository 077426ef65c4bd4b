//! Definition of the authenticator validation stage.

use crate::authenticator_webauthn::WebAuthnDeviceType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{DurationText, Family, FieldErrors, Ref, Resource, resource::UuidKeyed};
use weir_flow::NotConfiguredAction;
use weir_identity::device::DeviceKind;
use weir_resource::AnyStage;
use weir_webauthn::{Hint, Requirement};

/// A class of second factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceClass {
    /// Codes on paper.
    Static,
    /// Authenticator apps.
    Totp,
    /// Security keys and passkeys.
    Webauthn,
    /// Duo.
    Duo,
    /// Codes by SMS.
    Sms,
    /// Codes by mail.
    Email,
}

impl DeviceClass {
    /// The devices of the class.
    pub fn kind(self) -> DeviceKind {
        match self {
            Self::Static => DeviceKind::Static,
            Self::Totp => DeviceKind::Totp,
            Self::Webauthn => DeviceKind::WebAuthn,
            Self::Duo => DeviceKind::Duo,
            Self::Sms => DeviceKind::Sms,
            Self::Email => DeviceKind::Email,
        }
    }

    /// The contract's word.
    pub fn word(self) -> &'static str {
        self.kind().word()
    }
}

fn all_classes() -> Vec<DeviceClass> {
    use DeviceClass::{Duo, Email, Sms, Static, Totp, Webauthn};
    vec![Static, Totp, Webauthn, Duo, Sms, Email]
}

fn one() -> f64 {
    1.0
}

fn no_time() -> DurationText {
    "seconds=0".into()
}

/// Asks for a second factor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticatorValidateStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What happens to a person who has no device of these classes.
    #[serde(default)]
    pub not_configured_action: NotConfiguredAction,
    /// Classes of devices that are taken, in the order in which they are offered.
    #[serde(default = "all_classes")]
    pub device_classes: Vec<DeviceClass>,
    /// Stages to choose from for a person who has to set a device up.
    #[serde(default)]
    pub configuration_stages: Vec<Ref<AnyStage>>,
    /// How long a browser that passed this stage is not asked again; 0 asks every time.
    #[serde(default = "no_time")]
    pub last_auth_threshold: DurationText,
    /// Whether security keys must recognise their user.
    #[serde(default)]
    pub webauthn_user_verification: Requirement,
    /// Where browsers should look for a security key first.
    #[serde(default)]
    pub webauthn_hints: Vec<Hint>,
    /// Only security keys of these types are taken; with none, all are.
    #[serde(default)]
    pub webauthn_allowed_device_types: Vec<Ref<WebAuthnDeviceType>>,
    /// Seconds a mail device is closed after the first wrong code; they double with each further one. 0 never closes it.
    #[serde(default = "one")]
    pub email_otp_throttling_factor: f64,
    /// Seconds an SMS device is closed after the first wrong code; they double with each further one. 0 never closes it.
    #[serde(default = "one")]
    pub sms_otp_throttling_factor: f64,
    /// Seconds an authenticator app is closed after the first wrong code; they double with each further one. 0 never
    /// closes it.
    #[serde(default = "one")]
    pub totp_otp_throttling_factor: f64,
    /// Seconds codes on paper are closed after the first wrong one; they double with each further one. 0 never closes
    /// them.
    #[serde(default = "one")]
    pub static_otp_throttling_factor: f64,
}

impl UuidKeyed for AuthenticatorValidateStage {}
impl Resource for AuthenticatorValidateStage {
    const MODEL: &'static str = "authentik_stages_authenticator_validate.authenticatorvalidatestage";
    const PATH: &'static str = "stages/authenticator/validate";
    const SCHEMA: &'static str = "AuthenticatorValidateStage";
    const VERBOSE: &'static str = "Authenticator Validation Stage";
    const COMPONENT: &'static str = "ak-stage-authenticator-validate-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";

    fn check(&self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if self.device_classes.is_empty() {
            errors.add("device_classes", "This list may not be empty.", "empty");
        }
        if self.not_configured_action == NotConfiguredAction::Configure && self.configuration_stages.is_empty() {
            let text = "When \"Not configured action\" is set to \"Configure\", you must set a configuration stage.";
            errors.add("not_configured_action", text, "invalid");
        }
        for (field, factor) in [
            ("email_otp_throttling_factor", self.email_otp_throttling_factor),
            ("sms_otp_throttling_factor", self.sms_otp_throttling_factor),
            ("totp_otp_throttling_factor", self.totp_otp_throttling_factor),
            ("static_otp_throttling_factor", self.static_otp_throttling_factor),
        ] {
            if factor < 0.0 {
                errors.add(field, "Ensure this value is greater than or equal to 0.", "min_value");
            }
        }
        errors
    }
}
