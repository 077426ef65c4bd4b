//! Proves who somebody is by a password.

pub mod backends;
mod challenge;
mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{PasswordChallenge, PasswordResponse};
pub use config::{Backend, PasswordStage};
pub use stage::Password;
