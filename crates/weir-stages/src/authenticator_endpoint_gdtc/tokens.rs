//! Access tokens of service accounts, kept as long as Google says that they are good.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use weir_core::Map;

/// A token that ends within this time counts as ended.
const MARGIN: TimeDelta = TimeDelta::seconds(60);
/// Life of a token that does not say, in seconds.
const LIFE: i64 = 300;

/// Tokens by the credentials they were given for. They are not worth a place on the disk: the next process asks again.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<String, (DateTime<Utc>, String)>>);

impl Tokens {
    /// A token that is still good.
    pub fn find(&self, credentials: &Map, now: DateTime<Utc>) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&key(credentials)).filter(|(until, _)| *until > now).map(|(_, token)| token.clone())
    }

    /// Keeps the token of an answer and gives it; none when the answer has none.
    pub fn keep(&self, credentials: &Map, now: DateTime<Utc>, answer: &Map) -> Option<String> {
        let token = answer.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty())?.to_owned();
        let life = answer.get("expires_in").and_then(Value::as_i64).unwrap_or(LIFE).clamp(0, 86_400);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (until, _)| *until > now);
        kept.insert(key(credentials), (now + TimeDelta::seconds(life) - MARGIN, token.clone()));
        Some(token)
    }

    /// Forgets a token that Google does not take any more.
    pub fn forget(&self, credentials: &Map) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(credentials));
    }
}

/// Other credentials get other tokens, also under the name of the same stage.
fn key(credentials: &Map) -> String {
    weir_identity::digest(&Value::Object(credentials.clone()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_kept_for_its_credentials_and_for_its_life_less_a_minute() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let (tokens, now) = (Tokens::default(), DateTime::UNIX_EPOCH);
        let (mine, other) = (object(json!({"private_key": "a"})), object(json!({"private_key": "b"})));
        let answer = object(json!({"access_token": "t", "expires_in": 100}));
        assert_eq!(tokens.keep(&mine, now, &answer).as_deref(), Some("t"));
        assert_eq!(tokens.find(&mine, now + TimeDelta::seconds(39)).as_deref(), Some("t"));
        assert_eq!(tokens.find(&mine, now + TimeDelta::seconds(40)), None);
        assert_eq!(tokens.find(&other, now), None);
        tokens.forget(&mine);
        assert_eq!(tokens.find(&mine, now), None);
        for empty in [json!({}), json!({"access_token": ""}), json!({"access_token": 7})] {
            assert_eq!(tokens.keep(&mine, now, &object(empty)), None);
        }
    }
}
