//! The expiry job: API tokens get a new key, all others go.

use super::{Intent, Token, mint::secret_event};
use crate::{digest, kind};
use weir_core::ApiError;
use weir_events::action;
use weir_resource::{Actor, Site, Unit, store};

/// What one run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// API tokens with a new key.
    pub rotated: u64,
    /// Tokens deleted.
    pub deleted: u64,
}

/// Rows of one transaction, so that nobody waits long for it.
const BATCH: i64 = 200;

/// Deals with all expired tokens.
///
/// # Errors
/// Those of the store; what was committed before stays.
pub async fn rotate_expired(site: &Site) -> Result<Rotated, ApiError> {
    let mut done = Rotated::default();
    loop {
        let mut unit = Unit::new(site, Actor::system());
        let now = site.clock.now();
        // API tokens of another epoch are dead; a new key would not change that.
        let sql = "DELETE FROM identity_token WHERE id IN (SELECT t.id FROM identity_token t \
                   JOIN identity_user u ON u.id = t.\"user\" WHERE t.expiring = TRUE \
                   AND (t.expires <= $1 OR t.expires IS NULL) \
                   AND (t.intent <> $2 OR t.flow_id IS NOT NULL OR t.security_epoch <> u.security_epoch) LIMIT $3)";
        let vals = [now.into(), Intent::Api.as_str().into(), BATCH.into()];
        let deleted = unit.tx.write(sql, &vals).await.map_err(store)?;
        let rotated = rotate(&mut unit).await?;
        unit.commit().await?;
        done.deleted += deleted;
        done.rotated += rotated;
        if deleted + rotated == 0 {
            return Ok(done);
        }
    }
}

async fn rotate(unit: &mut Unit<'_>) -> Result<u64, ApiError> {
    let now = unit.site.clock.now();
    // A life of nothing would rotate the same tokens forever.
    let life = unit.snapshot.settings.default_token_duration.delta().max(chrono::TimeDelta::minutes(1));
    let length = usize::try_from(unit.snapshot.settings.default_token_length).unwrap_or(60).clamp(22, 1024);
    let sql = format!(
        "SELECT id FROM identity_token WHERE expiring = TRUE AND (expires <= $1 OR expires IS NULL) AND intent = $2 \
         AND flow_id IS NULL LIMIT $3{}",
        unit.tx.dialect().for_update_skip_locked()
    );
    let vals = [now.into(), Intent::Api.as_str().into(), BATCH.into()];
    let rows = unit.tx.read(&sql, &vals).await.map_err(store)?;
    let tokens = kind::<Token>(unit.site)?;
    let mut count = 0;
    for row in rows {
        let id = row.text("id").map_err(store)?;
        let key = unit.site.random.text(length);
        let sql = "UPDATE identity_token SET key = $1, key_digest = $2, expires = $3 WHERE id = $4";
        let vals = [(&key).into(), digest(&key).into(), (now + life).into(), (&id).into()];
        count += unit.tx.write(sql, &vals).await.map_err(store)?;
        if let Some(token) = unit.find(tokens, &id).await? {
            unit.event(secret_event(action::SECRET_ROTATE, &token)).await?;
        }
    }
    Ok(count)
}
