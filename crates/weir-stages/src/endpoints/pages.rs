//! The page on which a sign-in that an agent began goes on in a browser.

use super::{AgentConnector, agent, routes::SIGN_IN_PAGE};
use serde_json::json;
use weir_core::ApiError;
use weir_flow::{
    Flow, NotApplicable, PlanContext, keys,
    links::{self, PlanRequest},
    planner,
};
use weir_http::flow::{PageCall, PageReply, PageRoute};
use weir_resource::{Actor, Unit, store};

/// The pages.
pub fn pages() -> Vec<PageRoute> {
    vec![PageRoute::new(SIGN_IN_PAGE, |call| async move { sign_in(&call).await })]
}

async fn sign_in(call: &PageCall) -> Result<PageReply, ApiError> {
    if call.request.method != "GET" {
        return Ok(PageReply::NotFound);
    }
    let (engine, caller) = (call.engine(), call.caller().await?);
    let mut unit = Unit::new(&engine.site, Actor::default());
    let key = call.request.parameter("token").unwrap_or_default();
    let found = agent::open_sign_in(&mut unit.tx, key, engine.site.clock.now()).await.map_err(store)?;
    // Used up, whatever the flow says.
    unit.commit().await?;
    let over = || PageReply::denied("This link is no longer valid. Start again on your device.");
    let Some(found) = found else { return Ok(over()) };
    let mut unit = Unit::new(&engine.site, Actor::default());
    let connector = unit.snapshot.get::<AgentConnector>(found.connector).filter(|connector| connector.enabled);
    let flow = connector.and_then(|connector| Some(connector.authorization_flow.as_ref()?.uuid()));
    let flow = flow.and_then(|id| Some((id, unit.snapshot.get::<Flow>(id)?)));
    let Some(flow) = flow else { return Ok(over()) };
    let mut context = PlanContext::default();
    let device = planner::summary(&unit.snapshot, found.device);
    context.set(keys::DEVICE_AUTH_TOKEN, &json!({"pk": found.id, "device": device}));
    context.set(keys::DEVICE, &device);
    if let Some(hint) = call.request.parameter("login_hint").filter(|hint| !hint.is_empty()) {
        context.set(keys::PENDING_USER_IDENTIFIER, &hint.to_owned());
    }
    let mut visit = call.visit(&caller).await?;
    let wish = PlanRequest {
        flow_id: flow.0,
        flow: &flow.1,
        request: visit.info(),
        user: caller.user.as_ref(),
        context,
        allow_empty: false,
        for_token: false,
    };
    let plan = match links::plan(engine, &mut unit, wish).await {
        Ok(plan) => plan,
        Err(NotApplicable::Failed(error)) => return Err(error),
        Err(NotApplicable::Refused(text)) => return Ok(PageReply::denied(text)),
        Err(NotApplicable::Empty) => return Ok(over()),
    };
    unit.commit().await?;
    visit.adopt(&flow, &plan, None).await?;
    let to = engine.flow_page(&flow.1.slug.0, "");
    Ok(PageReply::Go { to, cookies: visit.into_cookies() })
}
