//! Style sheets, scripts and pictures inside the binary.

use super::{FlowHttp, shell};
use crate::Incoming;
use axum::{Extension, body::Body, extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use weir_pages::{Message, find_asset};

/// `/static/…`.
pub async fn asset(State(http): State<Arc<FlowHttp>>, Extension(request): Extension<Arc<Incoming>>) -> Response {
    let prefix = http.state.config.prefix();
    let path = request.path.strip_prefix(&prefix).unwrap_or(&request.path);
    let Some(asset) = find_asset(path) else { return shell::message(&http, &request, 404, Message::Status(404)) };
    let etag = format!("\"{}\"", asset.etag);
    let is_known = request.header("if-none-match").is_some_and(|tags| tags.contains(&etag));
    let takes_gzip = request.header("accept-encoding").is_some_and(|a| a.contains("gzip"));
    let packed = asset.gzip.as_ref().filter(|_| takes_gzip);
    let body = match packed {
        _ if is_known => Body::empty(),
        Some(bytes) => Body::from(bytes.clone()),
        None => Body::from(asset.bytes),
    };
    let mut response = Response::new(body);
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    // An address with a version never changes its content.
    let life =
        if request.parameter("v").is_some() { "public, max-age=31536000, immutable" } else { "public, max-age=3600" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(life));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    if packed.is_some() && !is_known {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
