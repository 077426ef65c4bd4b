//! `/source/oauth/login/<slug>/`: sends a browser to the provider.

use super::{OAuthSource, OAuthSources, client, client::Ties, state, state::Departure};
use crate::{remote::Trouble, say, sign_in};
use chrono::TimeDelta;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::ApiError;
use weir_flow::{FlowState, StageRef, keys, redirect, sources::resume::Waiting};
use weir_http::{
    Caller, Incoming, Via,
    flow::{PageCall, PageReply, Visit},
};
use weir_identity::SessionRow;
use weir_resource::{Snapshot, Unit, store};

/// How long a person may take at the provider.
const LIFE: TimeDelta = TimeDelta::minutes(15);

/// An enabled source by its slug.
pub fn find(snapshot: &Snapshot, slug: &str) -> Option<(Uuid, Arc<OAuthSource>)> {
    snapshot.get_by::<OAuthSource>("slug", slug).filter(|(_, source)| source.base.enabled)
}

/// Where the provider sends people back to. The configured address of the site counts when it is of the host that was
/// asked: it knows the scheme that a proxy may hide.
pub fn callback_address(snapshot: &Snapshot, base_url: &str, prefix: &str, slug: &str) -> String {
    let configured = snapshot.settings.base_url.trim_end_matches('/');
    let host = |address: &str| {
        let url = url::Url::parse(address).ok()?;
        Some((url.host_str()?.to_owned(), url.port()))
    };
    let origin = |address: &str| url::Url::parse(address).ok().map(|url| url.origin().ascii_serialization());
    let base = match (host(configured), host(base_url), origin(configured)) {
        (Some(own), Some(asked), Some(origin)) if own == asked => origin,
        _ => base_url.to_owned(),
    };
    format!("{base}{prefix}/source/oauth/callback/{slug}/")
}

/// Handles the request.
///
/// # Errors
/// Those of the store.
pub async fn begin(sources: Arc<OAuthSources>, call: PageCall) -> Result<PageReply, ApiError> {
    if call.request.method != "GET" {
        return Err(ApiError::MethodNotAllowed(call.request.method.chars().take(20).collect()));
    }
    let engine = call.engine();
    let snapshot = engine.site.snapshot();
    let Some((id, source)) = find(&snapshot, call.param(0)) else { return Ok(PageReply::NotFound) };
    let caller = call.caller().await?;
    let user = match (&caller.via, &caller.user) {
        (Via::Session(_), Some(user)) => Some(user.id),
        _ => None,
    };
    let mut visit = call.visit(&caller).await?;
    let waiting = visit.session().and_then(|session| waiting_plan(session, &snapshot, id));
    if user.is_some() && waiting.is_none() {
        if caller.original.is_some() {
            return Ok(PageReply::denied(say::IMPERSONATED));
        }
        if comes_from_elsewhere(&call.request) {
            return Ok(confirmation(&call.request, engine.prefix.as_str(), &source));
        }
    }
    let now = engine.site.clock.now();
    let source = match sources.discovery.complete(&engine.outbound, now, &source).await {
        Ok(source) => source,
        Err(trouble) => return failed(&call, &caller, id, &trouble).await,
    };
    let random = &*engine.site.random;
    let (state, nonce, verifier) = (random.text(43), random.text(43), random.text(64));
    let redirect_uri = callback_address(&snapshot, &call.request.base_url(), &engine.prefix, &source.base.slug.0);
    let ties = Ties { state: &state, nonce: &nonce, verifier: &verifier, redirect_uri: &redirect_uri };
    let address = match client::authorization_request(&source, &ties) {
        Ok(address) => address,
        Err(trouble) => return failed(&call, &caller, id, &trouble).await,
    };
    visit.begin().await?;
    let query = page_query(&call.request, visit.session(), waiting.is_some());
    let departed = engine.site.clock.now();
    let departure = Departure { nonce, verifier, redirect_uri, departed, query, user, waiting };
    keep(&visit, engine, &state, id, &departure).await?;
    Ok(PageReply::Go { to: address.into(), cookies: visit.into_cookies() })
}

async fn keep(
    visit: &Visit<'_>,
    engine: &weir_flow::App,
    state: &str,
    source: Uuid,
    departure: &Departure,
) -> Result<(), ApiError> {
    let session = visit.session().ok_or_else(|| anyhow::anyhow!("a session that was just begun is gone"))?;
    let mut tx = engine.site.db.tx();
    tx.set_durability(weir_store::Durability::Relaxed);
    let expires = engine.site.clock.now() + LIFE;
    state::keep(&mut tx, state, &session.digest, source, departure, expires).await.map_err(store)?;
    tx.commit().await.map_err(store)
}

/// The event for administrators, and the page for the person.
async fn failed(call: &PageCall, caller: &Caller, source: Uuid, trouble: &Trouble) -> Result<PageReply, ApiError> {
    let engine = call.engine();
    let mut unit = Unit::new(&engine.site, sign_in::actor(caller, &call.request, &engine.site.snapshot()));
    sign_in::report(&mut unit, source, trouble).await?;
    unit.commit().await?;
    Ok(PageReply::denied(say::TROUBLE))
}

/// The plan of this session that stands at a stage waiting for this source.
fn waiting_plan(session: &SessionRow, snapshot: &Snapshot, source: Uuid) -> Option<Waiting> {
    let state = FlowState::read(session.flow.as_deref());
    let plan = state.plan?;
    let step = plan.steps.front()?;
    let waiting: Waiting = plan.context.get(keys::SOURCE_WAITING)?;
    let StageRef::Stored(stage) = &step.stage else { return None };
    let stage = snapshot.find(*stage)?;
    let waits = stage.text("source") == source.to_string() && waiting.source == source;
    (waits && waiting.binding == step.binding).then_some(waiting)
}

/// Whether another site led the browser here. Connecting an identity must be the person's own wish: else somebody could
/// have them connect an identity of his.
fn comes_from_elsewhere(request: &Incoming) -> bool {
    !matches!(request.header("sec-fetch-site"), None | Some("same-origin" | "none"))
}

fn confirmation(request: &Incoming, prefix: &str, source: &OAuthSource) -> PageReply {
    let own = request.path.strip_prefix(prefix).unwrap_or(&request.path);
    PageReply::Say {
        status: 200,
        title: format!("Connect {}?", source.base.name),
        text: say::CONFIRM.to_owned(),
        way_on: Some(("Continue".to_owned(), format!("{prefix}{own}"))),
        cookies: Vec::new(),
    }
}

/// The query to go on with: of the flow that waits all of it, else where the person wanted to go.
fn page_query(request: &Incoming, session: Option<&SessionRow>, is_waiting: bool) -> String {
    let state = session.map(|session| FlowState::read(session.flow.as_deref())).unwrap_or_default();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if is_waiting {
        let whole = state.query.unwrap_or_default();
        let pairs = url::form_urlencoded::parse(whole.as_bytes()).filter(|(name, _)| name != "flow_token");
        return query.extend_pairs(pairs).finish();
    }
    let wish = request.parameter("next").map(str::to_owned).or_else(|| state.query_parameter("next"));
    if let Some(next) = wish.filter(|next| redirect::is_local(next)) {
        query.append_pair("next", &next);
    }
    query.finish()
}
