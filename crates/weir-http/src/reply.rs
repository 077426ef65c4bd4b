//! Answers.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

/// An answer of the interface.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Content type and bytes; none for an empty answer.
    pub content: Option<(&'static str, Bytes)>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// JSON with a status.
    pub fn json(status: u16, value: &impl serde::Serialize) -> Self {
        // Values of ours always serialise; were one not to, an empty object is still JSON.
        let bytes = serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec());
        Self { status, content: Some(("application/json", bytes.into())), headers: Vec::new() }
    }

    /// 200 with JSON.
    pub fn ok(value: &impl serde::Serialize) -> Self {
        Self::json(200, value)
    }

    /// 201 with JSON.
    pub fn created(value: &Value) -> Self {
        Self::json(201, value)
    }

    /// 204.
    pub fn none() -> Self {
        Self { status: 204, content: None, headers: Vec::new() }
    }

    /// Bytes of a type.
    pub fn bytes(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        Self { status: 200, content: Some((content_type, bytes.into())), headers: Vec::new() }
    }

    /// A redirect with this status.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self { status, content: None, headers: Vec::new() }.with(header::LOCATION, to)
    }

    /// With a header; a value that cannot be one is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// With a cookie.
    #[must_use]
    pub fn with_cookie(self, cookie: &str) -> Self {
        self.with(header::SET_COOKIE, cookie)
    }

    /// As the web framework's answer; private, never stored, never sniffed.
    pub fn into_response(self) -> http::Response<Body> {
        let (content_type, bytes) = match self.content {
            Some((kind, bytes)) => (Some(kind), bytes),
            None => (None, Bytes::new()),
        };
        let mut response = http::Response::new(Body::from(bytes));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Some(kind) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("Authorization, Cookie"));
        for (name, value) in self.headers {
            // Several cookies may be set; of everything else a later value replaces the standing one.
            if name == header::SET_COOKIE {
                headers.append(name, value);
            } else {
                headers.insert(name, value);
            }
        }
        response
    }
}
