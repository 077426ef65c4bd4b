//! The built program from outside: what it prints, how it ends.
#![expect(clippy::unwrap_used, reason = "a test whose program cannot be started has failed")]

mod commands;
mod program;
mod serving;
