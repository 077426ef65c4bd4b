//! Sets up an authenticator app.

mod challenge;
mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{AuthenticatorTotpChallenge, AuthenticatorTotpResponse};
pub use config::{AuthenticatorTotpStage, Digits};
pub use stage::AuthenticatorTotp;
