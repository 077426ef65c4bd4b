//! Asks who somebody is (stages.md §1).

mod challenge;
mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{IdentificationChallenge, IdentificationResponse};
pub use config::{IdentificationStage, UserField};
pub use stage::Identification;
