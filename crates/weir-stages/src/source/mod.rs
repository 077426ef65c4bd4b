//! Has somebody sign in with a source in the middle of a flow.

mod config;
mod hooks;
mod stage;
#[cfg(test)]
mod tests;

pub use config::{MatchFailure, SourceStage};
pub use hooks::hooks;
pub use stage::SourceWait;
