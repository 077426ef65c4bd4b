//! Explains decisions before anybody meets them. An operation of our own; docs/DRY-RUN.md describes it.

use crate::{Access, Call, Reply, Route, rest::write::allow, routes::families};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, FieldErrors, Map, Resource};
use weir_flow::{
    App, Flow, FlowAuthentication, FlowStageBinding, PendingUser, PlanContext,
    dry_run::{self, Question},
    keys,
};
use weir_policy::{Engine, Mode, PolicyBinding};
use weir_resource::{Object, Stored, Unit};

/// The operation.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let engine = Arc::clone(engine);
    vec![Route::new("weir_dry_run_create", Access::SignedIn, move |call| {
        let engine = Arc::clone(&engine);
        async move { run(&engine, call).await }
    })]
}

/// What is asked: a user, and one of flow, binding and target.
#[derive(Deserialize, JsonSchema)]
struct Body {
    /// The user the decision is about.
    #[schemars(extend("format" = "int64"))]
    user: i64,
    /// Key of a flow: its policies and those of its stages.
    #[serde(default)]
    flow: Option<Uuid>,
    /// Key of one policy binding.
    #[serde(default)]
    binding: Option<Uuid>,
    /// Key of anything that policies are bound to: all its bindings.
    #[serde(default)]
    target: Option<Uuid>,
    /// What the plan knows at its beginning.
    #[serde(default)]
    context: Map,
    /// Whether the user is signed in; without it as the flow demands.
    #[serde(default)]
    signed_in: Option<bool>,
    /// Address the request would come from; without it that of this call.
    #[serde(default)]
    client_ip: Option<String>,
}

async fn run(engine: &App, mut call: Call) -> Result<Reply, ApiError> {
    let object = call.object().await?;
    let body: Body = crate::call::parse(&object)?;
    if [body.flow, body.binding, body.target].iter().flatten().count() != 1 {
        return Err(FieldErrors::general("One of 'flow', 'binding', 'target' must be set.").into());
    }
    let user = families::seen_user(&call, body.user).await?;
    let mut http = call.info();
    if let Some(ip) = &body.client_ip {
        let address: std::net::IpAddr =
            ip.parse().map_err(|_| ApiError::field("client_ip", "Enter a valid IPv4 or IPv6 address."))?;
        http.client_ip = address.to_string();
    }
    let mut context = PlanContext(body.context);
    if !context.has(keys::PENDING_USER) {
        context.set(keys::PENDING_USER, &PendingUser::Known(user.id));
    }
    let shown = json!({
        "user": user.event_user(), "client_ip": http.client_ip, "context": context.without_secrets().0,
    });
    let mut unit = Unit::new(&call.app.site, call.actor());
    let mut question = Question { user: &user, is_signed_in: true, http: &http, context };
    let answer = match (body.flow, body.binding, body.target) {
        (Some(id), ..) => {
            allowed(&call, &unit, "flow", id)?;
            let flow = unit.snapshot.get::<Flow>(id).ok_or_else(|| unknown("flow", id))?;
            let visits = flow.authentication == FlowAuthentication::RequireUnauthenticated;
            question.is_signed_in = body.signed_in.unwrap_or(!visits);
            dry_run::flow(engine, &mut unit, &mut question, (id, &flow)).await?
        }
        (_, Some(id), _) => {
            allowed(&call, &unit, "binding", id)?;
            let binding = unit.snapshot.get::<PolicyBinding>(id).ok_or_else(|| unknown("binding", id))?;
            let target = *binding.target.pk();
            let asked = Engine::new(target, mode(&unit, target));
            json!({"policies": dry_run::target(engine, &mut unit, &mut question, &asked, Some(id)).await?})
        }
        (_, _, target) => {
            let id = target.unwrap_or_default();
            allowed(&call, &unit, "target", id)?;
            let asked = Engine::new(id, mode(&unit, id));
            json!({"policies": dry_run::target(engine, &mut unit, &mut question, &asked, None).await?})
        }
    };
    unit.rollback().await?;
    let mut answer = answer;
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("request".to_owned(), shown);
    }
    Ok(Reply::ok(&answer))
}

fn unknown(field: &str, id: Uuid) -> ApiError {
    ApiError::field(field, format!("Invalid pk \"{id}\" - object does not exist."))
}

/// To ask is to run the code of policies: it takes the right to change the object, and the policies that are asked.
fn allowed(call: &Call, unit: &Unit<'_>, field: &str, id: Uuid) -> Result<(), ApiError> {
    let object = unit.snapshot.find(id).ok_or_else(|| unknown(field, id))?;
    let stored = Stored::of(object);
    if !call.grants.may(&object.kind.permission("view"), Some(&stored.pk)) {
        return Err(unknown(field, id));
    }
    allow(call, &stored, "change")?;
    let mut bindings: Vec<Arc<PolicyBinding>> = of_target(unit, id);
    if let Some(binding) = unit.snapshot.get::<PolicyBinding>(id) {
        bindings.push(binding);
    }
    if object.kind.model == Flow::MODEL {
        let stages = unit.snapshot.referring_by::<FlowStageBinding>(id, "target");
        bindings.extend(stages.iter().flat_map(|(stage, _)| of_target(unit, *stage)));
    }
    for policy in bindings.iter().filter_map(|binding| binding.policy.as_ref()) {
        if let Some(policy) = unit.snapshot.find(*policy.pk()) {
            allow(call, &Stored::of(policy), "change")?;
        }
    }
    Ok(())
}

fn of_target(unit: &Unit<'_>, id: Uuid) -> Vec<Arc<PolicyBinding>> {
    unit.snapshot.referring_by::<PolicyBinding>(id, "target").into_iter().map(|(_, binding)| binding).collect()
}

/// The mode of a target, under whatever name its kind keeps it.
fn mode(unit: &Unit<'_>, id: Uuid) -> Mode {
    let kept = |object: &Arc<Object>| object.doc.get("policy_engine_mode").cloned();
    let value: Option<Value> = unit.snapshot.find(id).and_then(kept);
    value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}
