//! Makes an account harmless everywhere at once, and proves it.
//!
//! [`act`] is the lockdown itself, the same for the stage, the command line and many users at once ([`bulk`]); what it
//! found and ended becomes a signed [`record`]. [`unlock`] opens an account again and brings nothing back.

pub mod act;
pub mod bulk;
mod config;
pub mod record;
mod routes;
mod stage;
#[cfg(test)]
mod tests;
pub mod unlock;

pub use act::{Done, Order, Switches, carry_out};
pub use config::AccountLockdownStage;
pub use routes::routes;
pub use stage::AccountLockdown;
