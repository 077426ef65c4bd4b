//! Blueprint instances: which blueprints this installation has, and what became of them.

mod hooks;
mod sync;
#[cfg(test)]
mod tests;

pub use hooks::InstanceHooks;
pub use sync::{Startup, apply_all, apply_instance};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_core::{Resource, resource::UuidKeyed};
use weir_resource::Stored;

use crate::discover::Library;
use crate::error::BlueprintError;
use crate::import::Request;
use crate::tags::Source;

/// What became of a blueprint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Applied.
    Successful,
    /// Applied, with remarks.
    Warning,
    /// Refused; nothing was changed.
    Error,
    /// Its file is gone.
    Orphaned,
    /// Not applied yet.
    #[default]
    Unknown,
}

impl Status {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Orphaned => "orphaned",
            Self::Unknown => "unknown",
        }
    }
}

/// A blueprint of this installation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BlueprintInstance {
    /// Unique name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// File below the blueprints directory.
    #[serde(default)]
    pub path: String,
    /// Values for `!Context`; they win over those of the blueprint.
    #[serde(default)]
    pub context: Map<String, Value>,
    /// When it was last applied, or tried.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub last_applied: DateTime<Utc>,
    /// SHA-512 of the content applied last.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub last_applied_hash: String,
    /// What became of it.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub status: Status,
    /// Whether it is applied when its content changes.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Models of the objects it manages.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub managed_models: Vec<String>,
    /// Name and labels of the content.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub metadata: Map<String, Value>,
    /// The blueprint itself, instead of a file.
    #[serde(default)]
    pub content: String,
}

fn yes() -> bool {
    true
}

impl UuidKeyed for BlueprintInstance {}
impl Resource for BlueprintInstance {
    const MODEL: &'static str = "authentik_blueprints.blueprintinstance";
    const PATH: &'static str = "managed/blueprints";
    const SCHEMA: &'static str = "BlueprintInstance";
    const VERBOSE: &'static str = "Blueprint Instance";
    const PARAM: &'static str = "instance_uuid";
    const SEARCH: &'static [&'static str] = &["name", "path"];
}

/// What an instance applies.
pub fn request_of(library: &Library, instance: &Stored) -> Result<Request, BlueprintError> {
    let context = match instance.doc.get("context") {
        Some(Value::Object(map)) => map.clone(),
        _ => Map::new(),
    };
    let content = instance.text("content");
    let (text, source) = if content.is_empty() {
        (library.read(instance.text("path"))?, Source::Disk)
    } else {
        (content.to_owned(), Source::Submitted)
    };
    Ok(Request { text, source, context, overrides: Map::new() })
}
