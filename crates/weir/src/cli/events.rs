//! `weir events`: whether the audit trail is what was written.

use anyhow::{Result, bail};
use weir_events::chain::{self, Anchor};

use super::{Usage, print};
use crate::server::Core;

/// Walks the chain; beside a running server or without one.
pub async fn verify(core: &Core, expect: Option<&str>) -> Result<()> {
    let anchor = expect.map(anchor).transpose()?;
    let key = core.site.installation.chain_key();
    match chain::verify(&core.site.db, &key, anchor.as_ref()).await? {
        Ok(found) => {
            let (checked, removed, waiting) = (found.checked, found.removed, found.waiting);
            print(&format!(
                "sound: {checked} events checked, {removed} removed for a recorded reason, {waiting} wait for their place"
            ))?;
            if found.seq > 0 { print(&format!("keep this elsewhere: {}:{}", found.seq, found.hash)) } else { Ok(()) }
        }
        Err(broken) => bail!("the audit trail is broken: {broken}"),
    }
}

fn anchor(text: &str) -> Result<Anchor> {
    let parsed = text.split_once(':').and_then(|(seq, hash)| Some((seq.parse::<i64>().ok()?, hash)));
    let is_hash = |hash: &str| hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit());
    match parsed {
        Some((seq, hash)) if seq > 0 && is_hash(hash) => Ok(Anchor { seq, hash: hash.to_lowercase() }),
        _ => Err(Usage(format!("{text:?} is no place with its hash")).into()),
    }
}
