//! Sets a telephone number up as second factor. `send` is how codes get to it, also when they are asked for later.

mod challenge;
mod config;
pub(crate) mod send;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{AuthenticatorSmsChallenge, AuthenticatorSmsResponse};
pub use config::{AuthType, AuthenticatorSmsStage, Provider};
pub use stage::AuthenticatorSms;
pub(crate) use stage::LIFE;
