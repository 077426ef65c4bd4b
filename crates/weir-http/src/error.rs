//! Errors as answers. The public text and the cause part ways here: the cause goes to the log, once.

use crate::Reply;
use axum::response::{IntoResponse, Response};
use http::header;
use weir_core::ApiError;

/// The answer for an error.
pub fn reply(error: &ApiError) -> Reply {
    match error {
        ApiError::Internal(cause) => {
            tracing::error!(error = format!("{cause:#}"), "request failed");
        }
        ApiError::Unavailable(_, cause) => {
            tracing::warn!(error = format!("{cause:#}"), "request could not be served");
        }
        _ => {}
    }
    let reply = Reply::json(error.status(), &error.body());
    match error {
        ApiError::Throttled(seconds) | ApiError::Unavailable(seconds, _) => {
            reply.with(header::RETRY_AFTER, &seconds.to_string())
        }
        _ => reply,
    }
}

/// 404 for an address of the API that nobody serves; differs from the 404 of an unknown object.
pub fn no_route() -> ApiError {
    ApiError::NotFound("There is no such address in this interface.".to_owned())
}

/// 404 outside the API.
pub async fn no_page() -> Response {
    let mut response = (http::StatusCode::NOT_FOUND, "Not Found\n").into_response();
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    response
}

/// 404 for an object that does not exist or may not be seen.
pub fn no_object(verbose_name: &str) -> ApiError {
    ApiError::NotFound(format!("No {verbose_name} matches the given query."))
}

/// 403 of the check against forged requests.
pub fn csrf(reason: &str) -> ApiError {
    ApiError::Forbidden(format!("CSRF Failed: {reason}"))
}
