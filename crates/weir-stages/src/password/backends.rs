//! The stores a password is tried against. Knows nothing of the stage that asks.

use super::Backend;
use serde_json::{Value, json};
use weir_core::{ApiError, Map};
use weir_crypto::{
    password::{Password, Salt},
    pool::PoolError,
};
use weir_flow::{Reject, StageCx, keys};
use weir_identity::{Account, Intent, accounts, token};

/// A password that was right.
pub struct Proven {
    /// Whose it is.
    pub account: Account,
    /// The store that said so.
    pub backend: Backend,
}

/// A full queue is the server's problem, not a wrong password.
fn busy(error: PoolError) -> Reject {
    Reject::Unavailable(ApiError::Unavailable(2, anyhow::Error::new(error)))
}

/// Tries the stores in order with an account; without one it costs the same and proves nothing.
///
/// # Errors
/// When hashing or the database is not available.
pub async fn authenticate(
    cx: &mut StageCx<'_>,
    backends: &[Backend],
    account: Option<Account>,
    password: &str,
) -> Result<Option<Proven>, Reject> {
    for backend in backends {
        let proven = match backend {
            Backend::Inbuilt => inbuilt(cx, account.as_ref(), password).await?,
            Backend::Token => app_password(cx, account.as_ref(), password).await?,
            // Directory sources are not served yet: nobody has an account there.
            Backend::Ldap | Backend::Kerberos => false,
        };
        if proven {
            let active = account.filter(|a| a.is_active);
            return Ok(active.map(|account| Proven { account, backend: *backend }));
        }
    }
    Ok(None)
}

/// The user's own hash. Unknown, inactive and passwordless users cost one hash like everybody.
async fn inbuilt(cx: &mut StageCx<'_>, account: Option<&Account>, password: &str) -> Result<bool, Reject> {
    let stored = match account {
        Some(account) => accounts::password_hash(&mut cx.unit.tx, account.id).await?,
        None => None,
    };
    let Ok(secret) = Password::new(password.as_bytes()) else { return Ok(false) };
    let Some(stored) = stored else {
        cx.app.hashes.burn().await.map_err(busy)?;
        return Ok(false);
    };
    let is_right = cx.app.hashes.verify(stored.clone(), secret).await.map_err(busy)?;
    let Some(account) = account.filter(|a| is_right && a.is_active) else { return Ok(false) };
    if cx.app.hashes.needs_rehash(&stored) {
        rehash(cx, account, &stored, password).await?;
    }
    note_method(cx, "password", Map::new());
    Ok(true)
}

/// Brings an imported or older hash to the current parameters while the password is at hand.
async fn rehash(cx: &mut StageCx<'_>, account: &Account, stored: &str, password: &str) -> Result<(), Reject> {
    let Ok(secret) = Password::new(password.as_bytes()) else { return Ok(()) };
    let salt = Salt::random(&mut weir_crypto::system_rng());
    let hash = cx.app.hashes.hash(secret, salt).await.map_err(busy)?;
    accounts::upgrade_password_hash(&mut cx.unit.tx, account.id, stored, &hash).await?;
    Ok(())
}

/// A token of intent `app_password` whose key is the password.
async fn app_password(cx: &mut StageCx<'_>, account: Option<&Account>, password: &str) -> Result<bool, Reject> {
    let now = cx.now();
    let found = token::authenticate(&mut cx.unit.tx, password, &[Intent::AppPassword], now).await?;
    let matching = found.filter(|(_, owner)| account.is_some_and(|a| a.id == owner.id));
    let Some((token, _)) = matching else { return Ok(false) };
    let summary = json!({"app": "authentik_core", "model_name": "token", "pk": token.id, "name": token.identifier});
    note_method(cx, "token", Map::from_iter([("token".to_owned(), summary)]));
    Ok(true)
}

/// The first proof names the method; details add up.
pub fn note_method(cx: &mut StageCx<'_>, method: &str, args: Map) {
    if !cx.context.has(keys::AUTH_METHOD) {
        cx.context.set(keys::AUTH_METHOD, &method.to_owned());
    }
    cx.context.object_mut(keys::AUTH_METHOD_ARGS).extend(args);
}

/// What `login_failed` says about a wrong password.
pub fn failure(cx: &StageCx<'_>, username: &str) -> Value {
    json!({"username": username, "password": weir_events::MASK, "stage": cx.stage_summary()})
}
