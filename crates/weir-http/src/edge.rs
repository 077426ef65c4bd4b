//! The outermost layer: request id, facts of the request, panics, metrics, ambiguous framing.

use crate::{AppState, Caller, Incoming, Reply, error, server::Framing};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use futures_util::FutureExt as _;
use http::{HeaderValue, Version, header};
use serde_json::json;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};
use tracing::Instrument as _;
use weir_core::ApiError;
use weir_events::{Event, action};
use weir_resource::{Actor, Unit};

/// The operation that answered, told by handlers to the metrics.
#[derive(Clone, Copy, Debug)]
pub struct Answered(pub &'static str);

/// Wraps everything that is served.
pub fn wrap(app: &Arc<AppState>, inner: Router) -> Router {
    let prefix = app.config.prefix();
    let inner = if prefix.is_empty() { inner } else { Router::new().nest(&format!("{prefix}/"), inner) };
    inner.layer(middleware::from_fn_with_state(Arc::clone(app), edge))
}

async fn edge(State(app): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = app.site.random.uuid().simple().to_string();
    let (mut parts, body) = request.into_parts();
    let has_length = parts.headers.contains_key(header::CONTENT_LENGTH)
        || parts.extensions.get::<Framing>().is_some_and(Framing::has_length);
    let ambiguous = parts.headers.contains_key(header::TRANSFER_ENCODING) && has_length;
    // RFC 9112 §6.3: when two framings may have been meant, nothing after this request can be trusted.
    let close = parts.headers.contains_key(header::TRANSFER_ENCODING);
    let is_first_version = parts.version < Version::HTTP_2;
    let incoming = Arc::new(Incoming::new(&parts, id.clone(), &app.config));
    let span = tracing::info_span!("request", id, method = incoming.method, path = incoming.path);
    parts.extensions.insert(Arc::clone(&incoming));
    let header_bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let too_long =
        header_bytes + parts.uri.path().len() + parts.uri.query().map_or(0, str::len) > app.config.max_header_bytes;
    let answer = async {
        // The connection bounds its buffer only roughly.
        if too_long {
            let body = serde_json::json!({"detail": "The header of the request is too large."});
            return Reply::json(431, &body).with(header::CONNECTION, "close").into_response();
        }
        if ambiguous {
            return error::reply(&ApiError::BadRequest("The length of the request is ambiguous.".to_owned()))
                .into_response();
        }
        let body = match settle(&app, &incoming, body).await {
            Ok(body) => body,
            Err(error) => return error::reply(&error).into_response(),
        };
        let run = AssertUnwindSafe(next.run(Request::from_parts(parts, body))).catch_unwind();
        match run.await {
            Ok(response) => response,
            Err(panic) => {
                let error = ApiError::Internal(anyhow::anyhow!("panic: {}", panic_text(&*panic)));
                tell_failure(&app, &incoming, "other").await;
                error::reply(&error).into_response()
            }
        }
    };
    let mut response = answer.instrument(span.clone()).await;
    if incoming.has_moved() {
        response = to_sign_in(&app, &incoming);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-authentik-id", id);
    }
    // A refused body may be left on the wire; whoever sends the next request must know that this connection is over.
    let is_left = is_first_version && announced(&incoming) > SMALL && response.status().as_u16() >= 400;
    let headers = response.headers_mut();
    if close || is_left {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    measure(&incoming, &response, started, &span);
    response
}

/// The way back in for whoever lost their session with this request.
fn to_sign_in(app: &AppState, incoming: &Incoming) -> Response {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&incoming.query).finish();
    let address = if query.is_empty() { incoming.path.clone() } else { format!("{}?{query}", incoming.path) };
    let next = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &address).finish();
    let to = format!("{}/flows/-/default/authentication/?{next}", app.config.prefix());
    Reply::redirect(302, &to).into_response()
}

/// Tells the audit trail that a request failed unexpectedly. Why stands in the log, under the request's id: it may hold
/// what an event must not.
pub(crate) async fn tell_failure(app: &AppState, incoming: &Incoming, operation: &str) {
    let origin = Caller::anonymous(incoming).origin(incoming, &app.site.snapshot());
    let mut unit = Unit::new(&app.site, Actor { origin, request_id: incoming.id.clone(), ..Actor::system() });
    let context = json!({"message": "A request failed unexpectedly.", "operation": operation});
    let event = Event::new(action::SYSTEM_EXCEPTION, "authentik_api", context);
    let done = match unit.event(event).await {
        Ok(()) => unit.commit().await,
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::warn!(?error, "a failed request could not be told");
    }
}

/// Bodies up to this length are read whatever becomes of the request, bytes.
const SMALL: u64 = 64 << 10;

fn announced(incoming: &Incoming) -> u64 {
    incoming.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default()
}

/// Takes a small body off the wire before anything can refuse the request: a connection with an unread rest would have
/// to be closed, under the feet of a client that sends its next request on it.
async fn settle(app: &AppState, incoming: &Incoming, body: Body) -> Result<Body, ApiError> {
    match announced(incoming) {
        1..=SMALL => Ok(Body::from(crate::body::read(body, &app.config, app.config.max_body_bytes).await?)),
        _ => Ok(body),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

fn measure(incoming: &Incoming, response: &http::Response<Body>, started: Instant, span: &tracing::Span) {
    let operation = response.extensions().get::<Answered>().map_or("other", |a| a.0);
    let status = response.status().as_u16();
    let took = started.elapsed();
    metrics::counter!("weir_http_requests_total", "operation" => operation, "status" => status_class(status))
        .increment(1);
    metrics::histogram!("weir_http_request_seconds", "operation" => operation).record(took.as_secs_f64());
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::info!(status, took_ms, client = %incoming.client_ip, "request"));
}

fn status_class(status: u16) -> &'static str {
    match status {
        0..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
