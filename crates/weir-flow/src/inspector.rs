//! What the inspector shows: passed and planned stages, the context without secrets.

use crate::{FlowStageBinding, FlowState, PendingUser, Plan, StageRef, keys};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_identity::{Account, accounts};
use weir_resource::{Presenting, Stored, policy_target_uuid, present_one, store};

/// The inspector's answer; none when there is neither plan nor history.
///
/// # Errors
/// Those of presenting the stages.
pub async fn inspect(cx: &Presenting<'_>, state: &FlowState, session: &str) -> Result<Option<Value>, ApiError> {
    if state.plan.is_none() && state.history.is_empty() {
        return Ok(None);
    }
    let mut plans = Vec::with_capacity(state.history.len());
    for plan in &state.history {
        plans.push(show(cx, plan, session).await?);
    }
    let current = match &state.plan {
        Some(plan) => show(cx, plan, session).await?,
        None => plans.last().cloned().unwrap_or(Value::Null),
    };
    Ok(Some(json!({"plans": plans, "current_plan": current, "is_completed": state.plan.is_none()})))
}

async fn show(cx: &Presenting<'_>, plan: &Plan, session: &str) -> Result<Value, ApiError> {
    let mut answer = Map::new();
    for (name, at) in [("current_stage", 0), ("next_planned_stage", 1)] {
        let shown = match plan.steps.get(at) {
            Some(step) => binding(cx, plan, step).await?,
            None => Value::Null,
        };
        answer.insert(name.to_owned(), if shown.is_null() { no_binding(plan) } else { shown });
    }
    let mut context = plan.context.without_secrets().0;
    if let Some(PendingUser::Known(id)) = plan.context.get(keys::PENDING_USER)
        && let Some(account) = accounts::find(&cx.site.db, id).await.map_err(store)?
    {
        context.insert(keys::PENDING_USER.name.to_owned(), person(&account));
    }
    answer.insert("plan_context".to_owned(), Value::Object(context));
    answer.insert("session_id".to_owned(), session.into());
    Ok(Value::Object(answer))
}

/// A user as the inspector shows them.
fn person(account: &Account) -> Value {
    json!({
        "pk": account.id,
        "username": account.username,
        "name": account.name,
        "email": account.email,
        "app": "authentik_core",
        "model_name": "user",
    })
}

/// What stands where there is no binding: one of this flow with nothing in it. Clients insist on its fields.
fn no_binding(plan: &Plan) -> Value {
    let nothing = Uuid::nil();
    json!({
        "pk": nothing,
        "policybindingmodel_ptr_id": nothing,
        "target": plan.flow,
        "stage": nothing,
        "stage_obj": {
            "pk": nothing,
            "name": "",
            "component": "",
            "verbose_name": "",
            "verbose_name_plural": "",
            "meta_model_name": "",
            "flow_set": [],
        },
        "evaluate_on_plan": false,
        "re_evaluate_policies": false,
        "order": 0,
        "policy_engine_mode": "any",
        "invalid_response_action": "retry",
    })
}

/// A step as a stage binding with its stage.
async fn binding(cx: &Presenting<'_>, plan: &Plan, step: &crate::Step) -> Result<Value, ApiError> {
    if let Some(object) = cx.snapshot.find_kind(<FlowStageBinding as weir_core::Resource>::MODEL, step.binding) {
        return Ok(Value::Object(present_one(cx, &Stored::of(object)).await?));
    }
    let (stage, shown) = match &step.stage {
        StageRef::Stored(id) => match cx.snapshot.find(*id) {
            Some(object) => (*id, stage_summary(cx, &Stored::of(object)).await?),
            None => return Ok(Value::Null),
        },
        StageRef::InMemory { model, .. } => (step.binding, in_memory(step, model)),
    };
    Ok(json!({
        "pk": step.binding,
        "policybindingmodel_ptr_id": policy_target_uuid(step.binding),
        "target": plan.flow,
        "stage": stage,
        "stage_obj": shown,
        "evaluate_on_plan": false,
        "re_evaluate_policies": step.marker == crate::Marker::Reevaluate,
        "order": 0,
        "policy_engine_mode": "any",
        "invalid_response_action": step.on_invalid,
    }))
}

fn in_memory(step: &crate::Step, model: &str) -> Value {
    json!({
        "pk": step.binding,
        "name": model,
        "component": "",
        "verbose_name": "In-memory stage",
        "verbose_name_plural": "In-memory stages",
        "meta_model_name": model,
        "flow_set": [],
    })
}

/// The fields all stages share (contract schema `Stage`).
///
/// # Errors
/// Those of presenting the stage.
pub async fn stage_summary(cx: &Presenting<'_>, stage: &Stored) -> Result<Value, ApiError> {
    const SHARED: [&str; 7] =
        ["pk", "name", "component", "verbose_name", "verbose_name_plural", "meta_model_name", "flow_set"];
    let answer = present_one(cx, stage).await?;
    Ok(Value::Object(answer.into_iter().filter(|(k, _)| SHARED.contains(&k.as_str())).collect()))
}
