//! Behaviour of the account lockdown stage.

use super::{
    AccountLockdownStage, Done, Order, Switches,
    act::{self, Claim},
    carry_out,
};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use weir_core::{ApiError, Resource};
use weir_flow::{
    Flow, FlowState, Outcome, Reject, Stage, StageCx, View, keys,
    stage::{NoChallenge, NoResponse},
};
use weir_identity::{Account, Grants};
use weir_resource::Unit;

/// The kind.
pub struct AccountLockdown;

const NO_TARGET: &str = "No target user specified for account lockdown";
const NOT_ALLOWED: &str = "You do not have permission to lock down this account.";
const NO_COMPLETION: &str = "Self-service account lockdown requires a completion flow.";
const FAILED: &str = "Account lockdown failed for this account.";

fn deny(text: &str) -> Outcome {
    Outcome::Deny(Some(text.to_owned()))
}

impl AccountLockdown {
    /// What was answered to the prompt, else what an expression or another program gave.
    fn reason(cx: &StageCx<'_>) -> String {
        let answered = cx.context.get(keys::PROMPT_DATA).and_then(|data| match data.get("lockdown_reason") {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        });
        answered.or_else(|| cx.context.get(keys::LOCKDOWN_REASON)).unwrap_or_default()
    }

    /// Asked again, though the way here may have asked: plans live long, and permissions go.
    async fn may(cx: &mut StageCx<'_>, target: &Account) -> Result<bool, Reject> {
        let Some(actor) = cx.user.as_ref().map(|user| user.id) else { return Ok(false) };
        if actor == target.id {
            return Ok(true);
        }
        let grants = Grants::load(&mut cx.unit.tx, actor).await?;
        Ok(grants.may("authentik_core.change_user", Some(&target.id.to_string())))
    }

    /// This step passed: whoever looks at the plan from now on sees the next one.
    fn claim(cx: &StageCx<'_>) -> Option<Claim> {
        let session = cx.session.as_ref()?;
        let mut state = FlowState::read(session.flow.as_deref());
        let mut plan = cx.plan();
        plan.steps.pop_front();
        state.plan = Some(plan);
        Some(Claim { session: session.digest.clone(), version: session.flow_version, flow: state.write() })
    }

    async fn lock_down(cx: &mut StageCx<'_>, config: &AccountLockdownStage) -> Result<Outcome, Reject> {
        let person = cx.person().await?;
        let Some(target) = person.account().filter(|account| act::is_lockable(account)) else {
            return Ok(deny(NO_TARGET));
        };
        if !Self::may(cx, target).await? {
            return Ok(deny(NOT_ALLOWED));
        }
        let ends_own = config.delete_sessions && cx.user.as_ref().is_some_and(|user| user.id == target.id);
        let completion = config.self_service_completion_flow.as_ref();
        let completion: Option<Arc<Flow>> = completion.and_then(|flow| cx.unit.snapshot.get(flow.uuid()));
        if ends_own && completion.is_none() {
            return Ok(deny(NO_COMPLETION));
        }
        let order = Order {
            user: target.id,
            reason: Self::reason(cx),
            switches: Switches {
                deactivate_user: config.deactivate_user,
                set_unusable_password: config.set_unusable_password,
                delete_sessions: config.delete_sessions,
                revoke_tokens: config.revoke_tokens,
            },
            batch: None,
            claim: Self::claim(cx),
        };
        // Committed here and not with the rest of the request: other systems are told only what is certain.
        let fresh = Unit::new(&cx.app.site, cx.unit.actor.clone());
        let unit = std::mem::replace(&mut cx.unit, fresh);
        match carry_out(cx.app, unit, &order).await {
            // The rest of the flow is still about this account.
            Ok(Done::Locked(lockdown)) => cx.note_epoch(order.user, lockdown.epoch),
            Ok(Done::NoTarget) => return Ok(deny(NO_TARGET)),
            // The session is no longer as this request read it, which the executor finds out by itself.
            Ok(Done::Beaten) => return Ok(Outcome::Next),
            // Locked down since this request was let in.
            Err(ApiError::Unauthenticated(_)) => return Ok(deny(NOT_ALLOWED)),
            Err(error) => {
                tracing::error!(user = order.user, %error, "a lockdown failed");
                return Ok(deny(FAILED));
            }
        }
        match completion.filter(|_| ends_own) {
            Some(flow) => {
                // It is gone with the others; the browser goes on in a new one.
                cx.session = None;
                Ok(Outcome::Leave(cx.app.flow_page(&flow.slug.0, "")))
            }
            None => {
                if let (Some(session), Some(claim)) = (&mut cx.session, order.claim) {
                    session.flow_version += 1;
                    session.flow = Some(claim.flow);
                }
                Ok(Outcome::Next)
            }
        }
    }
}

#[async_trait]
impl Stage for AccountLockdown {
    const MODEL: &'static str = AccountLockdownStage::MODEL;
    type Config = AccountLockdownStage;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &AccountLockdownStage) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &AccountLockdownStage) -> Result<View<NoChallenge>, Reject> {
        Ok(View::Done(Self::lock_down(cx, config).await?))
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &AccountLockdownStage, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}
