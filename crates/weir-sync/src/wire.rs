//! Calls to targets: one JSON exchange at a time, judged by what its failure means for the sync.

use crate::journal::Journal;
use chrono::DateTime;
use reqwest::{
    Method, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use std::time::Duration;
use weir_core::Secret;
use weir_policy::outbound::{Outbound, OutboundError, OutboundRequest};

/// Longest part of an answer that is kept as a reason.
const QUOTED: usize = 300;
/// The longest wait a target may ask for.
const LONGEST_WAIT: u64 = 3600;

/// Why an exchange gave nothing, by what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The target as a whole cannot take anything now: too many requests, away, unreachable.
    Away {
        /// In words.
        reason: String,
        /// How long it asked to be left alone.
        wait: Option<Duration>,
    },
    /// The target failed at this object; others may go.
    Broken(String),
    /// The target refuses this object.
    Bad(String),
    /// The object is not there.
    Missing,
    /// An object like it is there already.
    Conflict(String),
    /// Nothing will work before somebody changes the configuration.
    Stop(String),
    /// A mapping fails at this object.
    Unmapped(String),
    /// The target does not know us, or no longer: with another token it may.
    Unknown {
        /// In words.
        reason: String,
        /// What was sent as `Authorization`.
        sent: Secret,
    },
    /// A mapping leaves the object out.
    Skip,
    /// Not sent because of a dry run.
    Dry,
    /// Our own store failed.
    Own(String),
}

impl Failure {
    /// In words, for the state of the object.
    pub fn reason(&self) -> String {
        match self {
            Self::Away { reason, .. } | Self::Unknown { reason, .. } => reason.clone(),
            Self::Broken(text)
            | Self::Bad(text)
            | Self::Conflict(text)
            | Self::Stop(text)
            | Self::Unmapped(text)
            | Self::Own(text) => text.clone(),
            Self::Missing => "The target does not know the object.".to_owned(),
            Self::Skip => "A mapping leaves this object out.".to_owned(),
            Self::Dry => "Not sent: the provider is on a dry run.".to_owned(),
        }
    }
}

impl From<weir_store::StoreError> for Failure {
    fn from(error: weir_store::StoreError) -> Self {
        Self::Own(error.to_string())
    }
}

/// A good answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The body; null when there was none.
    pub body: Value,
}

impl Answer {
    /// A text of the body.
    pub fn text(&self, key: &str) -> Option<String> {
        self.body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

/// How a run talks to one target.
pub struct Wire<'a> {
    /// The only way out.
    pub outbound: &'a Outbound,
    /// The target must prove who it is.
    pub verify: bool,
    /// Requests that change something are dropped.
    pub dry_run: bool,
    /// Where it is told.
    pub journal: &'a Journal,
    /// Time for one call.
    pub patience: Duration,
}

/// A request, before it is known who signs it.
pub struct Ask<'a> {
    /// Verb.
    pub method: Method,
    /// Address.
    pub url: String,
    /// Body, when there is one.
    pub body: Option<&'a Value>,
    /// `Authorization`, when there is one.
    pub authorization: Option<&'a str>,
    /// Media type of body and answer.
    pub media: &'static str,
}

