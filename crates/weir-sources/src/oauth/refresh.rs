//! Descriptions and keys of providers change; this looks at all of them now and then.

use super::{OAuthSource, OAuthSources, discovery};
use anyhow::Result;
use serde_json::Value;
use uuid::Uuid;
use weir_core::{Map, Resource as _};
use weir_flow::App;
use weir_resource::{Actor, Unit};

/// What one look found: sources that changed, and those that could not be asked with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Names of sources whose description or keys are new.
    pub changed: Vec<String>,
    /// Name and reason.
    pub failed: Vec<(String, String)>,
}

/// Fetches the description and the keys of every enabled source that has an address for them.
///
/// # Errors
/// Those of the store; a provider that is away is a result.
pub async fn refresh(app: &App, sources: &OAuthSources) -> Result<Refreshed> {
    let snapshot = app.site.snapshot();
    let mut done = Refreshed::default();
    for (id, source) in snapshot.all::<OAuthSource>() {
        if !source.base.enabled || (source.oidc_well_known_url.is_empty() && source.oidc_jwks_url.is_empty()) {
            continue;
        }
        // Asked before the transaction.
        match news(app, sources, &source).await {
            Ok(fields) if fields.is_empty() => {}
            Ok(fields) => {
                write(app, id, fields).await?;
                done.changed.push(source.base.name.clone());
            }
            Err(trouble) => done.failed.push((source.base.name.clone(), trouble.0)),
        }
    }
    Ok(done)
}

/// The fields that have to change.
async fn news(app: &App, sources: &OAuthSources, source: &OAuthSource) -> Result<Map, crate::remote::Trouble> {
    let now = app.site.clock.now();
    let mut fields = Map::new();
    let mut keys_address = source.oidc_jwks_url.clone();
    if !source.oidc_well_known_url.is_empty() {
        let told = sources.discovery.description(&app.outbound, now, &source.oidc_well_known_url, true).await?;
        let own = |url: &Option<String>| url.clone().unwrap_or_default();
        for (field, own, told) in [
            ("authorization_url", own(&source.authorization_url), told.authorization_url),
            ("access_token_url", own(&source.access_token_url), told.access_token_url),
            ("profile_url", own(&source.profile_url), told.profile_url),
            ("oidc_jwks_url", keys_address.clone(), told.jwks_url.clone()),
        ] {
            if own.is_empty() && !told.is_empty() {
                fields.insert(field.to_owned(), told.into());
            }
        }
        if keys_address.is_empty() {
            keys_address = told.jwks_url;
        }
        if source.issuer != told.issuer {
            fields.insert("issuer".to_owned(), told.issuer.into());
        }
    }
    if !keys_address.is_empty() {
        let keys = discovery::fetch_keys(&app.outbound, &keys_address).await?;
        if keys != source.oidc_jwks {
            fields.insert("oidc_jwks".to_owned(), Value::Object(keys));
        }
    }
    Ok(fields)
}

async fn write(app: &App, id: Uuid, fields: Map) -> Result<()> {
    let mut unit = Unit::new(&app.site, Actor::system());
    let kind = app.site.registry.find(OAuthSource::MODEL);
    let kind = kind.ok_or_else(|| anyhow::anyhow!("OAuth sources are not registered"))?;
    unit.lock_configuration().await?;
    // Deleted meanwhile.
    if unit.find(kind, &id.to_string()).await?.is_none() {
        return Ok(());
    }
    unit.set(kind, &id.to_string(), fields).await?;
    Ok(unit.commit().await?)
}
