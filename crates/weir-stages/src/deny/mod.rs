//! Refuses whoever arrives here.

mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use config::DenyStage;
pub use stage::Deny;
