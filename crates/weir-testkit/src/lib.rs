//! For tests only: a site on a fresh database with a clock that stands still, predictable randomness and cheap hashes,
//! a policy that does what it is told, and a browser that walks flows without HTTP.
//!
//! Start at [`TestSite`] and [`Browser`]. Knows no kind of stage: the crate under test brings its own ([`Wiring`]).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test without its site or its answer has failed")]

mod browser;
mod policy;
mod site;
mod sources;

pub use browser::Browser;
pub use policy::{Asked, ScriptedPolicy};
pub use site::{TestSite, Wiring};
pub use sources::{TestClock, TestRandom};

use serde_json::Value;
use weir_core::Map;

/// The object of a JSON literal.
///
/// # Panics
/// When it is none.
pub fn map(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}
