//! Asks for a sign that a person is there: through a provider that follows the siteverify protocol (reCAPTCHA, hCaptcha,
//! Turnstile), or by our own proof of work, which needs no third party.

mod challenge;
mod config;
mod proof;
mod stage;
#[cfg(test)]
pub(crate) mod tests;
mod verify;

pub use challenge::{CaptchaChallenge, CaptchaResponse};
pub use config::{CaptchaStage, ContentType};
pub use stage::Captcha;

pub(crate) use stage::challenge;
pub(crate) use verify::{Checked, verify};
