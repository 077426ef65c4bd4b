//! Sets an account at Duo up as second factor. `api` speaks to Duo; `push` has it ask a person.

mod api;
mod challenge;
mod config;
mod import;
pub(crate) mod push;
mod routes;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{AuthenticatorDuoChallenge, AuthenticatorDuoResponse};
pub use config::AuthenticatorDuoStage;
pub use routes::routes;
pub use stage::AuthenticatorDuo;
