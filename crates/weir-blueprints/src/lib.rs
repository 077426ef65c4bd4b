//! Blueprints: desired configuration as YAML.
//!
//! `format` reads a text into a typed document, `tags` gives its tags their values, `entry` evaluates entry after
//! entry. `writer` makes such texts, `discover` finds them on disk, `shipped` holds those that come with the program.
//! `import` applies them on the one write path, `export` writes objects, `instances` remembers what was applied.
//!
//! Start reading in `format`.

pub mod accounts;
pub mod discover;
pub mod entry;
pub mod error;
pub mod export;
pub mod format;
pub mod import;
pub mod instances;
pub mod limits;
pub mod lookup;
pub mod schedules;
pub mod shipped;
pub mod tags;
#[cfg(test)]
mod test_site;
pub mod writer;
pub mod yaml;

pub use entry::{Evaluation, ResolvedEntry, ResolvedPermission, State, layered_context};
pub use error::{BlueprintError, Problem};
pub use format::{Document, Entry, Metadata};
pub use tags::{Resolver, Source};
