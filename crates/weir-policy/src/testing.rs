//! Tries one policy out.

use crate::{PolicyCx, PolicyEffect, PolicyFailure, PolicyKinds, PolicyRequest, RequestInfo, engine};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_events::{Event, action};
use weir_identity::{Account, accounts};
use weir_resource::{Actor, Site, Unit, store};

/// The answer (contract schema `PolicyTestResult`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyTest {
    /// Whether it passes.
    pub passing: bool,
    /// What the person would be told.
    pub messages: Vec<String>,
    /// Log lines of the expression (contract schema `LogEvent`).
    pub log_messages: Vec<Value>,
}

/// What is tried.
pub struct TestRun<'a> {
    /// The caller.
    pub actor: Actor,
    /// The call; what the policy sees as `http_request`.
    pub http: &'a RequestInfo,
    /// The policy.
    pub policy: Uuid,
    /// The person to ask about. That the caller may see both is the route's part.
    pub user: &'a Account,
    /// The whole context.
    pub context: Map,
}

/// Does what policies wanted.
///
/// # Errors
/// Those of the store.
pub async fn carry_out(unit: &mut Unit<'_>, wishes: Vec<PolicyEffect>) -> Result<(), ApiError> {
    for wish in wishes {
        let PolicyEffect::ExpirePassword { user, set } = wish;
        if accounts::expire_password(&mut unit.tx, user, set).await.map_err(store)? {
            let affected = accounts::find(&mut unit.tx, user).await.map_err(store)?.map(|a| a.event_user());
            let context = json!({"action_id": "password_expired", "affected_user": affected});
            unit.event(Event::new(action::USER_WRITE, "authentik_policies_expiry", context)).await?;
        }
    }
    Ok(())
}

/// Runs a policy in debug mode. Expressions write no events and nothing of the request is kept; what they send (mails,
/// calls to other servers) is sent, and what a policy wants done is done.
///
/// # Errors
/// 404 when there is no such policy; those of the store. A policy that fails is an answer.
pub async fn test_policy(site: &Site, kinds: &PolicyKinds, run: TestRun<'_>) -> Result<PolicyTest, ApiError> {
    let mut unit = Unit::new(site, run.actor.clone());
    let snapshot = std::sync::Arc::clone(&unit.snapshot);
    snapshot.find(run.policy).filter(|o| kinds.find(o.kind.model).is_some()).ok_or_else(ApiError::not_found)?;
    let mut events = Vec::new();
    let mut cx = PolicyCx { site, snapshot: &snapshot, tx: &mut unit.tx, kinds, events: &mut events, depth: 0 };
    let mut request = PolicyRequest {
        context: run.context,
        debug: true,
        ..PolicyRequest::new(Some(run.user), run.http, Value::Null)
    };
    let result = engine::run(&mut cx, run.policy, &mut request, None).await;
    let wishes = std::mem::take(&mut request.effects);
    unit.rollback().await?;
    if !wishes.is_empty() {
        let mut unit = Unit::new(site, run.actor);
        carry_out(&mut unit, wishes).await?;
        unit.commit().await?;
    }
    Ok(match result {
        Ok(result) => {
            PolicyTest { passing: result.passing, messages: result.messages, log_messages: result.log_messages }
        }
        Err(error) => PolicyTest {
            passing: false,
            messages: PolicyFailure::messages(&error),
            log_messages: error.downcast_ref::<PolicyFailure>().map(|f| f.log_messages.clone()).unwrap_or_default(),
        },
    })
}
