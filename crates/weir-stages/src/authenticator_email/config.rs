//! Definition of the set-up stage for mail addresses.

use crate::{mail_server::MailServer, set_up::SetUp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{DurationText, Family, FieldErrors, Resource, resource::UuidKeyed};

fn subject() -> String {
    "authentik Sign-in code".to_owned()
}
fn template() -> String {
    "email/email_otp.html".to_owned()
}
fn half_an_hour() -> DurationText {
    "minutes=30".into()
}
/// Sets up a mail address to which codes are sent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticatorEmailStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How people come to it.
    #[serde(flatten)]
    pub set_up: SetUp,
    /// The mail server.
    #[serde(flatten)]
    pub server: MailServer,
    /// How long a code works.
    #[serde(default = "half_an_hour")]
    pub token_expiry: DurationText,
    /// Subject of the mail; the usual ones are translated.
    #[serde(default = "subject")]
    #[schemars(length(min = 1))]
    pub subject: String,
    /// Template of the mail.
    #[serde(default = "template")]
    #[schemars(length(min = 1))]
    pub template: String,
}

impl UuidKeyed for AuthenticatorEmailStage {}
impl Resource for AuthenticatorEmailStage {
    const MODEL: &'static str = "authentik_stages_authenticator_email.authenticatoremailstage";
    const PATH: &'static str = "stages/authenticator/email";
    const SCHEMA: &'static str = "AuthenticatorEmailStage";
    const VERBOSE: &'static str = "Email Authenticator Setup Stage";
    const COMPONENT: &'static str = "ak-stage-authenticator-email-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";

    fn check(&self) -> FieldErrors {
        self.server.check()
    }
}
