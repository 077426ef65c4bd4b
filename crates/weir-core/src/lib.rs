//! The vocabulary every other crate speaks: resource definitions and what is derived from them, references, secrets,
//! field errors, the error of the edge, clock and randomness. No I/O, no HTTP, no SQL.
//!
//! Start at [`resource::Resource`]: one struct that implements it gives storage, REST, OpenAPI, `used_by`, blueprints
//! and audit for a kind of object.

pub mod clock;
pub mod duration;
pub mod error;
pub mod field;
pub mod limits;
pub mod resource;
pub mod types;
pub mod validate;

#[cfg(test)]
mod tests;

pub use clock::{Clock, Random, SystemClock, SystemRandom};
pub use error::{ApiError, FieldError, FieldErrors};
pub use field::{Field, Kind, OnDelete, Reference};
pub use resource::{Backing, Family, Link, Operations, Reach, Registry, Resource, ResourceType, TableDef, View};
pub use types::{DurationText, Expression, Ref, Secret, Slug};

/// A JSON object with stable key order.
pub type Map = serde_json::Map<String, serde_json::Value>;
