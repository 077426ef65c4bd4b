//! Forged requests: whoever comes with the session cookie and wants to change something must show
//! a token made for that session, and must come from a page of this host.

use crate::{AppState, Caller, Incoming, Via, error, session};
use weir_core::ApiError;
use weir_crypto::csrf as token;

/// The cookie that carries the token to scripts.
pub const COOKIE: &str = "authentik_csrf";
/// The header that brings it back.
pub const HEADER: &str = "x-authentik-csrf";

/// A token for a session.
pub fn make(app: &AppState, session_key: &str) -> String {
    token::make(&app.keys.csrf, session_key, &mut weir_crypto::system_rng())
}

/// The cookie with a token for a session; readable by scripts on purpose.
pub fn cookie(app: &AppState, session_key: &str, is_secure: bool) -> String {
    let value = make(app, session_key);
    let domain = app.config.cookie_domain.as_ref().map(|d| format!("; Domain={d}")).unwrap_or_default();
    format!("{COOKIE}={value}; Path=/{domain}{}", session::same_site(is_secure))
}

/// Refuses a request by cookie that does not prove its origin. Tokens and anonymous callers have nothing to abuse.
///
/// # Errors
/// 403 `CSRF Failed: …`.
pub fn check(app: &AppState, request: &Incoming, caller: &Caller) -> Result<(), ApiError> {
    let Via::Session(session) = &caller.via else { return Ok(()) };
    if caller.user.is_none() {
        return Ok(());
    }
    check_origin(request)?;
    let sent = request.header(HEADER).ok_or_else(|| error::csrf("CSRF token missing."))?;
    check_token(app, &session.key, sent)
}

/// Refuses a token that was not made for this session; pages check the field of their forms by it.
///
/// # Errors
/// 403.
pub fn check_token(app: &AppState, session_key: &str, sent: &str) -> Result<(), ApiError> {
    if token::verify(&app.keys.csrf, session_key, sent) { Ok(()) } else { Err(error::csrf("CSRF token incorrect.")) }
}

/// Refuses a request that a page of another origin sent.
///
/// # Errors
/// 403.
pub fn check_origin(request: &Incoming) -> Result<(), ApiError> {
    let refuse = || Err(error::csrf("Origin checking failed."));
    match request.header("origin") {
        Some(origin) if origin != request.base_url() => return refuse(),
        Some(_) => return Ok(()),
        None => {}
    }
    match request.header("sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => refuse(),
    }
}
