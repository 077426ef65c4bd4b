//! `weir webauthn`: lists of authenticator models.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use weir_resource::{Actor, Unit};
use weir_stages::authenticator_webauthn::{Loaded, load, load_signed};
use weir_webauthn::metadata;

use super::{Usage, print, refusal};
use crate::server::Core;

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// Takes the models of a FIDO metadata file whose signer leads to this root.
pub async fn load_metadata(core: &Core, file: &Path, root: &Path) -> Result<()> {
    let bytes = fs::read(root).with_context(|| root.display().to_string())?;
    let roots = metadata::read_roots(&bytes);
    if roots.is_empty() {
        return Err(Usage(format!("{} holds no certificate", root.display())).into());
    }
    let now = core.site.clock.now();
    let read = metadata::read_signed(&read(file)?, &roots, now).with_context(|| file.display().to_string())?;
    if read.next_update < now.date_naive() {
        tracing::warn!(due = %read.next_update, "a newer metadata file is due");
    }
    let mut unit = Unit::new(&core.site, Actor::system());
    let loaded = load_signed(&mut unit, &read).await.map_err(refusal)?;
    unit.commit().await.map_err(refusal)?;
    report(&format!("metadata number {}, next update {}", read.number, read.next_update), loaded)
}

/// Takes the models of a plain list.
pub async fn load_models(core: &Core, file: &Path) -> Result<()> {
    let models = metadata::read_plain(&read(file)?).with_context(|| file.display().to_string())?;
    let mut unit = Unit::new(&core.site, Actor::system());
    let loaded = load(&mut unit, &models).await.map_err(refusal)?;
    unit.commit().await.map_err(refusal)?;
    report("plain list", loaded)
}

fn report(what: &str, loaded: Loaded) -> Result<()> {
    let Loaded { models, revoked, kept } = loaded;
    print(&format!("{what}: {models} models, {revoked} of them revoked, {kept} left as a signed list has them"))
}
