//! Sends the browser to an address or into another flow.

mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use config::{RedirectMode, RedirectStage};
pub use stage::Redirect;
