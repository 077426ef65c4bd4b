//! The page on which a sign-in that an agent began goes on in a browser.

use super::{
    AgentConnector, agent,
    routes::SIGN_IN_PAGE,
    sign_in as last,
    stage::{self, PROVEN},
};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::ApiError;
use weir_flow::{
    Designation, Flow, NotApplicable, PlanContext,
    executor::{Input, Reply},
    keys,
    links::{self, PlanRequest},
    planner, redirect,
};
use weir_http::flow::{PageCall, PageReply, PageRoute};
use weir_resource::{Actor, Snapshot, Unit, store};

/// The pages.
pub fn pages() -> Vec<PageRoute> {
    vec![PageRoute::new(SIGN_IN_PAGE, |call| async move { sign_in(&call).await })]
}

/// Whether people must have signed in before this flow: it asks for no proof.
fn needs_user(flow: &Flow) -> bool {
    flow.designation != Designation::Authentication
}

/// The flow of a connector that is on.
fn flow_of(snapshot: &Snapshot, connector: Uuid) -> Option<(Uuid, Arc<Flow>)> {
    let connector = snapshot.get::<AgentConnector>(connector).filter(|connector| connector.enabled)?;
    let id = connector.authorization_flow.as_ref()?.uuid();
    Some((id, snapshot.get::<Flow>(id)?))
}

async fn sign_in(call: &PageCall) -> Result<PageReply, ApiError> {
    if call.request.method != "GET" {
        return Ok(PageReply::NotFound);
    }
    let over = || PageReply::denied("This link is no longer valid. Start again on your device.");
    let (engine, caller) = (call.engine(), call.caller().await?);
    let (snapshot, now) = (engine.site.snapshot(), engine.site.clock.now());
    let key = call.request.parameter("token").unwrap_or_default();
    let waiting = agent::waiting_link(&engine.site.db, key, now).await.map_err(store)?;
    let Some(flow) = waiting.and_then(|connector| flow_of(&snapshot, connector)) else { return Ok(over()) };
    if caller.user.is_none() && needs_user(&flow.1) {
        // The link is still good when the browser comes back.
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&call.request.query);
        let own = format!("{}{SIGN_IN_PAGE}?{}", engine.prefix, query.finish());
        let own: String = redirect::encode(&own).collect();
        let to = format!("{}/flows/-/default/authentication/?next={own}", engine.prefix);
        return Ok(PageReply::Go { to, cookies: Vec::new() });
    }
    let mut unit = Unit::new(&engine.site, Actor::default());
    let found = agent::open_sign_in(&mut unit.tx, key, now).await.map_err(store)?;
    // Used up, whatever the flow says.
    unit.commit().await?;
    let Some(found) = found else { return Ok(over()) };
    let mut unit = Unit::new(&engine.site, Actor::default());
    let mut visit = call.visit(&caller).await?;
    let mut context = PlanContext::default();
    let device = planner::summary(&unit.snapshot, found.device);
    let is_proven = stage::knows_token(visit.info(), Some(&found));
    context.set(keys::DEVICE_AUTH_TOKEN, &json!({"pk": found.id, "device": device, PROVEN: is_proven}));
    context.set(keys::DEVICE, &device);
    if let Some(hint) = call.request.parameter("login_hint").filter(|hint| !hint.is_empty()) {
        context.set(keys::PENDING_USER_IDENTIFIER, &hint.to_owned());
    }
    let wish = PlanRequest {
        flow_id: flow.0,
        flow: &flow.1,
        request: visit.info(),
        user: caller.user.as_ref(),
        context,
        allow_empty: true,
        for_token: false,
    };
    let mut plan = match links::plan(engine, &mut unit, wish).await {
        Ok(plan) => plan,
        Err(NotApplicable::Failed(error)) => return Err(error),
        Err(NotApplicable::Refused(text)) => return Ok(PageReply::denied(text)),
        Err(NotApplicable::Empty) => return Ok(over()),
    };
    unit.commit().await?;
    let asks_nothing = plan.steps.is_empty();
    plan.steps.push_back(last::step(engine.site.random.uuid(), found.id));
    visit.adopt(&flow, &plan, None).await?;
    let mut to = engine.flow_page(&flow.1.slug.0, "");
    // Agents without a page of their own follow redirects and nothing else.
    if asks_nothing && let Reply::Challenge(shown) = visit.run(&flow, "", Input::View).await? {
        let text = |field: &str| shown.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        match text("to") {
            none if none.is_empty() => {
                return Ok(PageReply::denied(text("error_message")).with_cookies(visit.into_cookies()));
            }
            target => to = target,
        }
    }
    Ok(PageReply::Go { to, cookies: visit.into_cookies() })
}
