//! Wire types of the captcha stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// Asks for a captcha.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CaptchaChallenge {
    /// The provider's public key; for our own proof of work the task.
    pub site_key: String,
    /// Script of the provider; for our own proof of work the module that solves it.
    pub js_url: String,
    /// The widget is visible and wants a click.
    pub interactive: bool,
}

impl Challenge for CaptchaChallenge {
    const COMPONENT: &'static str = "ak-stage-captcha";
}

/// The solution.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct CaptchaResponse {
    /// What the provider's script gave; for our own proof of work the task, a colon, and its solution.
    #[schemars(length(min = 1))]
    pub token: String,
}
