//! Definition of the captcha stage.

use super::proof;
use crate::remote::{is_page_address, is_web_address};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, FieldErrors, Resource, Secret, resource::UuidKeyed};

/// How the provider is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ContentType {
    /// As a form.
    #[default]
    #[serde(rename = "application/x-www-form-urlencoded")]
    Form,
    /// As JSON.
    #[serde(rename = "application/json")]
    Json,
}

fn script() -> String {
    "https://www.recaptcha.net/recaptcha/api.js".to_owned()
}

fn verification() -> String {
    "https://www.recaptcha.net/recaptcha/api/siteverify".to_owned()
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

/// Asks for a captcha. With `js_url` set to `/static/dist/flow/proof-of-work.js` nobody else is asked: the browser
/// computes for a moment instead.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CaptchaStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Public key given by the provider. For our own proof of work: how many bits of work, 8 to 24; anything that is no
    /// number means 18.
    #[schemars(length(min = 1))]
    pub public_key: String,
    /// Secret key given by the provider. Our own proof of work has no use for it.
    #[schemars(length(min = 1))]
    pub private_key: Secret,
    /// Address of the provider's script, or `/static/dist/flow/proof-of-work.js` for our own proof of work.
    #[serde(default = "script")]
    #[schemars(length(min = 1))]
    pub js_url: String,
    /// Address at which the provider verifies solutions.
    #[serde(default = "verification")]
    #[schemars(length(min = 1))]
    pub api_url: String,
    /// How the provider is asked.
    #[serde(default)]
    pub request_content_type: ContentType,
    /// The widget is visible and wants a click.
    #[serde(default)]
    pub interactive: bool,
    /// Scores below this are refused; −1 for no lower bound.
    #[serde(default = "half")]
    pub score_min_threshold: f64,
    /// Scores above this are refused; −1 for no upper bound.
    #[serde(default = "one")]
    pub score_max_threshold: f64,
    /// Refuse solutions that the provider does not accept or scores outside the bounds. Without it the provider's answer is
    /// only kept for policies.
    #[serde(default = "yes")]
    pub error_on_invalid_score: bool,
}

impl UuidKeyed for CaptchaStage {}
impl Resource for CaptchaStage {
    const MODEL: &'static str = "authentik_stages_captcha.captchastage";
    const PATH: &'static str = "stages/captcha";
    const SCHEMA: &'static str = "CaptchaStage";
    const VERBOSE: &'static str = "Captcha Stage";
    const COMPONENT: &'static str = "ak-stage-captcha-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";

    fn check(&self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if !is_page_address(&self.js_url) {
            errors.add(
                "js_url",
                "Enter an address that begins with https:// or http://, or a path of this site.",
                "invalid",
            );
        }
        if !is_web_address(&self.api_url) {
            errors.add("api_url", "Enter an address that begins with https:// or http://.", "invalid");
        }
        if proof::is_module(&self.js_url) && self.public_key.parse().is_ok_and(|bits: u64| !proof::is_payable(bits)) {
            errors.add("public_key", "Ask for 8 to 24 bits of work.", "invalid");
        }
        errors
    }
}
