//! The one-time link by which the first administrator chooses a password. Only the digest of its token is stored; a
//! restart before the set-up makes a new one. The page behind the link is `weir_http::flow`'s.

use anyhow::Result;
use weir_crypto::PasswordHash;
use weir_http::flow::{SETUP_DONE, SETUP_TOKEN_DIGEST};
use weir_identity::{BootstrapOutcome, accounts, bootstrap::ADMIN_USERNAME, digest};
use weir_resource::Site;
use weir_store::Val;

/// Length of the token: over 280 bits.
const TOKEN_LENGTH: usize = 48;

/// Makes a token when the set-up is still to be done, and ends the set-up for good when it is not: a password was given,
/// set in another way, or the administrator is gone.
///
/// # Errors
/// Those of the store.
pub async fn offer(site: &Site, outcome: BootstrapOutcome, has_password: bool) -> Result<Option<String>> {
    let is_new = matches!(outcome, BootstrapOutcome::Created { .. });
    if is_done(site).await? {
        return Ok(None);
    }
    if (is_new && has_password) || !is_waiting(site).await? {
        finish(site).await?;
        return Ok(None);
    }
    let token = site.random.text(TOKEN_LENGTH);
    put(site, SETUP_TOKEN_DIGEST, &digest(&token)).await?;
    Ok(Some(token))
}

/// Is this the token of the link that still works?
///
/// # Errors
/// Those of the store.
pub async fn verify(site: &Site, token: &str) -> Result<bool> {
    let stored = get(site, SETUP_TOKEN_DIGEST).await?;
    let matches = stored.is_some_and(|stored| weir_crypto::token::constant_time_eq(stored, digest(token)));
    Ok(matches && !is_done(site).await?)
}

/// Ends the set-up; no link works any more.
///
/// # Errors
/// Those of the store.
pub async fn finish(site: &Site) -> Result<()> {
    let now = site.clock.now().to_rfc3339();
    let mut tx = site.db.tx();
    tx.write("DELETE FROM installation WHERE key = $1", &[SETUP_TOKEN_DIGEST.into()]).await?;
    let sql = "INSERT INTO installation (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
    tx.write(sql, &[SETUP_DONE.into(), now.into()]).await?;
    Ok(tx.commit().await?)
}

async fn is_done(site: &Site) -> Result<bool> {
    Ok(get(site, SETUP_DONE).await?.is_some())
}

/// Does the first administrator exist, without a password?
async fn is_waiting(site: &Site) -> Result<bool> {
    let Some(admin) = accounts::find_by_username(&site.db, ADMIN_USERNAME).await? else { return Ok(false) };
    let hash = accounts::password_hash(&site.db, admin.id).await?.unwrap_or_default();
    Ok(admin.is_active && !PasswordHash::parse(&hash).is_ok_and(|hash| hash.is_usable()))
}

async fn get(site: &Site, key: &str) -> Result<Option<String>> {
    let row = site.db.read_one("SELECT value FROM installation WHERE key = $1", &[Val::from(key)]).await?;
    Ok(row.map(|row| row.text("value")).transpose()?)
}

async fn put(site: &Site, key: &str, value: &str) -> Result<()> {
    let mut tx = site.db.tx();
    let sql = "INSERT INTO installation (key, value) VALUES ($1, $2) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    tx.write(sql, &[key.into(), value.into()]).await?;
    Ok(tx.commit().await?)
}
