//! Expressions as administrators write them, run in a real worker.

mod fake;
mod hosted;
mod language;
mod limits;
mod modules;
mod pool;
