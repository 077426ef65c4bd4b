//! Ends the session (stages.md §6).

mod config;
mod stage;

pub use config::UserLogoutStage;
pub use stage::UserLogout;
