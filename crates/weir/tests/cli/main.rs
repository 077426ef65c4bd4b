//! The built program from outside: what it prints, how it ends.

mod commands;
mod program;
mod serving;
