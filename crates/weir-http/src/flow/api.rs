//! The operations around flows: execute, inspector, diagram, cache.

use super::visit::Visit;
use crate::{Access, Call, Reply, Route, error};
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{ApiError, Resource};
use weir_flow::{
    App, Flow, FlowState, NotApplicable, diagram, inspector,
    links::{self, PlanRequest},
};
use weir_resource::{Object, Unit};

/// The operations.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let with = |engine: &Arc<App>| Arc::clone(engine);
    let (e1, e2, e3) = (with(engine), with(engine), with(engine));
    let seen = Access::Seen { model: Flow::MODEL };
    vec![
        Route::new("flows_instances_execute_retrieve", seen, move |call| {
            let engine = with(&e1);
            async move { execute(&engine, &call).await }
        }),
        Route::new("flows_instances_diagram_retrieve", seen, move |call| async move { chart(&call) }),
        Route::new(
            "flows_instances_export_retrieve",
            Access::Object { model: Flow::MODEL, permission: "authentik_flows.export_flow" },
            move |call| async move { export(&call).await },
        ),
        Route::new("flows_inspector_get", Access::SignedIn, move |call| async move { inspect(&call).await }),
        Route::new(
            "flows_instances_cache_info_retrieve",
            Access::Global("authentik_flows.view_flow_cache"),
            move |call| {
                let engine = with(&e2);
                async move {
                    let count = engine.plans.count(None, call.snapshot.revision, call.app.site.clock.now());
                    Ok(Reply::ok(&json!({"count": count})))
                }
            },
        ),
        Route::new(
            "flows_instances_cache_clear_create",
            Access::Global("authentik_flows.clear_flow_cache"),
            move |_call| {
                let engine = with(&e3);
                async move {
                    engine.plans.clear();
                    Ok(Reply::none())
                }
            },
        ),
    ]
}

/// Plans the flow for the caller into the caller's session.
async fn execute(engine: &App, call: &Call) -> Result<Reply, ApiError> {
    let slug = call.target()?.text("slug").to_owned();
    let flow = call.snapshot.get_by::<Flow>("slug", &slug).ok_or_else(|| error::no_object("Flow"))?;
    let user = call.user()?.clone();
    let mut visit = Visit::new(&call.app, engine, &call.request, &call.caller).await?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    let wish = PlanRequest {
        flow_id: flow.0,
        flow: &flow.1,
        request: visit.info(),
        user: Some(&user),
        context: links::about(user.id),
        allow_empty: true,
        for_token: false,
    };
    let plan = match links::plan(engine, &mut unit, wish).await {
        Ok(plan) => plan,
        Err(NotApplicable::Failed(error)) => return Err(error),
        Err(NotApplicable::Refused(text)) => return Err(ApiError::general(text)),
        Err(NotApplicable::Empty) => return Err(ApiError::general("Flow is empty.")),
    };
    unit.commit().await?;
    visit.adopt(&flow, &plan, None).await?;
    let page = weir_flow::redirect::flow_page(&slug, "");
    let link = format!("{}{}{page}", call.request.base_url(), call.app.config.prefix());
    let mut reply = Reply::ok(&json!({"link": link}));
    for cookie in visit.into_cookies() {
        reply = reply.with_cookie(&cookie);
    }
    Ok(reply)
}

/// The flow as a blueprint, to be saved.
async fn export(call: &Call) -> Result<Reply, ApiError> {
    let flow = call.target()?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    let text = weir_blueprints::export::export_flow(&mut unit, flow).await?;
    let name = format!("attachment; filename=\"{}.yaml\"", flow.text("slug"));
    Ok(Reply::bytes("application/x-yaml", text).with(http::header::CONTENT_DISPOSITION, &name))
}

fn chart(call: &Call) -> Result<Reply, ApiError> {
    let slug = call.target()?.text("slug").to_owned();
    let (id, flow) = call.snapshot.get_by::<Flow>("slug", &slug).ok_or_else(|| error::no_object("Flow"))?;
    let may_view = |object: &Object| call.grants.may(&object.kind.permission("view"), Some(&object.id.to_string()));
    Ok(Reply::ok(&json!({"diagram": diagram::diagram(&call.snapshot, id, &flow, &may_view)})))
}

/// What the caller's own session has planned and passed.
async fn inspect(call: &Call) -> Result<Reply, ApiError> {
    let flow = call.snapshot.get_by::<Flow>("slug", call.param(0)).ok_or_else(|| error::no_object("Flow"))?;
    if !call.grants.may("authentik_flows.inspect_flow", Some(&flow.0.to_string())) {
        return Err(error::no_object("Flow"));
    }
    let nothing = || ApiError::BadRequest("There is no flow in this session.".to_owned());
    let row = call.flow_session().await?.ok_or_else(nothing)?;
    let state = FlowState::read(row.flow.as_deref());
    let base = call.request.base_url();
    let cx = call.presenting(&call.snapshot, &base);
    let shown: Option<Value> = inspector::inspect(&cx, &state, &row.digest).await?;
    Ok(Reply::ok(&shown.ok_or_else(nothing)?).with(http::HeaderName::from_static("x-frame-options"), "SAMEORIGIN"))
}
