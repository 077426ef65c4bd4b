//! What is remembered of a cloud tenant for a while: the token that opens it, and its domains.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A token that ends within this time counts as ended.
const MARGIN: TimeDelta = TimeDelta::seconds(60);
/// Life of a token that does not say, in seconds.
const LIFE: i64 = 300;
/// How long the list of domains is good.
const DOMAINS: TimeDelta = TimeDelta::hours(1);

type Until<T> = (DateTime<Utc>, T);

#[derive(Default)]
struct Kept {
    tokens: HashMap<i64, Until<String>>,
    domains: HashMap<i64, Until<Vec<String>>>,
}

/// Tokens and domains by provider. They are not worth a place on the disk: the next process asks again.
#[derive(Default)]
pub struct Tokens(Mutex<Kept>);

impl Tokens {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token that is still good.
    pub fn find(&self, number: i64, now: DateTime<Utc>) -> Option<String> {
        self.kept().tokens.get(&number).filter(|(until, _)| *until > now).map(|(_, token)| token.clone())
    }

    /// Keeps the token of an answer and gives it.
    pub fn keep(&self, number: i64, now: DateTime<Utc>, answer: &Value) -> String {
        let token = answer.get("access_token").and_then(Value::as_str).unwrap_or_default().to_owned();
        let life = answer.get("expires_in").and_then(Value::as_i64).unwrap_or(LIFE).clamp(0, 86_400);
        self.kept().tokens.insert(number, (now + TimeDelta::seconds(life) - MARGIN, token.clone()));
        token
    }

    /// Domains that are still good.
    pub fn domains(&self, number: i64, now: DateTime<Utc>) -> Option<Vec<String>> {
        self.kept().domains.get(&number).filter(|(until, _)| *until > now).map(|(_, domains)| domains.clone())
    }

    /// Keeps domains and gives them.
    pub fn keep_domains(&self, number: i64, now: DateTime<Utc>, domains: Vec<String>) -> Vec<String> {
        self.kept().domains.insert(number, (now + DOMAINS, domains.clone()));
        domains
    }

    /// Forgets a provider.
    pub fn forget(&self, number: i64) {
        let mut kept = self.kept();
        kept.tokens.remove(&number);
        kept.domains.remove(&number);
    }
}

/// The first address whose domain is none of the tenant's.
pub fn foreign<'a>(domains: &[String], addresses: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    addresses.into_iter().find(|address| {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase();
        !domains.contains(&domain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_kept_for_its_life_less_a_minute() {
        let (tokens, now) = (Tokens::default(), DateTime::UNIX_EPOCH);
        tokens.keep(1, now, &json!({"access_token": "a", "expires_in": 100}));
        assert_eq!(tokens.find(1, now + TimeDelta::seconds(39)).as_deref(), Some("a"));
        assert_eq!(tokens.find(1, now + TimeDelta::seconds(40)), None);
        assert_eq!(tokens.find(2, now), None);
        tokens.forget(1);
        assert_eq!(tokens.find(1, now), None);
    }

    #[test]
    fn an_address_belongs_to_the_tenant_by_its_whole_domain_in_any_case() {
        let domains = ["example.org".to_owned()];
        assert_eq!(foreign(&domains, ["a@Example.ORG"]), None);
        assert_eq!(foreign(&domains, ["a@example.org", "b@evil-example.org"]), Some("b@evil-example.org"));
        assert_eq!(foreign(&domains, ["a@x@example.org"]), None);
        assert_eq!(foreign(&domains, ["nobody"]), Some("nobody"));
    }
}
