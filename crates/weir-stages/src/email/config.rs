//! Definition of the email stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{DurationText, Family, FieldErrors, Resource, Secret, resource::UuidKeyed};

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
    "authentik".to_owned()
}
fn template() -> String {
    "email/password_reset.html".to_owned()
}
fn half_an_hour() -> DurationText {
    "minutes=30".into()
}
fn five() -> i32 {
    5
}
fn five_minutes() -> DurationText {
    "minutes=5".into()
}

/// Sends a link to the pending user and goes on for whoever comes by it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EmailStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
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
    /// How long the link works.
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
    /// Make the account active when its owner comes by the link.
    #[serde(default)]
    pub activate_user_on_success: bool,
    /// How often the mail can be asked for again within the following span, by everybody together.
    #[serde(default = "five")]
    #[schemars(range(min = 0))]
    pub recovery_max_attempts: i32,
    /// The span in which requests for another mail are counted.
    #[serde(default = "five_minutes")]
    pub recovery_cache_timeout: DurationText,
}

/// Rules about the fields that name a mail server.
pub(crate) fn check_server(errors: &mut FieldErrors, port: i32, timeout: i32, use_tls: bool, use_ssl: bool) {
    if !(1..=65_535).contains(&port) {
        errors.add("port", "Ensure this value is between 1 and 65535.", "invalid");
    }
    if timeout < 1 {
        errors.add("timeout", "Ensure this value is greater than or equal to 1.", "min_value");
    }
    if use_tls && use_ssl {
        errors.add(FieldErrors::GENERAL, "STARTTLS and TLS from the beginning exclude each other.", "invalid");
    }
}

impl UuidKeyed for EmailStage {}
impl Resource for EmailStage {
    const MODEL: &'static str = "authentik_stages_email.emailstage";
    const PATH: &'static str = "stages/email";
    const SCHEMA: &'static str = "EmailStage";
    const VERBOSE: &'static str = "Email Stage";
    const COMPONENT: &'static str = "ak-stage-email-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";

    fn check(&self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        check_server(&mut errors, self.port, self.timeout, self.use_tls, self.use_ssl);
        errors
    }
}
