//! Makes plans.

use crate::{
    App, Flow, FlowAuthentication, FlowStageBinding, Marker, Plan, PlanContext, StageRef, Step, keys,
    receipt::{Entry, Receipt},
    stage::Person,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use uuid::Uuid;
use weir_core::ApiError;
use weir_events::Event;
use weir_identity::{Account, membership};
use weir_policy::{Engine, PolicyCx, PolicyEffect, PolicyRequest, RequestInfo};
use weir_resource::{Snapshot, Unit, store};

/// Why a flow does not apply.
#[derive(Debug)]
pub enum NotApplicable {
    /// The person is not whom the flow is for; the message, if policies gave one.
    Refused(String),
    /// Nothing to do.
    Empty,
    /// The planning itself failed.
    Failed(ApiError),
}

impl From<ApiError> for NotApplicable {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

/// The sentence without reasons of policies.
pub const GENERIC: &str = "Flow does not apply to current user.";

/// Plans without context, per flow and user, for one revision of the configuration.
pub struct PlanCache {
    entries: Mutex<HashMap<(Uuid, Option<i64>), CachedPlan>>,
    life: TimeDelta,
}

struct CachedPlan {
    revision: i64,
    made: DateTime<Utc>,
    steps: Vec<Step>,
}

impl PlanCache {
    /// Entries at most; beyond it everything is forgotten, which costs one planning each.
    const LARGEST: usize = 50_000;

    /// A cache whose entries live this long.
    pub fn new(life: TimeDelta) -> Self {
        Self { entries: Mutex::new(HashMap::new()), life }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<(Uuid, Option<i64>), CachedPlan>> {
        // A panic while holding the lock cannot leave a half-written entry.
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn get(&self, flow: Uuid, user: Option<i64>, revision: i64, now: DateTime<Utc>) -> Option<Vec<Step>> {
        let entries = self.locked();
        let entry = entries.get(&(flow, user))?;
        (entry.revision == revision && now - entry.made < self.life).then(|| entry.steps.clone())
    }

    fn put(&self, flow: Uuid, user: Option<i64>, revision: i64, now: DateTime<Utc>, steps: Vec<Step>) {
        let mut entries = self.locked();
        if entries.len() >= Self::LARGEST {
            entries.clear();
        }
        entries.insert((flow, user), CachedPlan { revision, made: now, steps });
    }

    /// Live entries of a flow, or of all flows.
    pub fn count(&self, flow: Option<Uuid>, revision: i64, now: DateTime<Utc>) -> usize {
        self.locked()
            .iter()
            .filter(|((id, _), e)| flow.is_none_or(|f| f == *id) && e.revision == revision && now - e.made < self.life)
            .count()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.locked().clear();
    }
}

/// Plans one flow.
pub struct Planner<'a> {
    /// The process.
    pub app: &'a App,
    /// Key of the flow.
    pub flow_id: Uuid,
    /// The flow.
    pub flow: &'a Flow,
    /// Take and keep plans in the cache.
    pub use_cache: bool,
    /// A flow without stages is an answer.
    pub allow_empty: bool,
    /// Planning for a token counts as restored, so that `require_token` flows can be planned.
    pub for_token: bool,
}

/// Surroundings of a planning.
pub struct Planning<'u, 'a> {
    /// The work of the request.
    pub unit: &'u mut Unit<'a>,
    /// The request.
    pub request: &'u RequestInfo,
    /// The request's user.
    pub user: Option<&'u Account>,
    /// Collects events of policies.
    pub events: &'u mut Vec<Event>,
    /// Collects what policies want done.
    pub wishes: &'u mut Vec<PolicyEffect>,
    /// Collects what happened.
    pub receipt: &'u mut Receipt,
}

impl Planner<'_> {
    /// Makes a plan from a starting context.
    ///
    /// # Errors
    /// When the flow does not apply.
    pub async fn plan(&self, cx: &mut Planning<'_, '_>, mut context: PlanContext) -> Result<Plan, NotApplicable> {
        let started = std::time::Instant::now();
        let now = self.app.site.clock.now();
        let subject = match context.get(keys::PENDING_USER) {
            None => cx.user.cloned(),
            pending => Person::find(&mut cx.unit.tx, pending).await.map_err(store)?.into_account(),
        };
        self.check_authentication(cx, &context).await?;
        if let Some(outpost) = &cx.request.outpost {
            context.set(keys::OUTPOST, outpost);
        }
        self.check_policies(cx, &mut context, subject.as_ref()).await?;
        let cacheable = self.use_cache && self.flow.designation != crate::Designation::StageConfiguration;
        let key = subject.as_ref().map(|u| u.id);
        let revision = cx.unit.snapshot.revision;
        let cached = if cacheable { self.app.plans.get(self.flow_id, key, revision, now) } else { None };
        let was_cached = cached.is_some();
        let mut plan = Plan::new(self.flow_id, context);
        match cached {
            Some(steps) => plan.steps = steps.into(),
            None => {
                let is_the_same_for_all_times = self.build(cx, &mut plan, subject.as_ref()).await?;
                if cacheable && is_the_same_for_all_times {
                    self.app.plans.put(self.flow_id, key, revision, now, plan.steps.iter().cloned().collect());
                }
            }
        }
        cx.receipt.add(now, Entry::Planned { stages: plan.steps.len(), cached: was_cached });
        metrics::histogram!("weir_flow_plan_seconds", "flow" => self.flow.slug.0.clone())
            .record(started.elapsed().as_secs_f64());
        if plan.steps.is_empty() && !self.allow_empty {
            return Err(NotApplicable::Empty);
        }
        Ok(plan)
    }

    pub(crate) async fn check_authentication(
        &self,
        cx: &mut Planning<'_, '_>,
        context: &PlanContext,
    ) -> Result<(), NotApplicable> {
        let fulfilled = match self.flow.authentication {
            FlowAuthentication::None => true,
            FlowAuthentication::RequireAuthenticated => cx.user.is_some(),
            FlowAuthentication::RequireUnauthenticated => cx.user.is_none(),
            FlowAuthentication::RequireSuperuser => match cx.user {
                Some(user) => membership::is_superuser(&mut cx.unit.tx, user.id).await.map_err(store)?,
                None => false,
            },
            FlowAuthentication::RequireRedirect => context.has(keys::IS_REDIRECTED),
            FlowAuthentication::RequireOutpost => cx.request.outpost.is_some(),
            FlowAuthentication::RequireToken => {
                if !self.for_token && !context.has(keys::IS_RESTORED) {
                    let text = "This link is invalid or has expired. Please request a new one.";
                    return Err(NotApplicable::Refused(text.to_owned()));
                }
                true
            }
        };
        if fulfilled { Ok(()) } else { Err(NotApplicable::Refused(GENERIC.to_owned())) }
    }

    async fn check_policies(
        &self,
        cx: &mut Planning<'_, '_>,
        context: &mut PlanContext,
        subject: Option<&Account>,
    ) -> Result<(), NotApplicable> {
        let engine = Engine::new(self.flow_id, self.flow.policy_engine_mode);
        let target = summary(&cx.unit.snapshot, self.flow_id);
        let (result, _) = ask(self.app, cx, &engine, target, context, subject, false).await?;
        let now = self.app.site.clock.now();
        if !result.asked.is_empty() {
            cx.receipt.add(
                now,
                Entry::Policies {
                    target: self.flow_id,
                    when: "flow".to_owned(),
                    passing: result.passing,
                    asked: result.asked.clone(),
                },
            );
        }
        if result.passing {
            return Ok(());
        }
        let text = result.messages.join("\n");
        Err(NotApplicable::Refused(if text.is_empty() { GENERIC.to_owned() } else { text }))
    }

    /// Fills in the steps. False when policies had a say: they look at groups, addresses and the time, whose changes no
    /// cache hears of.
    async fn build(
        &self,
        cx: &mut Planning<'_, '_>,
        plan: &mut Plan,
        subject: Option<&Account>,
    ) -> Result<bool, NotApplicable> {
        let mut cacheable = true;
        for (id, binding) in bindings(&cx.unit.snapshot, self.flow_id) {
            if binding.evaluate_on_plan {
                let engine = Engine::new(id, binding.policy_engine_mode);
                let target = summary(&cx.unit.snapshot, id);
                let mut context = plan.context.clone();
                let (result, redirect) = ask(self.app, cx, &engine, target, &mut context, subject, true).await?;
                plan.context = context;
                if let Some(to) = redirect {
                    plan.insert_next(crate::links::redirect_step(self.app, &to));
                }
                if !result.asked.is_empty() {
                    cacheable = false;
                    let entry = Entry::Policies {
                        target: id,
                        when: "plan".to_owned(),
                        passing: result.passing,
                        asked: result.asked,
                    };
                    cx.receipt.add(self.app.site.clock.now(), entry);
                }
                if !result.passing {
                    continue;
                }
            }
            plan.steps.push_back(Step {
                binding: id,
                stage: StageRef::Stored(*binding.stage.pk()),
                marker: if binding.re_evaluate_policies { Marker::Reevaluate } else { Marker::None },
                on_invalid: binding.invalid_response_action,
            });
        }
        Ok(cacheable)
    }
}

/// The stage bindings of a flow in order.
pub fn bindings(snapshot: &Snapshot, flow: Uuid) -> Vec<(Uuid, Arc<FlowStageBinding>)> {
    let mut bindings = snapshot.referring_by::<FlowStageBinding>(flow, "target");
    bindings.sort_by_key(|(id, b)| (b.order, *id));
    bindings
}

/// An object as expressions and events see it.
pub fn summary(snapshot: &Snapshot, id: Uuid) -> Value {
    snapshot.find(id).map_or(Value::Null, |o| {
        json!({"app": o.kind.app_label(), "model_name": o.kind.model_name(), "pk": id.to_string(), "name": o.name()})
    })
}

/// Asks the policies of a target; gives the answer and a redirect that an expression wants.
pub(crate) async fn ask(
    app: &App,
    cx: &mut Planning<'_, '_>,
    engine: &Engine,
    target: Value,
    context: &mut PlanContext,
    user: Option<&Account>,
    with_plan: bool,
) -> Result<(weir_policy::EngineResult, Option<String>), ApiError> {
    let snapshot = Arc::clone(&cx.unit.snapshot);
    // Most targets have no bindings; they must not cost a copy of the context.
    if snapshot.referring_by::<weir_policy::PolicyBinding>(engine.target, "target").is_empty() {
        let result = weir_policy::EngineResult { passing: engine.empty_result, messages: vec![], asked: vec![] };
        return Ok((result, None));
    }
    let mut policies = PolicyCx {
        site: &app.site,
        snapshot: &snapshot,
        tx: &mut cx.unit.tx,
        kinds: &app.policies,
        events: cx.events,
        depth: 0,
    };
    let visible = context.0.clone();
    let mut request = PolicyRequest {
        context: visible,
        plan_context: with_plan.then_some(&mut context.0),
        ..PolicyRequest::new(user, cx.request, target)
    };
    let result = engine.evaluate(&mut policies, &mut request).await?;
    cx.wishes.append(&mut request.effects);
    Ok((result, request.plan_redirect))
}