fn headers(ask: &Ask<'_>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(ask.media));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(ask.media));
    if let Some(text) = ask.authorization {
        let value = HeaderValue::from_str(text);
        let mut value = value.map_err(|_| Failure::Stop("The access token cannot be sent.".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

impl Wire<'_> {
    /// Makes a call.
    ///
    /// # Errors
    /// What its failure means.
    pub async fn call(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        if self.dry_run && ask.method != Method::GET {
            let fields = json!({"method": ask.method.as_str(), "url": ask.url, "body": ask.body});
            self.journal.info("Dropping mutating request due to dry run", fields);
            return Err(Failure::Dry);
        }
        let url = Url::parse(&ask.url).map_err(|_| Failure::Stop("The target's address cannot be read.".to_owned()))?;
        let request = OutboundRequest {
            method: ask.method.clone(),
            url,
            headers: headers(&ask)?,
            body: ask.body.map(|body| body.to_string().into_bytes()),
            timeout: Some(self.patience),
            // A redirect would carry the token to whoever it names.
            follow_redirects: false,
        };
        let sent =
            if self.verify { self.outbound.send(request).await } else { self.outbound.send_unverified(request).await };
        let answer = sent.map_err(|error| match error {
            OutboundError::Refused(text) => Failure::Stop(text),
            other => Failure::Away { reason: other.to_string(), wait: None },
        })?;
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if (200..300).contains(&answer.status) {
            let empty = answer.body.iter().all(u8::is_ascii_whitespace);
            if body.is_null() && !empty {
                return Err(Failure::Broken(format!("{} answered with something that is no JSON.", host(&ask.url))));
            }
            return Ok(Answer { body });
        }
        let header = |wanted: &str| {
            let found = answer.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim())
        };
        let wait = header("retry-after").and_then(|value| asked_wait(value, header("date")));
        let reason = said(&ask, answer.status, &body);
        Err(match answer.status {
            404 | 410 => Failure::Missing,
            409 => Failure::Conflict(reason),
            401 => Failure::Unknown { reason, sent: Secret(ask.authorization.unwrap_or_default().to_owned()) },
            429 | 503 => Failure::Away { reason, wait },
            403 if is_quota(&body) => Failure::Away { reason, wait },
            // What a server does not know how to do it will not know next time.
            501 => Failure::Bad(reason),
            500.. => Failure::Broken(reason),
            _ => Failure::Bad(reason),
        })
    }

    /// Posts a form for a token.
    ///
    /// # Errors
    /// What its failure means; a refusal ends the sync.
    pub async fn token(&self, url: &str, form: &[(String, String)], basic: Option<&str>) -> Result<Value, Failure> {
        let parsed = Url::parse(url).map_err(|_| Failure::Stop("The address for tokens cannot be read.".to_owned()))?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(text) = basic {
            let value = HeaderValue::from_str(text);
            let mut value = value.map_err(|_| Failure::Stop("The client's secret cannot be sent.".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into_bytes();
        let request = OutboundRequest {
            method: Method::POST,
            url: parsed,
            headers,
            body: Some(body),
            timeout: Some(self.patience),
            follow_redirects: false,
        };
        let answer = self.outbound.send(request).await.map_err(|error| match error {
            OutboundError::Refused(text) => Failure::Stop(text),
            other => Failure::Away { reason: other.to_string(), wait: None },
        })?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        match answer.status {
            200..300 if body.get("access_token").is_some_and(Value::is_string) => Ok(body),
            429 | 500.. => {
                let reason = format!("{} gave no token: {}", host(url), answer.status);
                Err(Failure::Away { reason, wait: None })
            }
            status => {
                let error = body.get("error").and_then(Value::as_str).unwrap_or("no token in the answer");
                Err(Failure::Stop(format!("{} gave no token: {status} {}", host(url), quoted(error))))
            }
        }
    }
}

/// How long a target wants to be left alone (RFC 9110 10.2.3): seconds, or a time by its own clock.
fn asked_wait(value: &str, its_now: Option<&str>) -> Option<Duration> {
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let time = |text: &str| DateTime::parse_from_rfc2822(text).ok();
            let wait = time(value)? - time(its_now?)?;
            u64::try_from(wait.num_seconds()).unwrap_or_default()
        }
    };
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

/// Whether a refusal is one of too many requests: Google says so with 403.
fn is_quota(body: &Value) -> bool {
    const QUOTAS: [&str; 4] = ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"];
    let errors = body.get("error").and_then(|error| error.get("errors")).and_then(Value::as_array);
    errors
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .any(|error| error.get("reason").and_then(Value::as_str).is_some_and(|reason| QUOTAS.contains(&reason)))
}

fn host(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// One line of limited length.
pub fn quoted(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect()
}

/// What a refusal says, in the forms of SCIM (RFC 7644 3.12), Google and Microsoft.
fn said(ask: &Ask<'_>, status: u16, body: &Value) -> String {
    let text = body
        .get("detail")
        .or_else(|| body.get("error").and_then(|error| error.get("message")))
        .or_else(|| body.get("message"))
        .and_then(Value::as_str)
        .map(quoted)
        .unwrap_or_default();
    let path = Url::parse(&ask.url).map(|url| url.path().to_owned()).unwrap_or_default();
    let line = format!("{} {} answered {status}", ask.method, path);
    if text.is_empty() { line } else { format!("{line}: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_a_wait_in_seconds_or_as_a_time_of_their_own_clock() {
        let secs = |value: &str, now: Option<&str>| asked_wait(value, now).map(|wait| wait.as_secs());
        let now = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(secs("7", None), Some(7));
        assert_eq!(secs("9999999", None), Some(LONGEST_WAIT));
        assert_eq!(secs("Wed, 21 Oct 2015 07:29:30 GMT", now), Some(90));
        assert_eq!(secs("Wed, 21 Oct 2015 07:20:00 GMT", now), Some(0));
        assert_eq!(secs("Wed, 21 Oct 2015 07:29:30 GMT", None), None);
        assert_eq!(secs("soon", now), None);
    }

    #[test]
    fn a_quota_is_no_refusal_of_the_object() {
        let said =
            |reason: &str| json!({"error": {"code": 403, "errors": [{"domain": "usageLimits", "reason": reason}]}});
        assert!(is_quota(&said("userRateLimitExceeded")) && !is_quota(&said("forbidden")));
        assert!(!is_quota(&json!({"error": "rateLimitExceeded"})) && !is_quota(&Value::Null));
    }
}
