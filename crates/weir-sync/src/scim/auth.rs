//! How calls prove who makes them.

use super::{SCIMAuthenticationMode, SCIMProvider};
use crate::{
    engine::Engine,
    state,
    wire::{Failure, Wire},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::sync::Arc;
use weir_sources::oauth::{AuthMethod, OAuthSource};
use weir_store::{Db, StoreError};

/// A token that ends within this time counts as ended.
const MARGIN: TimeDelta = TimeDelta::seconds(30);
/// Life of a token that does not say.
const LIFE: TimeDelta = TimeDelta::minutes(5);

/// The value of `Authorization`; none without a token.
pub async fn authorization(
    engine: &Engine,
    number: i64,
    provider: &SCIMProvider,
    wire: &Wire<'_>,
) -> Result<Option<String>, Failure> {
    let bearer = |token: &str| Some(format!("Bearer {token}")).filter(|_| !token.is_empty());
    if provider.auth_mode == SCIMAuthenticationMode::Token {
        return Ok(bearer(&provider.token.0));
    }
    let site = &engine.site;
    let known = state::target(&site.db, number).await?;
    let now = site.clock.now();
    if let (Some(token), Some(expires)) = (&known.access_token, known.token_expires)
        && expires > now + MARGIN
    {
        return Ok(bearer(token));
    }
    let known_since = known.token_updated;
    let source = provider.auth_oauth.as_ref().and_then(|source| site.snapshot().get::<OAuthSource>(source.uuid()));
    let source: Arc<OAuthSource> =
        source.ok_or_else(|| Failure::Stop("No OAuth source is configured for authentication.".to_owned()))?;
    let form = match provider.auth_mode {
        SCIMAuthenticationMode::OauthInteractive => {
            let refresh = known
                .refresh_token
                .ok_or_else(|| Failure::Stop("Nobody has allowed this site to call the application yet.".to_owned()))?;
            vec![("grant_type".to_owned(), "refresh_token".to_owned()), ("refresh_token".to_owned(), refresh)]
        }
        _ => client_form(provider, &source),
    };
    let asked = ask(wire, &source, form).await;
    // Another node, or a person, may have got one meanwhile; what renews a token is often good once.
    let newer = state::target(&site.db, number).await?;
    if newer.token_updated != known_since
        && let (Some(token), Some(expires)) = (&newer.access_token, newer.token_expires)
        && expires > now + MARGIN
    {
        return Ok(bearer(token));
    }
    let token = asked?;
    keep(engine, number, &token, now).await?;
    let access = token.get("access_token").and_then(Value::as_str).unwrap_or_default();
    Ok(bearer(access))
}

/// A token was refused: when it is the one in use, it is not used again. Whether it is not, or was over anyway.
pub(crate) async fn refused(db: &Db, now: DateTime<Utc>, number: i64, sent: &str) -> Result<bool, StoreError> {
    let mut tx = db.tx();
    tx.begin_write().await?;
    let known = state::target(&mut tx, number).await?;
    // Without a token of ours it is a fixed one.
    let Some(token) = known.access_token else { return tx.rollback().await.map(|()| false) };
    if sent.strip_prefix("Bearer ") != Some(token.as_str()) {
        return tx.rollback().await.map(|()| true);
    }
    let sql = "UPDATE sync_target SET token_expires = NULL WHERE provider = $1 AND access_token = $2";
    tx.write(sql, &[number.into(), token.into()]).await?;
    tx.commit().await?;
    Ok(known.token_expires.is_some_and(|expires| expires <= now))
}

/// The request for a token in the name of this site; what the provider names wins.
fn client_form(provider: &SCIMProvider, source: &OAuthSource) -> Vec<(String, String)> {
    let mut form: Vec<(String, String)> = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
    let scopes = source.additional_scopes.trim_start_matches('*').trim();
    if !scopes.is_empty() {
        form.push(("scope".to_owned(), scopes.to_owned()));
    }
    for (name, value) in &provider.auth_oauth_params {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        form.retain(|(known, _)| known != name);
        form.push((name.clone(), value));
    }
    form
}

/// Client id and secret in the header (RFC 6749 2.3.1).
fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

/// Asks the source's provider for a token.
pub(crate) async fn ask(
    wire: &Wire<'_>,
    source: &OAuthSource,
    mut form: Vec<(String, String)>,
) -> Result<Value, Failure> {
    let url = source
        .token_address()
        .ok_or_else(|| Failure::Stop("The OAuth source has no address for tokens.".to_owned()))?;
    let basic = match source.authorization_code_auth_method {
        AuthMethod::BasicAuth => Some(basic(&source.consumer_key, &source.consumer_secret.0)),
        AuthMethod::PostBody => {
            form.push(("client_id".to_owned(), source.consumer_key.clone()));
            form.push(("client_secret".to_owned(), source.consumer_secret.0.clone()));
            None
        }
    };
    wire.token(url, &form, basic.as_deref()).await
}

/// Keeps a token with its end, and what gets the next one.
pub(crate) async fn keep(engine: &Engine, number: i64, token: &Value, now: DateTime<Utc>) -> Result<(), Failure> {
    let life = token.get("expires_in").and_then(Value::as_i64).filter(|secs| (0..3_200_000_000).contains(secs));
    let expires = now + life.map_or(LIFE, TimeDelta::seconds);
    let text = |key: &str| token.get(key).and_then(Value::as_str);
    let mut tx = engine.site.db.tx();
    state::ensure_target(&mut tx, number).await?;
    let sql = "UPDATE sync_target SET access_token = $2, refresh_token = COALESCE($3, refresh_token), \
               token_expires = $4, token_updated = $5 WHERE provider = $1";
    let vals = [number.into(), text("access_token").into(), text("refresh_token").into(), expires.into(), now.into()];
    tx.write(sql, &vals).await?;
    Ok(tx.commit().await?)
}
