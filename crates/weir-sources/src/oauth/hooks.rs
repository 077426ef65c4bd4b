//! Rules of OAuth sources that need to look outside, and the read-only fields of their answers.

use super::{OAuthSources, config::is_web_address, login, providers::ProviderType};
use crate::base;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use weir_core::{ApiError, Map};
use weir_policy::outbound::Outbound;
use weir_resource::{Hooks, Keep, ListQuery, Presenting, Site, Stored, Unit};

/// See [`OAuthSource`](super::OAuthSource).
pub struct OAuthHooks {
    /// The only way out.
    pub outbound: Arc<Outbound>,
    /// What was fetched.
    pub sources: Arc<OAuthSources>,
}

/// A text as it will be: the body's, else the stored one.
fn text<'a>(body: &'a Map, old: Option<&'a Stored>, field: &str) -> &'a str {
    match body.get(field) {
        Some(value) => value.as_str().unwrap_or_default(),
        None => old.map_or("", |old| old.text(field)),
    }
}

#[async_trait]
impl Hooks for OAuthHooks {
    async fn before(&self, site: &Site, old: Option<&Stored>, body: &mut Map) -> Result<(), ApiError> {
        let now = site.clock.now();
        let well_known = text(body, old, "oidc_well_known_url").to_owned();
        if is_web_address(&well_known) {
            let told = self.sources.discovery.description(&self.outbound, now, &well_known, true).await;
            let told = told.map_err(|trouble| ApiError::field("oidc_well_known_url", trouble.0))?;
            let is_new = old.is_none_or(|old| old.text("oidc_well_known_url") != well_known);
            for (field, value) in [
                ("authorization_url", told.authorization_url),
                ("access_token_url", told.access_token_url),
                ("profile_url", told.profile_url),
                ("oidc_jwks_url", told.jwks_url),
            ] {
                // What the body says counts; what it leaves out follows the description when that is new.
                let given = body.get(field).is_some_and(|v| v.as_str().is_some_and(|text| !text.is_empty()));
                let has = old.is_some_and(|old| !old.text(field).is_empty());
                if !given && (is_new || !has) && !value.is_empty() {
                    body.insert(field.to_owned(), value.into());
                }
            }
        }
        let keys = text(body, old, "oidc_jwks_url").to_owned();
        if is_web_address(&keys) {
            let fetched = super::discovery::fetch_keys(&self.outbound, &keys).await;
            let fetched = fetched.map_err(|trouble| ApiError::field("oidc_jwks_url", trouble.0))?;
            body.insert("oidc_jwks".to_owned(), Value::Object(fetched));
        }
        Ok(())
    }

    async fn prepare(&self, _unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let well_known = new.get("oidc_well_known_url").and_then(Value::as_str).unwrap_or_default();
        let known = self.sources.discovery.known(well_known).map(|told| told.issuer);
        let same = old.filter(|old| old.text("oidc_well_known_url") == well_known).map(|old| old.text("issuer"));
        let issuer = known.or_else(|| same.map(str::to_owned)).unwrap_or_default();
        new.insert("issuer".to_owned(), if well_known.is_empty() { String::new() } else { issuer }.into());
        Ok(())
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            base::add_pictures(cx.site, row, answer);
            let callback = login::callback_address(cx.snapshot, cx.base_url, &cx.site.prefix, row.text("slug"));
            answer.insert("callback_url".to_owned(), callback.into());
            let provider = row.doc.get("provider_type").cloned().unwrap_or_default();
            let provider: Option<ProviderType> = serde_json::from_value(provider).ok();
            answer.insert("type".to_owned(), provider.map_or(Value::Null, |p| p.facts().to_value()));
        }
        Ok(())
    }

    fn keep(&self, query: &ListQuery) -> Result<Option<Keep>, ApiError> {
        let Some(wanted) = query.flag("has_jwks")? else { return Ok(None) };
        let has = |doc: &Map| doc.get("oidc_jwks").and_then(Value::as_object).is_some_and(|keys| !keys.is_empty());
        Ok(Some(Keep::new(&["has_jwks"], move |doc| has(doc) == wanted)))
    }
}
