//! Definition of the set-up stage for mail addresses.

use crate::email::check_server;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{DurationText, Family, FieldErrors, Ref, Resource, Secret, resource::UuidKeyed};
use weir_flow::Flow;

fn localhost() -> String {
    "localhost".to_owned()
}
fn smtp_port() -> i32 {
    25
}
fn ten() -> i32 {
    10
}
fn sender() -> String {
    "system@authentik.local".to_owned()
}
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
    /// Flow by which people set this up for themselves.
    #[serde(default)]
    pub configure_flow: Option<Ref<Flow>>,
    /// Name for people.
    #[serde(default)]
    pub friendly_name: String,
    /// Use the mail server of the settings; the fields about a server count for nothing then.
    #[serde(default)]
    pub use_global_settings: bool,
    /// Mail server.
    #[serde(default = "localhost")]
    #[schemars(length(min = 1))]
    pub host: String,
    /// Its port.
    #[serde(default = "smtp_port")]
    pub port: i32,
    /// Whom to sign in as; nobody when empty.
    #[serde(default)]
    pub username: String,
    /// The password of that user.
    #[serde(default)]
    pub password: Secret,
    /// Change to TLS by STARTTLS.
    #[serde(default)]
    pub use_tls: bool,
    /// TLS from the beginning.
    #[serde(default)]
    pub use_ssl: bool,
    /// Seconds to wait for an answer of the server.
    #[serde(default = "ten")]
    pub timeout: i32,
    /// Address of the sender.
    #[serde(default = "sender")]
    #[schemars(length(min = 1, max = 254), extend("format" = "email"))]
    pub from_address: String,
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
        let mut errors = FieldErrors::new();
        check_server(&mut errors, self.port, self.timeout, self.use_tls, self.use_ssl);
        errors
    }
}
