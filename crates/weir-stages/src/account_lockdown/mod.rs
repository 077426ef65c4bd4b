//! Makes an account harmless everywhere at once, and proves it.
//!
//! [`act`] is the lockdown itself, the same for the stage, the command line and many users at once ([`bulk`]); [`follow`]
//! is what comes after its commit. What was found and ended becomes a signed [`record`]. [`unlock`] opens an account again
//! and brings nothing back.

pub mod act;
pub mod bulk;
mod config;
mod document;
pub mod follow;
pub mod record;
mod routes;
mod stage;
#[cfg(test)]
mod tests;
pub mod unlock;

pub use act::{Done, Order, Switches, carry_out, carry_out_all};
pub use config::AccountLockdownStage;
pub use routes::routes;
pub use stage::AccountLockdown;
