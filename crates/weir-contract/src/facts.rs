//! The unpacked contract. A few megabytes while it lives: load it for a piece of work, then drop it.

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::io::Read as _;
use weir_core::Map;

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contract.json.gz"));
static OWN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/extensions.json.gz"));

/// The contract's document, and with it what describes our own operations.
pub struct Facts {
    document: Value,
}

impl Facts {
    /// Unpacks the embedded documents.
    ///
    /// # Errors
    /// Never for a sound build.
    pub fn load() -> Result<Self> {
        let (mut document, mut own) = (unpack(PACKED)?, unpack(OWN)?);
        for place in ["/paths", "/components/schemas"] {
            let more = own.pointer_mut(place).and_then(Value::as_object_mut).map(std::mem::take);
            let there = document.pointer_mut(place).and_then(Value::as_object_mut);
            there.context("the embedded contract is incomplete")?.extend(more.unwrap_or_default());
        }
        Ok(Self { document })
    }

    /// A component schema.
    pub fn schema(&self, name: &str) -> Option<&Value> {
        self.document.get("components")?.get("schemas")?.get(name)
    }

    /// A named part of the components, e.g. `("responses", "GenericErrorResponse")`.
    pub fn component(&self, kind: &str, name: &str) -> Option<&Value> {
        self.document.get("components")?.get(kind)?.get(name)
    }

    /// The description of an operation.
    pub fn operation(&self, id: &str) -> Option<&Value> {
        let operation = crate::find(id)?;
        let method = operation.method.name().to_lowercase();
        self.document.get("paths")?.get(operation.path)?.get(&method)
    }

    /// Follows references and the single-element `allOf` that carries siblings of a reference.
    pub fn resolve(&self, schema: &Value) -> Map {
        let mut merged = schema.as_object().cloned().unwrap_or_default();
        // Chains are short; the bound only guards against a loop in a damaged document.
        for _ in 0..8 {
            let target = match (merged.remove("$ref"), merged.remove("allOf")) {
                (Some(Value::String(reference)), _) => reference_name(&reference).and_then(|n| self.schema(n)).cloned(),
                (_, Some(Value::Array(parts))) => parts.into_iter().next(),
                _ => None,
            };
            let Some(Value::Object(target)) = target else { break };
            for (key, value) in target {
                merged.entry(key).or_insert(value);
            }
        }
        merged
    }

    /// The JSON schema of an operation's answer with this status; none when it has no JSON body.
    pub fn response(&self, id: &str, status: u16) -> Option<&Value> {
        let response = self.operation(id)?.get("responses")?.get(status.to_string())?;
        let response = match response.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.component("responses", reference_name(reference)?)?,
            None => response,
        };
        response.get("content")?.get("application/json")?.get("schema")
    }
}

fn unpack(packed: &[u8]) -> Result<Value> {
    let mut text = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut text).context("the embedded contract cannot be unpacked")?;
    serde_json::from_slice(&text).context("the embedded contract cannot be read")
}

/// The last part of `#/components/<kind>/<name>`.
pub(crate) fn reference_name(reference: &str) -> Option<&str> {
    reference.rsplit('/').next()
}
