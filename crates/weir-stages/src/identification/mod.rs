//! Asks who somebody is.

mod captcha;
mod challenge;
mod config;
mod passkey;
mod sources;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{IdentificationChallenge, IdentificationResponse};
pub use config::{IdentificationStage, UserField};
pub use stage::Identification;
