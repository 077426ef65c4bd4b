//! Gives events their place in the chain, shortly after they were written. Every node does this; one at a time works.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use weir_events::chain;
use weir_store::Durability;

use super::Core;

/// How long an event waits at most for its place.
const PAUSE: Duration = Duration::from_secs(1);

/// Works until it is dropped.
pub async fn follow(core: Arc<Core>) {
    let mut failing = false;
    loop {
        tokio::time::sleep(PAUSE).await;
        match seal_waiting(&core).await {
            Ok(()) => failing = false,
            // Once for each time that the database is away.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(error = format!("{error:#}"), "events could not be sealed; it is tried again");
            }
            Err(_) => {}
        }
    }
}

/// Seals what waits now.
///
/// # Errors
/// Those of the store.
pub async fn seal_waiting(core: &Core) -> Result<()> {
    let key = core.site.installation.chain_key();
    while chain::is_waiting(&core.site.db).await? {
        let mut tx = core.site.db.tx();
        // What a power cut takes is sealed again.
        tx.set_durability(Durability::Relaxed);
        let sealed = chain::seal(&mut tx, &key).await?;
        if let Some(sealed) = sealed {
            weir_audit::announce(&mut tx, &core.site, sealed).await?;
        }
        tx.commit().await?;
        if sealed.is_none() {
            break;
        }
    }
    Ok(())
}
