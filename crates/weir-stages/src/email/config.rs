//! Definition of the email stage.

use crate::mail_server::MailServer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{DurationText, Family, FieldErrors, Resource, resource::UuidKeyed};

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
    /// The mail server.
    #[serde(flatten)]
    pub server: MailServer,
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
        self.server.check()
    }
}
