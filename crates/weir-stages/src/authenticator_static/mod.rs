//! Gives a person codes to keep on paper.

mod challenge;
mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{AuthenticatorStaticChallenge, AuthenticatorStaticResponse};
pub use config::AuthenticatorStaticStage;
pub use stage::AuthenticatorStatic;
