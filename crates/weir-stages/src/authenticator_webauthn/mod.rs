//! Sets up a security key or passkey.
//!
//! `ceremony` is shared with the stages that ask for one: who relies on it, the challenge that serves once, the judging
//! of an assertion. `device_type` are the models of authenticators, `load` the lists they come from.

mod ceremony;
mod challenge;
mod config;
mod device_type;
mod hooks;
mod load;
mod stage;
#[cfg(test)]
mod tests;

pub(crate) use ceremony::{Asking, judge, request_options};
pub use challenge::{AuthenticatorWebAuthnChallenge, AuthenticatorWebAuthnResponse};
pub use config::AuthenticatorWebAuthnStage;
pub use device_type::{UNKNOWN, WebAuthnDeviceType};
pub use hooks::hooks;
pub use load::{Loaded, load, load_signed};
pub use stage::AuthenticatorWebAuthn;
