//! The program: settings, command line, and the wiring of all crates into one server. The only crate that knows every
//! other one; it must not hold rules of its own about flows, users or HTTP.
//!
//! Start at [`server::start`] for what a running server consists of, at [`cli::main`] for the commands.

pub mod cli;
pub mod config;
pub mod logging;
pub mod otel;
pub mod server;

pub use config::Config;
pub use server::{Core, Options, Running, start};
