//! Sends the browser to an address or into another flow (stages.md §11).

mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use config::{RedirectMode, RedirectStage};
pub use stage::Redirect;
