//! Duo's interface: signed calls, and what their answers mean.
//!
//! A call is signed with HMAC-SHA-512 over its date, method, host, path and parameters, one a line; the parameters are
//! sorted and encoded as they travel. The signature is the password of the call, the integration key its name.

use super::AuthenticatorDuoStage;
use crate::remote;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::Sha512;
use std::time::Duration;
use url::Url;
use weir_flow::App;
use weir_policy::outbound::OutboundRequest;

/// What stays as it is in parameters.
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// For calls that nobody is waited for in.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Longest text of Duo's that is shown, characters.
const LONGEST: usize = 300;

/// Why a call gave nothing, in words; the text may be shown.
#[derive(Debug)]
pub struct Failure(pub String);

/// One application of a customer of Duo.
pub struct Duo<'a> {
    app: &'a App,
    host: &'a str,
    key: &'a str,
    secret: &'a str,
}

impl<'a> Duo<'a> {
    /// The application that asks people.
    pub fn of(app: &'a App, stage: &'a AuthenticatorDuoStage) -> Self {
        Self { app, host: &stage.api_hostname, key: &stage.client_id, secret: &stage.client_secret.0 }
    }

    /// The application that lists accounts; none when it is not configured.
    pub fn admin_of(app: &'a App, stage: &'a AuthenticatorDuoStage) -> Option<Self> {
        let (key, secret) = (stage.admin_integration_key.as_str(), stage.admin_secret_key.0.as_str());
        let is_set = !key.is_empty() && !secret.is_empty();
        is_set.then_some(Self { app, host: &stage.api_hostname, key, secret })
    }

    /// Makes a call; the whole answer.
    ///
    /// # Errors
    /// When Duo refuses it, cannot be reached, or answers nothing of use.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        parameters: &[(&str, &str)],
        time: Duration,
    ) -> Result<Value, Failure> {
        let request = self.request(method, path, parameters, self.app.site.clock.now()).map_err(Failure)?;
        let sent = self.app.outbound.send(remote::within(request, time)).await;
        let answer = sent.map_err(|error| Failure(error.to_string()))?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match value.get("stat").and_then(Value::as_str) {
            Some("OK") if answer.status == 200 => Ok(value),
            Some("FAIL") => {
                let part = |name: &str| value.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
                let said = part("message").unwrap_or("Duo refused the request");
                let text = part("message_detail").map_or_else(|| said.to_owned(), |more| format!("{said} ({more})"));
                Err(Failure(text.chars().filter(|c| *c != '\0').take(LONGEST).collect()))
            }
            _ => Err(Failure(format!("Duo gave no usable answer ({}).", answer.status))),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        parameters: &[(&str, &str)],
        now: DateTime<Utc>,
    ) -> Result<OutboundRequest, String> {
        let base = self.app.services.duo_url.clone().unwrap_or_else(|| format!("https://{}", self.host));
        let encoded = encode(parameters);
        let date = now.to_rfc2822();
        let host = self.host.to_lowercase();
        let password = sign(self.secret, &[&date, method.as_str(), &host, path, &encoded]);
        let in_body = method == Method::POST;
        let query = if in_body || encoded.is_empty() { String::new() } else { format!("?{encoded}") };
        let url = Url::parse(&format!("{base}{path}{query}")).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        let text = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        headers.insert(header::DATE, text(&date)?);
        // Where Duo is reached by another way it is still addressed by its own name.
        headers.insert(header::HOST, text(&host)?);
        if in_body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        let body = in_body.then(|| encoded.into_bytes());
        let request = OutboundRequest { method, url, headers, body, timeout: None, follow_redirects: false };
        Ok(remote::with_basic(request, self.key, &password))
    }
}

fn encode(parameters: &[(&str, &str)]) -> String {
    let mut pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| {
            format!("{}={}", utf8_percent_encode(name, PARAMETER), utf8_percent_encode(value, PARAMETER))
        })
        .collect();
    pairs.sort();
    pairs.join("&")
}

fn sign(secret: &str, lines: &[&str]) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(lines.join("\n").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_sorted_and_encoded_byte_for_byte() {
        assert_eq!(encode(&[("realname", "First Last"), ("username", "root")]), "realname=First%20Last&username=root");
        assert_eq!(encode(&[("b", "ü@~-_.*"), ("a", "1&2=3")]), "a=1%262%3D3&b=%C3%BC%40~-_.%2A");
        assert_eq!(encode(&[]), "");
    }

    #[test]
    fn the_signature_is_that_of_the_lines() {
        let secret = "Zh5eGmUq9zpfQnyUIu5OL9iWoMMv5ZNmk3zLJ4Ep";
        let lines = [
            "Tue, 21 Aug 2012 17:29:18 -0000",
            "POST",
            "api-xxxxxxxx.duosecurity.com",
            "/accounts/v1/account/list",
            "realname=First%20Last&username=root",
        ];
        // As Duo's own client for Python signs the same call.
        let expected = "1bffb8924348f7db7da9e7d7d749ded93aafd02d8e904960da7b96c575102201\
                        85a64a2827ee8f24ac5d30802a9ee97e59de44b304b18242f0d596d15a8122af";
        assert_eq!(sign(secret, &lines), expected);
    }
}
