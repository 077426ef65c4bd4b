//! YAML text to a tree of nodes, read the way PyYAML's safe loader reads it (YAML 1.1 scalars, merge keys), and back.
//!
//! The parser underneath speaks YAML 1.2; what differs is decided here: `yes` is true, `010` is eight, `<<` merges.

mod compose;
mod node;
mod scalar;

#[cfg(test)]
mod tests;

pub use compose::parse;
pub use node::{Kind, Node, Scalar};
pub use scalar::{ScalarError, plain_value};
