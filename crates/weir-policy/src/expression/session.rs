//! `requests`: an HTTP session with the interface of Python's package of that name.

use crate::outbound::{Outbound, OutboundError, OutboundRequest, OutboundResponse};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue},
};
use std::time::Duration;
use url::form_urlencoded;
use weir_expression::{Call, Object, Raise, Value};

/// Handle of the session.
pub const SESSION: &str = "requests";

/// Makes a call.
pub async fn send(outbound: &Outbound, request: OutboundRequest) -> Result<OutboundResponse, Raise> {
    outbound.send(request).await.map_err(|error| {
        let class = match error {
            OutboundError::Connection(_) => "ConnectionError",
            OutboundError::Timeout(_) => "Timeout",
            OutboundError::Refused(_) | OutboundError::TooLong(_) | OutboundError::Other(_) => "RequestException",
        };
        Raise::new(class, error.to_string())
    })
}

fn wrong(text: &str) -> Raise {
    Raise::new("ValueError", text)
}

/// A call as a dry run names it: without anything that could be a secret.
pub fn shown(request: &OutboundRequest) -> String {
    let mut url = request.url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // An address that cannot have a name in it has none.
    let _ = (url.set_username(""), url.set_password(None));
    format!("{} {url}", request.method)
}

/// The call that a method of the session asks for.
pub fn request(call: &Call) -> Result<OutboundRequest, Raise> {
    let (method, first) = match call.name.as_str() {
        "request" => (call.arg(0, "method").map(|m| m.key_text().to_uppercase()).unwrap_or_default(), 1),
        verb @ ("get" | "post" | "put" | "patch" | "delete" | "head" | "options") => (verb.to_uppercase(), 0),
        other => return Err(Raise::no_attribute("Session", other)),
    };
    if call
        .kwargs
        .iter()
        .any(|(name, value)| ["files", "cert", "proxies"].contains(&name.as_str()) && value.is_truthy())
        || call.kwarg("verify") == Some(&Value::Bool(false))
    {
        return Err(wrong("files, cert, proxies and verify=False are not supported."));
    }
    let second = |of: &[&str]| if of.contains(&call.name.as_str()) { call.args.get(1) } else { None };
    let given = |value: Option<&Value>| value.filter(|v| **v != Value::None).cloned();
    let params = given(call.kwarg("params").or_else(|| second(&["get"])));
    let data = given(call.kwarg("data").or_else(|| second(&["post", "put", "patch"])));
    let json = given(call.kwarg("json").or_else(|| if call.name == "post" { call.args.get(2) } else { None }));
    let mut url = Url::parse(&call.arg(first, "url").map(Value::key_text).unwrap_or_default())
        .map_err(|_| Raise::new("RequestException", "Invalid URL: no scheme or host supplied."))?;
    if let Some(params) = params {
        match params.as_str() {
            Some(text) => url.set_query(Some(text)),
            None => {
                url.query_pairs_mut().extend_pairs(pairs(&params)?);
            }
        }
    }
    let mut headers = HeaderMap::new();
    let body = body(data, json, &mut headers)?;
    if let Some((user, password)) = credentials(call.kwarg("auth"))? {
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        headers.insert(AUTHORIZATION, header_value(&basic)?);
    }
    if let Some(cookies) = given(call.kwarg("cookies")) {
        let cookies: Vec<String> = pairs(&cookies)?.iter().map(|(n, v)| format!("{n}={v}")).collect();
        headers.insert(COOKIE, header_value(&cookies.join("; "))?);
    }
    if let Some(given) = given(call.kwarg("headers")) {
        for (name, value) in pairs(&given)? {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("Invalid header name."))?;
            headers.insert(name, header_value(&value)?);
        }
    }
    Ok(OutboundRequest {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| wrong("Invalid method."))?,
        url,
        headers,
        body,
        timeout: timeout(call.kwarg("timeout"))?,
        follow_redirects: call.kwarg("allow_redirects").map_or(call.name != "head", Value::is_truthy),
    })
}

fn header_value(text: &str) -> Result<HeaderValue, Raise> {
    HeaderValue::from_str(text).map_err(|_| wrong("Invalid header value."))
}

