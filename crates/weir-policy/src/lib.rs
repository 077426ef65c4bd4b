//! Policies: bindings, the engine that combines their results, the kinds, and the expression environment
//! (flows.md §10, platform.md §1–§2). Knows no HTTP server and no flow.
//!
//! Start at [`engine::Engine`].

pub mod definitions;
pub mod engine;
pub mod expression;
pub mod kinds;
pub mod request;

pub use definitions::PolicyBinding;
pub use engine::{Engine, EngineResult, Mode};
pub use kinds::{PolicyCx, PolicyKind, PolicyKinds};
pub use request::{PolicyRequest, PolicyResult, RequestInfo};
