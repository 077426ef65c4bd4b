//! `/setup`: the first administrator sets a password, by the one-time link that the first start prints.

use super::{FlowHttp, shell, visit::Visit};
use crate::{Caller, Incoming};
use axum::{Extension, extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use weir_core::ApiError;
use weir_flow::{Flow, NotApplicable, redirect, setup};
use weir_pages::Message;
use weir_resource::{Actor, Unit, store};

/// Row of the table `installation`: digest of the link's token.
pub const SETUP_TOKEN_DIGEST: &str = "setup_token_digest";
/// Row of the table `installation`: set-up happened.
pub const SETUP_DONE: &str = setup::DONE;

/// Starts the set-up flow for whoever has the link; afterwards the way to the start.
pub async fn first_run(State(http): State<Arc<FlowHttp>>, Extension(request): Extension<Arc<Incoming>>) -> Response {
    match start(&http, &request).await {
        Ok(response) => response,
        Err(error) => shell::failure(&http, &request, &error),
    }
}

async fn value(http: &FlowHttp, key: &str) -> Result<Option<String>, ApiError> {
    let sql = "SELECT value FROM installation WHERE key = $1";
    let row = http.state.site.db.read_one(sql, &[key.into()]).await.map_err(store)?;
    row.map(|r| r.text("value")).transpose().map_err(store)
}

async fn start(http: &FlowHttp, request: &Incoming) -> Result<Response, ApiError> {
    let to = |path: &str, cookies: Vec<String>| {
        let mut response = shell::see_other(&http.state, path, cookies);
        *response.status_mut() = StatusCode::FOUND;
        // The address of this page holds the token.
        response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    };
    let prefix = http.state.config.prefix();
    let expected = value(http, SETUP_TOKEN_DIGEST).await?;
    let Some(expected) = expected.filter(|_| ["GET", "HEAD"].contains(&request.method.as_str())) else {
        return Ok(to(&format!("{prefix}/"), Vec::new()));
    };
    if value(http, SETUP_DONE).await?.is_some() {
        return Ok(to(&format!("{prefix}/"), Vec::new()));
    }
    let given = weir_identity::digest(request.parameter("token").unwrap_or_default());
    if !bool::from(given.as_bytes().ct_eq(expected.as_bytes())) {
        return Ok(shell::message(http, request, 403, Message::SetupLink));
    }
    let Some(flow) = http.state.site.snapshot().get_by::<Flow>("slug", setup::FLOW) else {
        return Ok(shell::message(http, request, 503, Message::SetupPending));
    };
    let caller = Caller::resolve(&http.state, request).await?;
    let mut visit = Visit::new(&http.state, &http.engine, request, &caller).await?;
    let mut unit = Unit::new(&http.state.site, Actor::system());
    let plan = match setup::plan(&http.engine, &mut unit, visit.info()).await {
        Ok(plan) => plan,
        Err(NotApplicable::Failed(error)) => return Err(error),
        Err(_) => return Ok(to(&format!("{prefix}/"), Vec::new())),
    };
    unit.commit().await?;
    visit.adopt(&flow, &plan, None).await?;
    Ok(to(&format!("{prefix}{}", redirect::flow_page(setup::FLOW, "")), visit.into_cookies()))
}
