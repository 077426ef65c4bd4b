//! Calls to the other side, and why they gave nothing.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Method, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::Value;
use std::time::Duration;
use weir_core::Map;
use weir_policy::outbound::{Outbound, OutboundRequest};

/// Time for one call: a person is waiting.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest part of what the other side says that goes into events.
const QUOTED: usize = 200;

/// What is wrong on the other side or with how we are set up for it. The text is for administrators and holds no
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

impl Trouble {
    /// Trouble in these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What another side said, safe for events: one line of limited length.
pub fn quoted(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect()
}

/// How a call proves who makes it.
pub enum Proof<'a> {
    /// Not at all.
    None,
    /// Client id and secret, form-encoded each, in the header (RFC 6749 2.3.1).
    Basic(&'a str, &'a str),
    /// An access token.
    Bearer(&'a str),
}

fn header(proof: &Proof<'_>) -> Result<Option<HeaderValue>, Trouble> {
    let text = match proof {
        Proof::None => return Ok(None),
        Proof::Basic(id, secret) => {
            let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
        }
        Proof::Bearer(token) => format!("Bearer {token}"),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| Trouble::new("The access token cannot be sent."))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

async fn send(
    outbound: &Outbound,
    method: Method,
    url: &str,
    proof: &Proof<'_>,
    form: Option<&[(String, String)]>,
) -> Result<(u16, Value), Trouble> {
    let url = Url::parse(url).map_err(|_| Trouble::new("An address of the source cannot be read."))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(value) = header(proof)? {
        headers.insert(AUTHORIZATION, value);
    }
    let body = form.map(|pairs| {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes()
    });
    // A redirect would carry codes and tokens to whoever it names.
    let request = OutboundRequest { method, url, headers, body, timeout: Some(PATIENCE), follow_redirects: false };
    let response = outbound.send(request).await.map_err(|error| Trouble::new(error.to_string()))?;
    let parsed = serde_json::from_slice(&response.body).ok().or_else(|| form_answer(&response.headers, &response.body));
    match parsed {
        Some(value) => Ok((response.status, value)),
        None => Err(Trouble::new(format!("{host} answered {} with something that is no JSON.", response.status))),
    }
}

/// Some providers answer in the form of the request.
fn form_answer(headers: &[(String, String)], body: &[u8]) -> Option<Value> {
    let media = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))?;
    let is_form = media.1.starts_with("application/x-www-form-urlencoded");
    let pairs = url::form_urlencoded::parse(body);
    is_form.then(|| Value::Object(pairs.map(|(n, v)| (n.into_owned(), v.into_owned().into())).collect::<Map>()))
}

/// What an answer says about an error, in any of the usual forms.
fn refusal(status: u16, value: &Value) -> Option<String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(quoted);
    let named = match value.get("error") {
        Some(Value::Object(error)) => {
            error.get("message").or_else(|| error.get("code")).map(|v| quoted(&v.to_string()))
        }
        Some(Value::Null) | None => None,
        Some(Value::String(code)) => Some(quoted(code)),
        Some(other) => Some(quoted(&other.to_string())),
    };
    let wechat = value.get("errcode").and_then(Value::as_i64).filter(|code| *code != 0);
    let wechat = wechat.map(|code| format!("{code} {}", text("errmsg").unwrap_or_default()));
    let not_ok = (value.get("ok") == Some(&Value::Bool(false))).then(|| "not ok".to_owned());
    let bad = (!(200..300).contains(&status)).then(|| text("message").unwrap_or_default());
    let reason = named.or(wechat).or(not_ok).or(bad)?;
    let described = text("error_description").map(|text| format!(": {text}")).unwrap_or_default();
    Some(format!("{reason}{described}"))
}

fn accept((status, value): (u16, Value), url: &str) -> Result<Value, Trouble> {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    match refusal(status, &value) {
        None => Ok(value),
        Some(reason) => Err(Trouble::new(format!("{host} answered {status}: {reason}"))),
    }
}

/// Fetches JSON.
///
/// # Errors
/// When there is no good answer.
pub async fn get(outbound: &Outbound, url: &str, proof: &Proof<'_>) -> Result<Value, Trouble> {
    accept(send(outbound, Method::GET, url, proof, None).await?, url)
}

/// Posts a form and takes JSON back.
///
/// # Errors
/// When there is no good answer.
pub async fn post(
    outbound: &Outbound,
    url: &str,
    proof: &Proof<'_>,
    form: &[(String, String)],
) -> Result<Value, Trouble> {
    accept(send(outbound, Method::POST, url, proof, Some(form)).await?, url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_are_found_in_whatever_form_they_come() {
        let cases = [
            (
                200,
                json!({"error": "bad_verification_code", "error_description": "too\nlate"}),
                "bad_verification_code: too late",
            ),
            (400, json!({"error": {"message": "no", "code": 190}}), "\"no\""),
            (200, json!({"errcode": 40029, "errmsg": "invalid code"}), "40029 invalid code"),
            (200, json!({"ok": false}), "not ok"),
            (500, json!({"message": "broken"}), "broken"),
            (302, json!({}), ""),
        ];
        for (status, value, expected) in cases {
            assert_eq!(refusal(status, &value).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(refusal(200, &json!({"access_token": "x", "ok": true, "errcode": 0, "error": null})), None);
    }
}
