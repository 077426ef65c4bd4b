//! Starts the signed-in session.

mod challenge;
mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{UserLoginChallenge, UserLoginResponse};
pub use config::{GeoipBinding, NetworkBinding, UserLoginStage};
pub use stage::UserLogin;
