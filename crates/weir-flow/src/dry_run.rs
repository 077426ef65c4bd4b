//! What a flow would do with a user: its decisions and the stages it would plan, without doing anything.

use crate::{
    App, Flow, FlowStageBinding, NotApplicable, PlanContext, Planner,
    planner::{self, Planning, summary},
    receipt::Receipt,
};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Family, Resource as _};
use weir_identity::Account;
use weir_policy::{
    Engine, PolicyCx, PolicyRequest, RequestInfo,
    dry_run::{EXPIRE_PASSWORD, Explained, explain},
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
        context: question.context.0.clone(),
        plan_context: Some(&mut question.context.0),
        ..PolicyRequest::new(Some(question.user), question.http, summary(&snapshot, engine.target))
    };
    let mut explained = explain(engine, only, &mut cx, &mut request).await?;
    if !carries_out(&snapshot, engine.target) {
        explained.effects.retain(|effect| effect.get("effect") != Some(&EXPIRE_PASSWORD.into()));
    }
    Ok(explained)
}

/// Whether what policies want done is done for this target: elsewhere they are asked in passing, for lists and in the
/// background.
fn carries_out(snapshot: &Snapshot, target: Uuid) -> bool {
    snapshot.find(target).is_some_and(|object| {
        [Flow::MODEL, FlowStageBinding::MODEL].contains(&object.kind.model)
            || object.kind.family == Some(Family::Source)
    })
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
    let is_fulfilled = is_whom(app, unit, question, (id, flow)).await?;
    let engine = Engine::new(id, flow.policy_engine_mode);
    let of_flow = target(app, unit, question, &engine, None).await?;
    let applies = and(Some(is_fulfilled), of_flow.passing);
    let snapshot = Arc::clone(&unit.snapshot);
    let (mut stages, mut planned) = (Vec::new(), Vec::new());
    for (binding_id, binding) in planner::bindings(&snapshot, id) {
        let engine = Engine::new(binding_id, binding.policy_engine_mode);
        let policies = target(app, unit, question, &engine, None).await?;
        // A stage that is asked about later is planned, and left out when its turn comes.
        let is_planned = and(applies, if binding.evaluate_on_plan { policies.passing } else { Some(true) });
        let is_shown = and(is_planned, if binding.re_evaluate_policies { policies.passing } else { Some(true) });
        let stage = stage(&snapshot, *binding.stage.pk());
        if is_planned == Some(true) {
            planned.push(stage.clone());
        }
        stages.push(json!({
            "binding": binding_id, "order": binding.order, "stage": stage,
            "evaluate_on_plan": binding.evaluate_on_plan, "re_evaluate_policies": binding.re_evaluate_policies,
            "policies": policies, "planned": is_planned, "shown": is_shown,
        }));
    }
    Ok(json!({
        "authentication": {
            "required": flow.authentication, "signed_in": question.is_signed_in, "fulfilled": is_fulfilled,
        },
        "policies": of_flow, "stages": stages, "planned": planned, "applies": applies,
    }))
}

/// Both, as far as is known.
fn and(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
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
