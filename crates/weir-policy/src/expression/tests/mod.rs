//! Expressions in the real worker, asking a real site.

mod calls;
mod context;
mod people;
mod simple;
