//! Writes what prompts collected to a user.

mod apply;
mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use config::{CreationMode, UserWriteStage};
pub use stage::UserWrite;
