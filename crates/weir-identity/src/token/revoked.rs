//! Keys that were taken away: that somebody still uses one is worth telling.

use crate::{Account, accounts, digest};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use weir_core::ApiError;
use weir_events::{Event, action};
use weir_resource::{Unit, store};
use weir_store::{Row, StoreError, Tx, Val};

/// How long the use of a key is told after it was taken away.
const KEPT: TimeDelta = TimeDelta::days(90);
/// How often the use of one key is told at most: programs try again and again.
const PAUSE: TimeDelta = TimeDelta::hours(1);

/// Whose keys are taken away.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// That of one token.
    Token(&'a str),
    /// Those of all tokens of a user.
    AllOf(i64),
}

/// Remembers the digests of API keys that are about to end, in the transaction that ends them.
///
/// # Errors
/// Those of the store.
pub async fn remember(tx: &mut Tx, now: DateTime<Utc>, which: Which<'_>) -> Result<(), StoreError> {
    let (condition, val): (&str, Val) = match which {
        Which::Token(id) => ("id = $3", id.into()),
        Which::AllOf(user) => ("\"user\" = $3", user.into()),
    };
    let sql = format!(
        "INSERT INTO revoked_key (key_digest, token, identifier, user_id, revoked, expires) \
         SELECT key_digest, id, identifier, \"user\", $1, $2 FROM identity_token \
         WHERE {condition} AND flow_id IS NULL AND intent = 'api' \
         ON CONFLICT (key_digest) DO UPDATE SET revoked = excluded.revoked, expires = excluded.expires"
    );
    tx.write(&sql, &[now.into(), (now + KEPT).into(), val]).await?;
    Ok(())
}

/// Tells of the use of a key that was refused, if it once was a key; whether there is something to commit.
///
/// # Errors
/// Those of the store.
pub async fn tell_use(unit: &mut Unit<'_>, key: &str) -> Result<bool, ApiError> {
    if key.is_empty() || key.len() > 1024 {
        return Ok(false);
    }
    let (digest, now) = (digest(key), unit.site.clock.now());
    let Some((row, message)) = find(unit, &digest, now).await.map_err(store)? else { return Ok(false) };
    if !claim(unit, &digest, now).await.map_err(store)? {
        return Ok(false);
    }
    let (token, identifier) = (row.text("token").map_err(store)?, row.text("identifier").map_err(store)?);
    let owner = row.int("user_id").map_err(store)?;
    if let Some(owner) = accounts::find(&mut unit.tx, owner).await.map_err(store)? {
        name(unit, &owner);
    }
    let token = json!({
        "app": "authentik_core", "model_name": "token", "pk": token.replace('-', ""), "name": identifier,
    });
    let context = json!({"message": message, "token": token});
    unit.event(Event::new(action::SUSPICIOUS_REQUEST, "authentik_core", context)).await?;
    Ok(true)
}

/// The token behind a digest, if its key opens nothing any more, and what that is called.
async fn find(unit: &Unit<'_>, digest: &str, now: DateTime<Utc>) -> Result<Option<(Row, &'static str)>, StoreError> {
    let db = &unit.site.db;
    let sql = "SELECT token, identifier, user_id FROM revoked_key WHERE key_digest = $1 AND expires > $2";
    if let Some(row) = db.read_one(sql, &[digest.into(), now.into()]).await? {
        return Ok(Some((row, "A revoked token was used.")));
    }
    let sql = "SELECT t.id AS token, t.identifier, t.\"user\" AS user_id FROM identity_token t \
               JOIN identity_user u ON u.id = t.\"user\" WHERE t.key_digest = $1 AND t.flow_id IS NULL \
               AND t.intent = 'api' AND (u.is_active = FALSE OR t.security_epoch <> u.security_epoch)";
    let row = db.read_one(sql, &[digest.into()]).await?;
    Ok(row.map(|row| (row, "A token of an account that is not active was used.")))
}

/// Of many requests at once one tells.
async fn claim(unit: &mut Unit<'_>, digest: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "INSERT INTO revoked_key (key_digest, token, identifier, user_id, revoked, expires) \
               SELECT key_digest, id, identifier, \"user\", $1, $2 FROM identity_token WHERE key_digest = $3 \
               ON CONFLICT (key_digest) DO NOTHING";
    unit.tx.write(sql, &[now.into(), (now + KEPT).into(), digest.into()]).await?;
    let sql = "UPDATE revoked_key SET told = $1 WHERE key_digest = $2 AND (told IS NULL OR told <= $3)";
    Ok(unit.tx.write(sql, &[now.into(), digest.into(), (now - PAUSE).into()]).await? == 1)
}

/// Nobody is signed in; whose key it was is what counts.
fn name(unit: &mut Unit<'_>, owner: &Account) {
    let origin = &mut unit.actor.origin;
    origin.user = owner.event_user();
    origin.user_id = Some(owner.id);
    origin.username.clone_from(&owner.username);
}
