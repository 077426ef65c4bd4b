//! The description of the interface, made on first demand and kept compressed: it is asked for rarely.

use crate::{AppState, Call, Reply};
use anyhow::Result;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    sync::OnceLock,
};
use weir_core::ApiError;

/// The document, once made.
#[derive(Default)]
pub struct Document(OnceLock<Vec<u8>>);

impl Document {
    /// The document as JSON text.
    ///
    /// # Errors
    /// Never for a sound build.
    pub fn json(&self, app: &AppState) -> Result<Vec<u8>> {
        if let Some(packed) = self.0.get() {
            let mut text = Vec::new();
            GzDecoder::new(packed.as_slice()).read_to_end(&mut text)?;
            return Ok(text);
        }
        let document = weir_contract::openapi(&app.site.registry, &|id| app.api.is_served(id))?;
        let text = serde_json::to_vec(&document)?;
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&text)?;
        // Two requests may have made it at once; they made the same.
        let _ = self.0.set(packed.finish()?);
        Ok(text)
    }
}

/// `GET schema/`: JSON, or YAML with `format=yaml` or when the client asks for it.
pub(crate) async fn retrieve(call: Call) -> Result<Reply, ApiError> {
    let accepts = call.request.header("accept").unwrap_or_default();
    let yaml = match call.request.parameter("format") {
        Some("yaml") => true,
        Some(_) => false,
        None => accepts.contains("yaml") || accepts.contains("vnd.oai.openapi") && !accepts.contains("json"),
    };
    let app = std::sync::Arc::clone(&call.app);
    let work = tokio::task::spawn_blocking(move || -> Result<Reply> {
        let json = app.document.json(&app)?;
        if !yaml {
            return Ok(Reply::bytes("application/json", json));
        }
        Ok(Reply::bytes("application/yaml", to_yaml(&serde_json::from_slice(&json)?)))
    });
    Ok(work.await.map_err(anyhow::Error::new)??)
}

/// Block YAML whose scalars are written as JSON, which YAML 1.2 contains.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let _ = write!(out, "{indent}{}:", Value::from(key.clone()));
                inner(value, depth, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(out, "{indent}-");
                inner(item, depth, out);
            }
        }
        scalar => {
            let _ = writeln!(out, "{indent}{scalar}");
        }
    }
}

fn inner(value: &Value, depth: usize, out: &mut String) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        block(value, depth + 1, out);
    } else {
        let _ = writeln!(out, " {value}");
    }
}
