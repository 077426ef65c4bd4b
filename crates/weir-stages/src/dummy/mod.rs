//! Shows its name and takes any answer; for trying flows out.

mod challenge;
mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{DummyChallenge, DummyResponse};
pub use config::DummyStage;
pub use stage::Dummy;
