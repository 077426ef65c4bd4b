//! Refuses whoever arrives here (stages.md §9).

mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use config::DenyStage;
pub use stage::Deny;