fn body(data: Option<Value>, json: Option<Value>, headers: &mut HeaderMap) -> Result<Option<Vec<u8>>, Raise> {
    match (data, json) {
        (Some(Value::Str(text)), _) => Ok(Some(text.into_bytes())),
        (Some(Value::Bytes(bytes)), _) => Ok(Some(bytes)),
        (Some(data), _) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(pairs(&data)?);
            Ok(Some(form.finish().into_bytes()))
        }
        (None, Some(json)) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok(Some(json.to_json().to_string().into_bytes()))
        }
        (None, None) => Ok(None),
    }
}

/// A dictionary, or a list of pairs. A list as a value stands for its items.
fn pairs(value: &Value) -> Result<Vec<(String, String)>, Raise> {
    let refuse = || wrong("Expected a dictionary.");
    let entries: Vec<(Value, Value)> = match value {
        Value::Dict(pairs) => pairs.clone(),
        other => other
            .as_items()
            .ok_or_else(refuse)?
            .iter()
            .map(|pair| match pair.as_items() {
                Some([name, value]) => Ok((name.clone(), value.clone())),
                _ => Err(refuse()),
            })
            .collect::<Result<_, Raise>>()?,
    };
    let mut out = Vec::new();
    for (name, value) in entries {
        match value.as_items() {
            Some(items) => out.extend(items.iter().map(|item| (name.key_text(), item.key_text()))),
            None if value == Value::None => {}
            None => out.push((name.key_text(), value.key_text())),
        }
    }
    Ok(out)
}

fn credentials(auth: Option<&Value>) -> Result<Option<(String, String)>, Raise> {
    match auth {
        None | Some(Value::None) => Ok(None),
        Some(value) => match value.as_items() {
            Some([user, password]) => Ok(Some((user.key_text(), password.key_text()))),
            _ => Err(wrong("auth must be a user and a password.")),
        },
    }
}

fn timeout(value: Option<&Value>) -> Result<Option<Duration>, Raise> {
    let seconds = |value: &Value| match value {
        Value::Float(seconds) => Some(*seconds),
        #[expect(clippy::cast_precision_loss, reason = "seconds are small")]
        value => value.as_int().map(|seconds| seconds as f64),
    };
    let total = match value {
        None | Some(Value::None) => return Ok(None),
        Some(value) => match value.as_items() {
            Some(parts) => parts.iter().filter_map(seconds).reduce(|a, b| a + b),
            None => seconds(value),
        },
    };
    let total = total.and_then(|s| Duration::try_from_secs_f64(s).ok()).filter(|d| !d.is_zero());
    total.map(Some).ok_or_else(|| wrong("timeout must be a number of seconds above zero."))
}

/// An answer; its body is asked for when it is needed.
pub fn response(handle: &str, response: &OutboundResponse) -> Object {
    let headers = response.headers.iter().map(|(name, value)| {
        let words: Vec<String> = name.split('-').map(capital).collect();
        (words.join("-"), value.as_str())
    });
    let is_redirect = (300..400).contains(&response.status);
    Object::new("Response", handle)
        .attr("status_code", i64::from(response.status))
        .attr("ok", response.status < 400)
        .attr("is_redirect", is_redirect)
        .attr("reason", response.reason.as_str())
        .attr("url", response.url.as_str())
        .attr("encoding", "utf-8")
        .attr("headers", Value::dict(headers))
        .shown_as(format!("<Response [{}]>", response.status))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// An attribute of an answer.
pub fn attribute(response: &OutboundResponse, name: &str) -> Result<Value, Raise> {
    match name {
        "text" => Ok(Value::Str(String::from_utf8_lossy(&response.body).into_owned())),
        "content" => Ok(Value::Bytes(response.body.clone())),
        other => Err(Raise::no_attribute("Response", other)),
    }
}

/// A method of an answer.
pub fn method(response: &OutboundResponse, name: &str) -> Result<Value, Raise> {
    match name {
        "json" => {
            let json: Result<serde_json::Value, _> = serde_json::from_slice(&response.body);
            json.map(Value::from).map_err(|error| {
                Raise::new(
                    "JSONDecodeError",
                    format!("Expecting value: line {} column {}", error.line(), error.column()),
                )
            })
        }
        "raise_for_status" => {
            let kind = match response.status {
                400..500 => "Client",
                500..600 => "Server",
                _ => return Ok(Value::None),
            };
            let text = format!("{} {kind} Error: {} for url: {}", response.status, response.reason, response.url);
            Err(Raise::new("HTTPError", text))
        }
        "close" => Ok(Value::None),
        other => Err(Raise::no_attribute("Response", other)),
    }
}
