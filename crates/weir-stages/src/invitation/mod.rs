//! Lets people in who were invited. The invitations themselves are rows: whoever has the key of one may use it.

mod challenge;
mod config;
mod hooks;
mod object;
mod routes;
mod stage;
#[cfg(test)]
mod tests;

pub use config::InvitationStage;
pub use hooks::hooks;
pub use object::{Invitation, delete_old};
pub use routes::routes;
pub use stage::Invite;
