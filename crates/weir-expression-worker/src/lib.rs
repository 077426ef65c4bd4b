//! The process in which expressions run.
//!
//! It reads requests from its standard input and answers on its standard output (see `weir_expression::wire`). It can
//! compute, tell the time and draw random numbers; everything else it has to ask for. When its input ends, so does it.

mod builtin;
mod compile;
mod convert;
mod memory;
mod prelude;
mod rewrite;
mod run;
mod serve;

pub use memory::CountingAllocator;
pub use serve::main_loop;

#[cfg(test)]
mod tests;
