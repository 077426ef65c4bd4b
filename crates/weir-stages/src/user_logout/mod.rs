//! Ends the session.

mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use config::UserLogoutStage;
pub use stage::UserLogout;
