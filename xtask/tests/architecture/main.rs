//! What docs/ARCHITECTURE.md promises about the shape of the code, checked against the manifests and the sources.

mod manifests;
mod sizes;
mod sources;

use std::path::PathBuf;

use anyhow::{Context, Result};

fn root() -> Result<PathBuf> {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("the manifest has no parent folder")?.to_path_buf())
}
