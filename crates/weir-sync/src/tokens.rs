//! What is remembered of a cloud tenant for a while: the token that opens it, and its domains.

use crate::wire::Failure;
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

    /// The token of a provider: kept, or asked for.
    ///
    /// # Errors
    /// Those of asking.
    pub async fn token(
        &self,
        (number, now): (i64, DateTime<Utc>),
        ask: impl Future<Output = Result<Value, Failure>>,
    ) -> Result<String, Failure> {
        let known = self.kept().tokens.get(&number).filter(|(until, _)| *until > now).map(|(_, token)| token.clone());
        if let Some(token) = known {
            return Ok(token);
        }
        let answer = ask.await?;
        let token = answer.get("access_token").and_then(Value::as_str).unwrap_or_default().to_owned();
        let life = answer.get("expires_in").and_then(Value::as_i64).unwrap_or(LIFE).clamp(0, 86_400);
        self.kept().tokens.insert(number, (now + TimeDelta::seconds(life) - MARGIN, token.clone()));
        Ok(token)
    }

    /// The domains of a provider's tenant: kept, or asked for.
    ///
    /// # Errors
    /// Those of asking.
    pub async fn domains(
        &self,
        (number, now): (i64, DateTime<Utc>),
        ask: impl Future<Output = Result<Vec<String>, Failure>>,
    ) -> Result<Vec<String>, Failure> {
        let known = self.kept().domains.get(&number).filter(|(until, _)| *until > now).map(|(_, known)| known.clone());
        if let Some(domains) = known {
            return Ok(domains);
        }
        let domains = ask.await?;
        self.kept().domains.insert(number, (now + DOMAINS, domains.clone()));
        Ok(domains)
    }

    /// Forgets the token of a provider when it is the one that was refused. Whether it is not, or was over anyway.
    pub fn refused(&self, (number, now): (i64, DateTime<Utc>), sent: &str) -> bool {
        let mut kept = self.kept();
        let Some((until, token)) = kept.tokens.get(&number) else { return true };
        if sent.strip_prefix("Bearer ") != Some(token.as_str()) {
            return true;
        }
        let is_over = *until <= now;
        kept.tokens.remove(&number);
        is_over
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

    #[tokio::test]
    async fn a_token_is_kept_for_its_life_less_a_minute() {
        let (tokens, now) = (Tokens::default(), DateTime::UNIX_EPOCH);
        let get = async |number: i64, seconds: i64, new: &str| {
            let answer = json!({"access_token": new, "expires_in": 100});
            tokens.token((number, now + TimeDelta::seconds(seconds)), async { Ok(answer) }).await.unwrap()
        };
        assert_eq!(get(1, 0, "a").await, "a");
        assert_eq!(get(1, 39, "b").await, "a");
        assert_eq!(get(1, 40, "b").await, "b");
        assert_eq!(get(2, 40, "c").await, "c");
        tokens.forget(1);
        assert_eq!(get(1, 41, "d").await, "d");
    }

    #[tokio::test]
    async fn a_refusal_of_an_old_token_leaves_the_new_one_alone() {
        let (tokens, now) = (Tokens::default(), DateTime::UNIX_EPOCH);
        let get = async |new: &str| {
            let answer = json!({"access_token": new, "expires_in": 100});
            tokens.token((1, now), async { Ok(answer) }).await.unwrap()
        };
        assert_eq!(get("new").await, "new");
        assert!(tokens.refused((1, now), "Bearer old"), "another one is there");
        assert_eq!(get("newer").await, "new");
        assert!(!tokens.refused((1, now), "Bearer new"));
        assert_eq!(get("newer").await, "newer");
        assert!(tokens.refused((1, now + TimeDelta::seconds(100)), "Bearer newer"), "it was over");
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
