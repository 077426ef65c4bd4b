//! The wire contract: which operations there are, what they take and answer, and how far our own definitions agree.
//!
//! `contract.json` holds the facts of the interface (names, types, enums, status codes) without prose. It is embedded
//! compressed and unpacked only for work that needs it ([`Facts::load`]); requests are routed by the small table of
//! [`operations`]. [`openapi`] makes our own document from the resource definitions; [`differences`] judges it. Must not
//! know HTTP or storage.

mod check;
mod compare;
mod document;
mod facts;
mod generate;
mod table;
#[cfg(test)]
mod tests;

pub use compare::{computed, differences};
pub use document::openapi;
pub use facts::Facts;
pub use table::{Method, Operation, extensions, find, operations};

/// The version of the interface, as other software of its kind counts it.
pub const VERSION: &str = "2026.8.5";
