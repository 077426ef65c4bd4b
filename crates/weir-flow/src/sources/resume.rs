//! Plans put aside while a browser is away at a source, and the way back into them.
//!
//! Such a plan belongs to one flow and, when it is about somebody, to that user's present epoch; it has an end, and it
//! is taken by one statement, so that of two that come back one goes on.

use crate::{
    Outcome, PendingUser, Plan, PlanContext, Reject, Stage, StageCx, Step, View, keys,
    stage::{NoChallenge, NoResponse},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Random;
use weir_identity::{Account, accounts};
use weir_store::{StoreError, Tx};

/// What the source stage notes in the context of the plan that it puts aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The plan that was put aside.
    pub id: Uuid,
    /// The binding whose stage waits.
    pub binding: Uuid,
    /// The source it waits for.
    pub source: Uuid,
    /// Refusals of the matching after which the stage lets the flow go on.
    pub resume_on: Vec<String>,
}

/// Puts a plan aside, or renews what was put aside under this key.
///
/// # Errors
/// Those of the store.
pub async fn put_aside(
    tx: &mut Tx,
    id: Uuid,
    plan: &Plan,
    user: Option<&Account>,
    expires: DateTime<Utc>,
) -> Result<(), StoreError> {
    if let Some(user) = user {
        // Before a lockdown, which ends it; afterwards nobody would be given it back.
        let now = accounts::lock(tx, user.id).await?;
        if !now.is_some_and(|now| now.is_active && now.security_epoch == user.security_epoch) {
            return Ok(());
        }
    }
    let sql = "INSERT INTO flow_resume (id, flow_id, user_id, security_epoch, plan, expires) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET plan = excluded.plan, \
               user_id = excluded.user_id, security_epoch = excluded.security_epoch, expires = excluded.expires \
               WHERE flow_resume.flow_id = excluded.flow_id";
    let vals = [
        id.into(),
        plan.flow.into(),
        user.map(|u| u.id).into(),
        user.map(|u| u.security_epoch).into(),
        json!(plan).to_string().into(),
        expires.into(),
    ];
    tx.write(sql, &vals).await?;
    Ok(())
}

/// Why a plan is not given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too late, taken already, or of a user who was locked meanwhile.
    Gone,
    /// The plan is about somebody else.
    OtherUser,
}

impl Refusal {
    /// For the person.
    pub fn text(self) -> &'static str {
        match self {
            Self::Gone => "This sign-in took too long or was already used. Please start again.",
            Self::OtherUser => "You signed in as somebody else than this page is about.",
        }
    }
}

/// Takes a plan that was put aside and lays over its context what was learned meanwhile. The plan's stage then sees that
/// its own key was restored.
///
/// # Errors
/// Those of the store.
pub async fn take(
    tx: &mut Tx,
    now: DateTime<Utc>,
    id: Uuid,
    learned: PlanContext,
) -> Result<Result<Plan, Refusal>, StoreError> {
    let sql = "DELETE FROM flow_resume WHERE id = $1 RETURNING flow_id, user_id, security_epoch, plan, expires";
    let rows = tx.write_returning(sql, &[id.into()]).await?;
    let Some(row) = rows.first() else { return Ok(Err(Refusal::Gone)) };
    if row.time("expires")? <= now {
        return Ok(Err(Refusal::Gone));
    }
    if let Some(user) = row.opt_int("user_id")? {
        let epoch = row.opt_int("security_epoch")?;
        let account = accounts::lock(tx, user).await?;
        if !account.is_some_and(|a| a.is_active && Some(a.security_epoch) == epoch) {
            return Ok(Err(Refusal::Gone));
        }
    }
    let value = serde_json::from_str(&row.text("plan")?).unwrap_or(Value::Null);
    let flow = row.uuid("flow_id")?;
    let Some(mut plan) = Plan::read(&value).filter(|plan| plan.flow == flow) else {
        tracing::warn!("a plan that was put aside cannot be read");
        return Ok(Err(Refusal::Gone));
    };
    let found: Option<PendingUser> = learned.get(keys::PENDING_USER);
    // Whoever the plan is about stays: another identity must not take over what this one has proven so far (S-FLOW-4).
    match (plan.context.get(keys::PENDING_USER), found) {
        (None, _) | (_, None) => {}
        (Some(PendingUser::Known(own)), Some(PendingUser::Known(other))) if own == other => {}
        _ => return Ok(Err(Refusal::OtherUser)),
    }
    plan.context = laid_over(plan.context, learned);
    plan.context.set(keys::IS_RESTORED, &id.to_string());
    Ok(Ok(plan))
}

/// What was learned counts, except for what belongs to the plan alone, and for how its person was proven before.
fn laid_over(mut own: PlanContext, learned: PlanContext) -> PlanContext {
    const OF_THE_PLAN: [&str; 3] = [keys::IS_RESTORED.name, keys::SOURCE_WAITING.name, keys::PASSWORD_ATTEMPTS.name];
    const PROOF: [&str; 2] = [keys::AUTH_METHOD.name, keys::USER_BACKEND.name];
    for (key, value) in learned.0 {
        match (key.as_str(), own.0.get_mut(&key), value) {
            (name, _, _) if OF_THE_PLAN.contains(&name) => {}
            (name, Some(_), _) if PROOF.contains(&name) => {}
            (name, Some(Value::Object(known)), Value::Object(new)) if name == keys::AUTH_METHOD_ARGS.name => {
                known.extend(new);
            }
            (_, _, value) => {
                own.0.insert(key, value);
            }
        }
    }
    own
}

/// Stage without a row at the end of a source's flow: goes on in the plan that was put aside.
pub struct ResumeStep;

/// Which plan.
#[derive(Deserialize)]
pub struct ResumeConfig {
    resume: Uuid,
}

impl ResumeStep {
    /// Model of the kind.
    pub const MODEL: &'static str = "weir_flow.resume";

    /// The step that goes on in a plan that was put aside.
    pub fn step(random: &dyn Random, resume: Uuid) -> Step {
        Step::in_memory(random.uuid(), Self::MODEL, json!({"resume": resume}))
    }
}

#[async_trait]
impl Stage for ResumeStep {
    const MODEL: &'static str = Self::MODEL;
    type Config = ResumeConfig;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &ResumeConfig) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &ResumeConfig) -> Result<View<NoChallenge>, Reject> {
        let now = cx.now();
        let learned = cx.context.clone();
        match take(&mut cx.unit.tx, now, config.resume, learned).await? {
            Ok(plan) => Ok(View::Done(Outcome::Switch(Box::new(plan)))),
            Err(refusal) => Ok(View::Done(Outcome::Deny(Some(refusal.text().to_owned())))),
        }
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &ResumeConfig, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}
