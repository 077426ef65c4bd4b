//! Sets up a mail address to which codes are sent.

mod config;
mod send;
mod stage;
#[cfg(test)]
mod tests;

pub use config::AuthenticatorEmailStage;
pub(crate) use send::{mask, send};
pub use stage::{AuthenticatorEmail, AuthenticatorEmailChallenge, AuthenticatorEmailResponse};
