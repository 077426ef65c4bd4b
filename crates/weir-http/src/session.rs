//! The session cookie: a signed statement of which only the session key is trusted.

use crate::{AppState, Incoming};
use serde::{Deserialize, Serialize};
use weir_core::ApiError;
use weir_identity::Account;

/// Name of the cookie.
pub const COOKIE: &str = "authentik_session";

/// Session data: key of the user who impersonates.
pub const ORIGINAL_USER: &str = "impersonate_original_user";
/// Session data: key of the user who is impersonated.
pub const ASSUMED_USER: &str = "impersonate_user";
/// Session data: the security epoch of the user who is impersonated, when that began.
pub const ASSUMED_EPOCH: &str = "impersonate_epoch";

#[derive(Serialize, Deserialize)]
struct Claims {
    sid: String,
    iss: String,
    sub: String,
    authenticated: bool,
    acr: String,
}

#[derive(Deserialize)]
struct SessionId {
    sid: String,
}

/// The session key of a request's cookie; none when there is none or it was not signed here.
pub fn key(app: &AppState, request: &Incoming) -> Option<String> {
    let cookie = request.cookie(COOKIE)?;
    let now = app.site.clock.now().timestamp();
    app.keys.session.verify::<SessionId>(cookie, now).ok().map(|id| id.sid).filter(|sid| !sid.is_empty())
}

/// The cookie of a session. `max_age_secs` keeps it beyond the end of the browser.
///
/// # Errors
/// Never for keys of ours.
pub fn cookie(
    app: &AppState,
    key: &str,
    user: Option<&Account>,
    max_age_secs: Option<i64>,
    is_secure: bool,
) -> Result<String, ApiError> {
    let claims = Claims {
        sid: key.to_owned(),
        iss: "authentik".to_owned(),
        sub: user.map_or_else(|| "anonymous".to_owned(), |u| u.uid(&app.site.installation.id)),
        authenticated: user.is_some(),
        acr: "goauthentik.io/core/default".to_owned(),
    };
    let value = app.keys.session.encode(&claims).map_err(anyhow::Error::new)?;
    let age = max_age_secs.map(|secs| format!("; Max-Age={secs}")).unwrap_or_default();
    Ok(format!("{COOKIE}={value}; Path=/; HttpOnly{}{age}{}", domain(app), same_site(is_secure)))
}

/// The cookie that ends the browser's.
pub fn removal(app: &AppState, is_secure: bool) -> String {
    format!("{COOKIE}=; Path=/; HttpOnly; Max-Age=0{}{}", domain(app), same_site(is_secure))
}

fn domain(app: &AppState) -> String {
    app.config.cookie_domain.as_ref().map(|d| format!("; Domain={d}")).unwrap_or_default()
}

/// Over TLS a flow may run inside a frame of another site; without TLS browsers take no such cookie.
pub(crate) fn same_site(is_secure: bool) -> &'static str {
    if is_secure { "; Secure; SameSite=None" } else { "; SameSite=Lax" }
}
