//! What docs/ARCHITECTURE.md promises about the shape of the code, checked against the manifests and the sources.

mod manifests;
mod sizes;
mod sources;

use std::path::PathBuf;

use anyhow::{Context, Result};

fn root() -> Result<PathBuf> {
    // Of this run: a target folder may outlive the clone that this was built in.
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").context("cargo runs this")?);
    Ok(manifest.parent().context("the manifest has no parent folder")?.to_path_buf())
}
