//! Expressions: the values they work on, what they may ask of their host, and the pool of worker processes they run in.
//!
//! This crate does not contain the interpreter. An expression runs in a child process (the same binary, started with
//! a hidden subcommand) that can compute and nothing else. Whatever needs the store or the network suspends the run
//! and comes back here as a call on the caller's [`Host`]; a run that exceeds a limit costs one worker, never the
//! server.

mod codec;
mod evaluation;
mod host;
mod json;
mod names;
mod pool;
mod process;
mod request;
mod value;
pub mod wire;

pub use codec::MAX_VALUE_DEPTH;
pub use evaluation::{EvalError, Evaluation, Exception, Limit, LogLine, SyntaxProblem};
pub use host::{Call, Host, NoHost, Raise};
pub use names::{HELPERS, is_identifier, sanitise_name};
pub use pool::{Pool, PoolSettings, PoolState, WorkerCommand};
pub use request::{ContextVariable, Limits, Request};
pub use value::{Object, Value};

#[cfg(test)]
mod tests;
