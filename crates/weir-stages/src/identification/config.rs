//! Definition of the identification stage.

use crate::{authenticator_validate::AuthenticatorValidateStage, captcha::CaptchaStage, password::PasswordStage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, FieldErrors, Ref, Resource, resource::UuidKeyed};
use weir_flow::Flow;
use weir_resource::AnySource;

/// What identifies a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserField {
    /// Mail address.
    Email,
    /// Username.
    Username,
    /// Attribute `upn`.
    Upn,
}

impl UserField {
    /// The column asked.
    pub fn account_field(self) -> weir_identity::UserField {
        match self {
            Self::Email => weir_identity::UserField::Email,
            Self::Username => weir_identity::UserField::Username,
            Self::Upn => weir_identity::UserField::Upn,
        }
    }
}

fn yes() -> bool {
    true
}

/// Asks who somebody is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IdentificationStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What a person may identify by; with none only sources are offered.
    #[serde(default)]
    pub user_fields: Vec<UserField>,
    /// Ask for the password on the same page.
    #[serde(default)]
    pub password_stage: Option<Ref<PasswordStage>>,
    /// Show this captcha on the same page.
    #[serde(default)]
    pub captcha_stage: Option<Ref<CaptchaStage>>,
    /// Upper and lower case are the same.
    #[serde(default = "yes")]
    pub case_insensitive_matching: bool,
    /// Later stages show the matched user instead of what was typed.
    #[serde(default = "yes")]
    pub show_matched_user: bool,
    /// Offered to people without account.
    #[serde(default)]
    pub enrollment_flow: Option<Ref<Flow>>,
    /// Offered to people who lost access.
    #[serde(default)]
    pub recovery_flow: Option<Ref<Flow>>,
    /// Offered as way in without password.
    #[serde(default)]
    pub passwordless_flow: Option<Ref<Flow>>,
    /// Sources to sign in with.
    #[serde(default)]
    pub sources: Vec<Ref<AnySource>>,
    /// Sources show their names.
    #[serde(default)]
    pub show_source_labels: bool,
    /// Unknown names go on like known ones.
    #[serde(default = "yes")]
    pub pretend_user_exists: bool,
    /// Offer to fill in the name next time.
    #[serde(default)]
    pub enable_remember_me: bool,
    /// Offer passkeys with the options of this stage.
    #[serde(default)]
    pub webauthn_stage: Option<Ref<AuthenticatorValidateStage>>,
}

impl UuidKeyed for IdentificationStage {}
impl Resource for IdentificationStage {
    const MODEL: &'static str = "authentik_stages_identification.identificationstage";
    const PATH: &'static str = "stages/identification";
    const SCHEMA: &'static str = "IdentificationStage";
    const VERBOSE: &'static str = "Identification Stage";
    const COMPONENT: &'static str = "ak-stage-identification-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";

    fn check(&self) -> FieldErrors {
        if self.user_fields.is_empty() && self.sources.is_empty() {
            return FieldErrors::general("When no user fields are selected, at least one source must be selected");
        }
        FieldErrors::new()
    }
}
