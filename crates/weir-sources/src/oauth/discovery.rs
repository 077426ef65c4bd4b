//! What a provider tells of itself, and its public keys: fetched when a source is saved, refreshed now and then, and
//! looked at again when a sign-in needs what is not there yet.

use super::{OAuthSource, config::is_web_address};
use crate::remote::{self, Proof, Trouble};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use weir_core::Map;
use weir_policy::outbound::Outbound;

/// How long what was fetched is used without another look.
const FRESH: TimeDelta = TimeDelta::hours(1);
/// Unknown key ids make us look again, but not more often than this.
const PAUSE: TimeDelta = TimeDelta::seconds(10);
/// Entries kept; more are forgotten, which costs a call each.
const LARGEST: usize = 1000;

/// A provider's description of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Who signs its statements.
    pub issuer: String,
    /// Where people are sent to.
    pub authorization_url: String,
    /// Where codes are redeemed.
    pub access_token_url: String,
    /// Where it tells about people.
    pub profile_url: String,
    /// Where its keys are.
    pub jwks_url: String,
}

impl Description {
    fn read(value: &Value) -> Result<Self, Trouble> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let address = |key: &str| Some(text(key)).filter(|url| is_web_address(url)).unwrap_or_default();
        let read = Self {
            issuer: text("issuer"),
            authorization_url: address("authorization_endpoint"),
            access_token_url: address("token_endpoint"),
            profile_url: address("userinfo_endpoint"),
            jwks_url: address("jwks_uri"),
        };
        if read.authorization_url.is_empty() || read.access_token_url.is_empty() || read.issuer.is_empty() {
            return Err(Trouble::new("The description names no issuer or lacks an address."));
        }
        Ok(read)
    }
}

type Kept<T> = Mutex<HashMap<String, (DateTime<Utc>, T)>>;

/// What was fetched, by address. Losing it costs a call and nothing else.
#[derive(Default)]
pub struct Discovery {
    descriptions: Kept<Description>,
    keys: Kept<Map>,
}

fn find<T: Clone>(kept: &Kept<T>, url: &str) -> Option<(DateTime<Utc>, T)> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).get(url).cloned()
}

fn keep<T>(kept: &Kept<T>, url: &str, now: DateTime<Utc>, value: T) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= LARGEST {
        kept.clear();
    }
    kept.insert(url.to_owned(), (now, value));
}

impl Discovery {
    /// The description at an address; `anew` asks even when one is known.
    ///
    /// # Errors
    /// When there is none.
    pub async fn description(
        &self,
        outbound: &Outbound,
        now: DateTime<Utc>,
        url: &str,
        anew: bool,
    ) -> Result<Description, Trouble> {
        if let Some((fetched, known)) = find(&self.descriptions, url)
            && !anew
            && now - fetched < FRESH
        {
            return Ok(known);
        }
        let read = Description::read(&remote::get(outbound, url, &Proof::None).await?)?;
        keep(&self.descriptions, url, now, read.clone());
        Ok(read)
    }

    /// A description that was fetched before, without asking.
    pub fn known(&self, url: &str) -> Option<Description> {
        find(&self.descriptions, url).map(|(_, known)| known)
    }

    /// The keys at an address; `anew` asks even when some are known, unless that was done a moment ago.
    ///
    /// # Errors
    /// When there are none.
    pub async fn keys(&self, outbound: &Outbound, now: DateTime<Utc>, url: &str, anew: bool) -> Result<Map, Trouble> {
        let life = if anew { PAUSE } else { FRESH };
        if let Some((fetched, known)) = find(&self.keys, url)
            && now - fetched < life
        {
            return Ok(known);
        }
        let keys = fetch_keys(outbound, url).await?;
        keep(&self.keys, url, now, keys.clone());
        Ok(keys)
    }

    /// A source with the addresses and the issuer that its provider tells, as far as it lacks them.
    ///
    /// # Errors
    /// When it lacks what it needs and the provider tells nothing.
    pub async fn complete(
        &self,
        outbound: &Outbound,
        now: DateTime<Utc>,
        source: &OAuthSource,
    ) -> Result<OAuthSource, Trouble> {
        let mut source = source.clone();
        let lacks = source.authorization_address().is_none()
            || source.token_address().is_none()
            || (source.issuer.is_empty() && source.provider_type.facts().issuers.is_empty());
        if source.oidc_well_known_url.is_empty() || !lacks {
            return Ok(source);
        }
        let told = self.description(outbound, now, &source.oidc_well_known_url, false).await?;
        let fill = |own: &mut Option<String>, told: String| {
            if own.as_ref().is_none_or(String::is_empty) && !told.is_empty() {
                *own = Some(told);
            }
        };
        fill(&mut source.authorization_url, told.authorization_url);
        fill(&mut source.access_token_url, told.access_token_url);
        fill(&mut source.profile_url, told.profile_url);
        if source.oidc_jwks_url.is_empty() {
            source.oidc_jwks_url = told.jwks_url;
        }
        source.issuer = told.issuer;
        Ok(source)
    }
}

/// Public keys; what is not public is left out.
///
/// # Errors
/// When there is no good answer.
pub async fn fetch_keys(outbound: &Outbound, url: &str) -> Result<Map, Trouble> {
    let value = remote::get(outbound, url, &Proof::None).await?;
    match value {
        Value::Object(map) if map.get("keys").is_some_and(Value::is_array) => Ok(map),
        _ => Err(Trouble::new("The address of the keys gives no set of keys.")),
    }
}
