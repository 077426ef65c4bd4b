//! Sends a link and waits until somebody comes by it.

mod challenge;
mod config;
mod routes;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{EmailChallenge, EmailResponse};
pub use config::EmailStage;
pub use routes::routes;
pub use stage::Email;
