//! Request bodies: size, time, depth; JSON, forms and uploads.

use crate::{HttpConfig, Incoming};
use axum::{
    body::Body,
    extract::{FromRequest as _, Multipart},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header;
use serde_json::Value;
use std::time::Duration;
use url::form_urlencoded;
use weir_core::{ApiError, Map};

/// One part of an uploaded form.
#[derive(Clone, Debug)]
pub enum Part {
    /// A plain value.
    Text(String),
    /// A file.
    File {
        /// Name as sent; not to be trusted as a path.
        name: String,
        /// Content.
        bytes: Bytes,
    },
}

/// Reads a whole body within its limits of size and time.
///
/// # Errors
/// 413, 400.
pub async fn read(body: Body, config: &HttpConfig, limit: usize) -> Result<Bytes, ApiError> {
    let reading = async {
        let mut stream = body.into_data_stream();
        let mut whole = BytesMut::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|_| ApiError::BadRequest("The request body could not be read.".to_owned()))?;
            if whole.len() + piece.len() > limit {
                return Err(ApiError::TooLarge);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(Duration::from_secs(config.body_timeout_secs), reading)
        .await
        .unwrap_or_else(|_| Err(ApiError::BadRequest("The request body did not arrive in time.".to_owned())))
}

/// Refuses a body that is announced as too large before any of it is read.
///
/// # Errors
/// 413.
pub fn check_announced(request: &Incoming, limit: usize) -> Result<(), ApiError> {
    let announced = request.header(header::CONTENT_LENGTH.as_str()).and_then(|l| l.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(ApiError::TooLarge);
    }
    Ok(())
}

/// The media type of a request without its parameters, lower case.
pub fn media_type(request: &Incoming) -> String {
    let whole = request.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A body as an object: JSON, or a form whose values are texts. An empty body is an empty object.
///
/// # Errors
/// 400.
pub fn object(request: &Incoming, bytes: &[u8], config: &HttpConfig) -> Result<Map, ApiError> {
    let media = media_type(request);
    match media.as_str() {
        "" | "application/json" => {}
        other if other.ends_with("+json") => {}
        "application/x-www-form-urlencoded" => return form(bytes, config),
        other => {
            let shown: String = other.chars().take(100).collect();
            return Err(ApiError::BadRequest(format!("Unsupported media type \"{shown}\" in request.")));
        }
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match json(bytes, config.max_json_depth)? {
        Value::Object(map) => Ok(map),
        other => {
            let kind = match other {
                Value::Array(_) => "list",
                Value::String(_) => "str",
                Value::Bool(_) => "bool",
                Value::Null => "null",
                _ => "number",
            };
            Err(ApiError::general(format!("Invalid data. Expected a dictionary, but got {kind}.")))
        }
    }
}

/// Parses JSON of bounded depth.
///
/// # Errors
/// 400 `JSON parse error - …`.
pub fn json(bytes: &[u8], max_depth: usize) -> Result<Value, ApiError> {
    let refuse = |why: &str| ApiError::BadRequest(format!("JSON parse error - {why}"));
    if depth(bytes) > max_depth {
        return Err(refuse("nested too deeply"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| refuse("not valid UTF-8"))?;
    serde_json::from_str(text).map_err(|error| refuse(&error.to_string()))
}

/// How deep the brackets go, whatever else is in the text.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut deepest, mut quoted, mut escaped) = (0usize, 0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Names and values of a form.
///
/// # Errors
/// 400 for what is no UTF-8: read as something else, two passwords might become one.
pub fn pairs(bytes: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(bytes).into_owned().collect();
    let marks = |text: &str| text.matches(char::REPLACEMENT_CHARACTER).count();
    let read: usize = pairs.iter().map(|(name, value)| marks(name) + marks(value)).sum();
    if read > 0 {
        let sent = String::from_utf8_lossy(bytes).to_ascii_lowercase();
        let raw = String::from_utf8(bytes.to_vec()).map_or(0, |text| marks(&text));
        if read > raw + sent.matches("%ef%bf%bd").count() {
            return Err(ApiError::BadRequest("The form is not valid UTF-8.".to_owned()));
        }
    }
    Ok(pairs)
}

/// A form as an object of texts; a name given several times becomes a list.
///
/// # Errors
/// 400 for too many fields, and what is no UTF-8.
pub fn form(bytes: &[u8], config: &HttpConfig) -> Result<Map, ApiError> {
    let mut map = Map::new();
    for (index, (name, value)) in pairs(bytes)?.into_iter().enumerate() {
        if index >= config.max_form_fields {
            return Err(ApiError::BadRequest("The form has too many fields.".to_owned()));
        }
        match map.get_mut(&name) {
            Some(Value::Array(items)) => items.push(value.into()),
            Some(first) => {
                let before = first.take();
                *first = Value::Array(vec![before, value.into()]);
            }
            None => {
                map.insert(name, value.into());
            }
        }
    }
    Ok(map)
}

/// The parts of an uploaded form.
///
/// # Errors
/// 400, 413.
pub async fn upload(request: &Incoming, body: Body, config: &HttpConfig) -> Result<Vec<(String, Part)>, ApiError> {
    let bytes = read(body, config, config.max_upload_bytes).await?;
    let malformed = || ApiError::BadRequest("Multipart form parse error.".to_owned());
    let mut whole = http::Request::new(Body::from(bytes));
    if let Some(kind) = request.headers.get(header::CONTENT_TYPE) {
        whole.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    let mut multipart = Multipart::from_request(whole, &()).await.map_err(|_| malformed())?;
    let mut parts = Vec::new();
    while let Some(field) = multipart.next_field().await.map_err(|_| malformed())? {
        if parts.len() >= config.max_form_fields {
            return Err(ApiError::BadRequest("The form has too many fields.".to_owned()));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let part = match field.file_name().map(str::to_owned) {
            Some(file) => Part::File { name: file, bytes: field.bytes().await.map_err(|_| malformed())? },
            None => Part::Text(field.text().await.map_err(|_| malformed())?),
        };
        parts.push((name, part));
    }
    Ok(parts)
}
