//! Asks for a second factor, or has one set up.
//!
//! `classes` holds what is particular to a class of devices; its head says how to add one. `stage` is what they share,
//! `code` the judging of typed codes, `remember` the cookie of browsers that need not prove it again.

mod challenge;
pub mod classes;
mod code;
mod config;
mod remember;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{
    AuthenticatorValidationChallenge, AuthenticatorValidationResponse, DeviceChallenge, SelectableStage,
};
pub use config::{AuthenticatorValidateStage, DeviceClass};
pub use stage::AuthenticatorValidate;
