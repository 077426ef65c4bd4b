//! Tokens made by the server, and their keys.

use super::{
    Intent, Token,
    revoked::{self, Which},
};
use crate::{accounts, digest, kind};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use weir_core::ApiError;
use weir_events::{Event, action};
use weir_resource::{Stored, Unit, store, store_at};

/// A token to make.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Unique name.
    pub identifier: String,
    /// The user as whom it acts.
    pub user_id: i64,
    /// What it is for.
    pub intent: Intent,
    /// When it stops working; never when none.
    pub expires: Option<DateTime<Utc>>,
    /// Note for people.
    pub description: String,
    /// Mark of tokens the server keeps.
    pub managed: Option<String>,
    /// The key, when it is given from outside; otherwise a random one.
    pub key: Option<String>,
}

impl NewToken {
    /// A token without end, note or mark.
    pub fn new(identifier: impl Into<String>, user_id: i64, intent: Intent) -> Self {
        Self {
            identifier: identifier.into(),
            user_id,
            intent,
            expires: None,
            description: String::new(),
            managed: None,
            key: None,
        }
    }
}

/// Makes a token on behalf of the server: the rules for clients (intent, owner, life) do not apply. Returns its key.
///
/// # Errors
/// 400 for an identifier in use, a user that is gone or inactive; those of the store.
pub async fn mint(unit: &mut Unit<'_>, new: NewToken) -> Result<(Stored, String), ApiError> {
    let body = json!({
        "identifier": new.identifier,
        "user": new.user_id,
        "intent": new.intent.as_str(),
        "description": new.description,
        "managed": new.managed,
        "expiring": new.expires.is_some(),
        "expires": new.expires.map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
    });
    let Value::Object(body) = body else { return Err(anyhow::anyhow!("a token is an object").into()) };
    let tokens = kind::<Token>(unit.site)?;
    accounts::lock_for(unit, new.user_id).await?;
    // The hooks apply the clients' rules when somebody acts; the audit trail keeps naming the actor.
    let actor = unit.actor.user_id.take();
    let made = unit.create(tokens, &body, None).await;
    unit.actor.user_id = actor;
    let made = made?;
    let key = match new.key {
        Some(key) => {
            write_key(unit, &made.pk, &key).await?;
            key
        }
        None => read_key(unit, &made.pk).await?,
    };
    Ok((made, key))
}

async fn read_key(unit: &mut Unit<'_>, id: &str) -> Result<String, ApiError> {
    let row = unit.tx.read_one("SELECT key FROM identity_token WHERE id = $1", &[id.into()]).await.map_err(store)?;
    row.map(|r| r.text("key")).transpose().map_err(store)?.ok_or_else(ApiError::not_found)
}

async fn write_key(unit: &mut Unit<'_>, id: &str, key: &str) -> Result<(), ApiError> {
    if key.trim().is_empty() {
        return Err(ApiError::field("key", "This field may not be blank."));
    }
    if key.len() > 1024 {
        return Err(ApiError::field("key", "Ensure this field has no more than 1024 characters."));
    }
    let sql = "UPDATE identity_token SET key = $1, key_digest = $2 WHERE id = $3 AND flow_id IS NULL";
    let vals = [key.into(), digest(key).into(), id.into()];
    let written = unit.tx.write(sql, &vals).await.map_err(store_at("key", "Token with this key already exists."))?;
    if written == 0 { Err(ApiError::not_found()) } else { Ok(()) }
}

/// `secret_view` or `secret_rotate` about a token.
pub(super) fn secret_event(what: &str, token: &Stored) -> Event {
    let model = json!({
        "app": "authentik_core", "model_name": "token", "pk": token.pk.replace('-', ""), "name": token.name(),
    });
    Event::new(what, "authentik_core", json!({"secret": model}))
}

/// The key of a token; that it was read is put on record. Whether the caller may is decided before
/// (`view_token_key` on the token).
///
/// # Errors
/// 404 when the token is gone; those of the store.
pub async fn view_key(unit: &mut Unit<'_>, token: &Stored) -> Result<String, ApiError> {
    let key = read_key(unit, &token.pk).await?;
    unit.event(secret_event(action::SECRET_VIEW, token)).await?;
    Ok(key)
}

/// Replaces the key of a token. Whether the caller may is decided before (`set_token_key` on the token).
///
/// # Errors
/// 400 for an unusable key, 404 when the token is gone or leads into a flow; those of the store.
pub async fn set_key(unit: &mut Unit<'_>, token: &Stored, key: &str) -> Result<(), ApiError> {
    let now = unit.site.clock.now();
    revoked::remember(&mut unit.tx, now, Which::Token(&token.pk)).await.map_err(store)?;
    write_key(unit, &token.pk, key).await?;
    unit.event(secret_event(action::SECRET_ROTATE, token)).await
}
