//! What a flow would do with a user: its decisions and the stages it would plan, without doing anything.

use crate::{
    App, Flow, NotApplicable, PlanContext, Planner,
    planner::{self, Planning, summary},
    receipt::Receipt,
};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::ApiError;
use weir_identity::Account;
use weir_policy::{
    Engine, PolicyCx, PolicyRequest, RequestInfo,
    dry_run::{Explained, explain},
};
use weir_resource::{Snapshot, Unit};

/// A question.
pub struct Question<'a> {
    /// The user it is about.
    pub user: &'a Account,
    /// Whether the user is signed in; otherwise somebody of whom the flow only knows the name.
    pub is_signed_in: bool,
    /// The request as it would come.
    pub http: &'a RequestInfo,
    /// What the plan would know at its beginning.
    pub context: PlanContext,
}

/// Explains a target of bindings, or one of them as if it were the only one.
///
/// # Errors
/// Those of the store.
pub async fn target(
    app: &App,
    unit: &mut Unit<'_>,
    question: &mut Question<'_>,
    engine: &Engine,
    only: Option<Uuid>,
) -> Result<Explained, ApiError> {
    let snapshot = Arc::clone(&unit.snapshot);
    let mut events = Vec::new();
    let mut cx = PolicyCx {
        site: &app.site,
        snapshot: &snapshot,
        tx: &mut unit.tx,
        kinds: &app.policies,
        events: &mut events,
        depth: 0,
    };
    let mut request = PolicyRequest {
        user: Some(question.user),
        http: question.http,
        obj: summary(&snapshot, engine.target),
        context: question.context.0.clone(),
        plan_context: Some(&mut question.context.0),
        plan_redirect: None,
        debug: true,
        dry_run: true,
        effects: Vec::new(),
    };
    Ok(explain(engine, only, &mut cx, &mut request).await?)
}

/// Explains a flow: who may start it, its policies, and each of its stages.
///
/// # Errors
/// Those of the store.
pub async fn flow(
    app: &App,
    unit: &mut Unit<'_>,
    question: &mut Question<'_>,
    (id, flow): (Uuid, &Flow),
) -> Result<Value, ApiError> {
    let fulfilled = is_whom(app, unit, question, (id, flow)).await?;
    let engine = Engine::new(id, flow.policy_engine_mode);
    let of_flow = target(app, unit, question, &engine, None).await?;
    let applies = fulfilled && of_flow.passing;
    let snapshot = Arc::clone(&unit.snapshot);
    let (mut stages, mut planned) = (Vec::new(), Vec::new());
    for (binding_id, binding) in planner::bindings(&snapshot, id) {
        let engine = Engine::new(binding_id, binding.policy_engine_mode);
        let policies = target(app, unit, question, &engine, None).await?;
        // A stage that is asked about later is planned, and left out when its turn comes.
        let is_planned = applies && (!binding.evaluate_on_plan || policies.passing);
        let is_shown = is_planned && (!binding.re_evaluate_policies || policies.passing);
        let stage = stage(&snapshot, *binding.stage.pk());
        if is_planned {
            planned.push(stage.clone());
        }
        stages.push(json!({
            "binding": binding_id, "order": binding.order, "stage": stage,
            "evaluate_on_plan": binding.evaluate_on_plan, "re_evaluate_policies": binding.re_evaluate_policies,
            "policies": policies, "planned": is_planned, "shown": is_shown,
        }));
    }
    Ok(json!({
        "authentication": {"required": flow.authentication, "signed_in": question.is_signed_in, "fulfilled": fulfilled},
        "policies": of_flow, "stages": stages, "planned": planned, "applies": applies,
    }))
}

async fn is_whom(
    app: &App,
    unit: &mut Unit<'_>,
    question: &Question<'_>,
    (id, flow): (Uuid, &Flow),
) -> Result<bool, ApiError> {
    let planner = Planner { app, flow_id: id, flow, use_cache: false, allow_empty: true, for_token: false };
    let mut receipt = Receipt::new(id, id, &flow.slug.0, app.site.clock.now());
    let mut planning = Planning {
        unit,
        request: question.http,
        user: Some(question.user).filter(|_| question.is_signed_in),
        events: &mut Vec::new(),
        wishes: &mut Vec::new(),
        receipt: &mut receipt,
    };
    match planner.check_authentication(&mut planning, &question.context).await {
        Ok(()) => Ok(true),
        Err(NotApplicable::Failed(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

fn stage(snapshot: &Snapshot, id: Uuid) -> Value {
    snapshot
        .find(id)
        .map_or(Value::Null, |stage| json!({"pk": id, "name": stage.name(), "meta_model_name": stage.kind.model}))
}
