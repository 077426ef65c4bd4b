//! Asks whether an application may have what it wants.

mod challenge;
mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{ConsentChallenge, ConsentPermission, ConsentResponse};
pub use config::{ConsentMode, ConsentStage};
pub use stage::Consent;
