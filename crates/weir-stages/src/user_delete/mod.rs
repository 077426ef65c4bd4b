//! Deletes the account and signs it out.

mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use config::UserDeleteStage;
pub use stage::UserDelete;
