//! The current stage: which it is, what it says, what follows from its outcome.

use super::{Executor, Input, Reply};
use crate::{
    Effect, FlowStageBinding, InvalidResponseAction, Marker, Outcome, Plan, Reject, StageRef, Step, challenge,
    planner::{Planning, ask, summary},
    receipt::Entry,
    stage::{ConfigRef, ErasedView, StageKind},
};
use serde_json::{Value, json};
use std::{any::Any, sync::Arc};
use weir_core::{ApiError, FieldErrors, Map};
use weir_events::action;
use weir_identity::{membership, token};
use weir_policy::Engine;
use weir_resource::{Unit, store};

/// A stage with its configuration.
struct Current {
    kind: Arc<dyn StageKind>,
    config: Config,
    on_invalid: InvalidResponseAction,
}

enum Config {
    Typed(Arc<dyn Any + Send + Sync>),
    Json(Value),
}

impl Config {
    fn as_ref(&self) -> ConfigRef<'_> {
        match self {
            Self::Typed(any) => ConfigRef::Typed(any),
            Self::Json(value) => ConfigRef::Json(value),
        }
    }
}

impl Executor<'_> {
    /// Hands the input to the next stage whose policies agree.
    pub(super) async fn present(&mut self, input: Input) -> Result<Reply, ApiError> {
        if let Some((user, epoch)) = self.state.plan.as_ref().and_then(|plan| plan.person) {
            self.cx.epochs.insert(user, epoch);
        }
        let Some(step) = self.next_step().await? else { return self.finish().await };
        let Some(current) = self.current(&step) else {
            // A stage that vanished must not be skipped: it may have been the one that asks for the password.
            tracing::warn!(binding = %step.binding, "a stage of a running plan is gone or not served");
            return self.deny(None).await;
        };
        let started = std::time::Instant::now();
        let method = if matches!(input, Input::Answer(_)) { "answer" } else { "view" };
        self.cx.is_look = matches!(input, Input::Look);
        self.cx.context = self.state.plan.as_ref().map(|p| p.context.clone()).unwrap_or_default();
        self.cx.steps = self.state.plan.as_ref().map(|p| p.steps.clone()).unwrap_or_default();
        let events = self.cx.events.len();
        let result = self.run_stage(&current, input).await;
        if result.is_err() {
            // A stage that failed did nothing: neither its wishes nor its reports count.
            self.cx.context = self.state.plan.as_ref().map(|p| p.context.clone()).unwrap_or_default();
            self.cx.events.truncate(events);
            self.cx.effects.clear();
        } else if let Some(plan) = self.state.plan.as_mut() {
            plan.context = self.cx.context.clone();
        }
        metrics::histogram!("weir_flow_stage_seconds", "stage" => self.cx.stage_model.clone(), "method" => method)
            .record(started.elapsed().as_secs_f64());
        match result {
            Ok(Ran::Reply(reply)) => Ok(reply),
            Ok(Ran::Outcome(outcome)) => self.settle(outcome, current.on_invalid).await,
            Ok(Ran::Restart(keep)) => self.restart(keep).await,
            Err(Reject::Unavailable(error)) => Err(error),
            Err(Reject::Invalid(errors)) => self.fail(&format!("{:?}", errors.to_rest())).await,
            Err(Reject::Failed(cause)) => self.fail(&format!("{cause:#}")).await,
        }
    }

    /// Drops steps whose policies refuse, and gives the first that stays.
    async fn next_step(&mut self) -> Result<Option<Step>, ApiError> {
        loop {
            let Some(step) = self.state.plan.as_ref().and_then(|p| p.steps.front()).cloned() else { return Ok(None) };
            if step.marker == Marker::None || self.applies(&step).await? {
                return Ok(Some(step));
            }
            if let Some(plan) = self.state.plan.as_mut() {
                plan.steps.pop_front();
            }
        }
    }

    /// Asks the policies of a binding about the pending user.
    async fn applies(&mut self, step: &Step) -> Result<bool, ApiError> {
        let mode = self.cx.unit.snapshot.get::<FlowStageBinding>(step.binding).map(|b| b.policy_engine_mode);
        let engine = Engine::new(step.binding, mode.unwrap_or_default());
        let target = summary(&self.cx.unit.snapshot, step.binding);
        let Some(mut plan) = self.state.plan.take() else { return Ok(false) };
        self.cx.context = std::mem::take(&mut plan.context);
        let person = self.cx.person().await.map_err(store)?;
        let mut context = std::mem::take(&mut self.cx.context);
        let mut planning = Planning {
            unit: &mut self.cx.unit,
            request: self.cx.request,
            user: None,
            events: &mut self.cx.events,
            wishes: &mut self.wishes,
            receipt: &mut self.receipt,
        };
        let app = self.cx.app;
        let asked = ask(app, &mut planning, &engine, target, &mut context, person.account(), true).await;
        plan.context = context;
        let (result, redirect) = match asked {
            Ok(answer) => answer,
            Err(error) => {
                self.state.plan = Some(plan);
                return Err(error);
            }
        };
        if let Some(to) = redirect {
            plan.insert_next(crate::links::redirect_step(app, &to));
        }
        self.state.plan = Some(plan);
        if !result.asked.is_empty() {
            let entry = Entry::Policies {
                target: step.binding,
                when: "present".to_owned(),
                passing: result.passing,
                asked: result.asked,
            };
            self.note_once(entry);
        }
        self.cx.notices.extend(result.messages);
        Ok(result.passing)
    }

    fn current(&mut self, step: &Step) -> Option<Current> {
        self.cx.binding = step.binding;
        let (config, model) = match &step.stage {
            StageRef::Stored(id) => {
                let object = self.cx.unit.snapshot.find(*id)?;
                self.cx.stage_id = *id;
                self.cx.stage_name = object.name();
                (Config::Typed(Arc::clone(&object.typed)), object.kind.model.to_owned())
            }
            StageRef::InMemory { model, config } => {
                self.cx.stage_id = step.binding;
                self.cx.stage_name.clone_from(model);
                (Config::Json(config.clone()), model.clone())
            }
        };
        let kind = self.cx.app.stages.find(&model)?;
        self.cx.stage_model = model;
        Some(Current { kind, config, on_invalid: step.on_invalid })
    }

    async fn run_stage(&mut self, current: &Current, input: Input) -> Result<Ran, Reject> {
        let body = match input {
            Input::Answer(body) if !current.kind.is_silent(&current.config.as_ref()) => body,
            _ => return self.show(current, None).await,
        };
        if !is_meant_for(&body, current.kind.component()) {
            // An answer to another stage (a second tab, a plan that moved on) must not count here (S-FLOW-2).
            return self
                .show(current, Some(FieldErrors::one("component", "This step is no longer the current one.")))
                .await;
        }
        match current.kind.answer(&mut self.cx, &current.config.as_ref(), &body).await {
            Ok(Outcome::Again) => self.show(current, Some(FieldErrors::new())).await,
            Ok(outcome) => Ok(Ran::Outcome(outcome)),
            Err(Reject::Invalid(errors)) => {
                let fields = errors.iter().map(|(f, _)| f.clone()).collect();
                self.note(Entry::Refused { stage: self.cx.stage_model.clone(), fields });
                match current.on_invalid {
                    InvalidResponseAction::Retry => self.show(current, Some(errors)).await,
                    InvalidResponseAction::Restart => Ok(Ran::Restart(false)),
                    InvalidResponseAction::RestartWithContext => Ok(Ran::Restart(true)),
                }
            }
            Err(other) => Err(other),
        }
    }

    async fn show(&mut self, current: &Current, errors: Option<FieldErrors>) -> Result<Ran, Reject> {
        match current.kind.view(&mut self.cx, &current.config.as_ref()).await? {
            ErasedView::Done(outcome) => Ok(Ran::Outcome(outcome)),
            ErasedView::Ask { mut challenge, with_user, with_flow } => {
                self.state.restarts = 0;
                if errors.is_none() {
                    let (stage, name) = (self.cx.stage_model.clone(), self.cx.stage_name.clone());
                    self.note_once(Entry::Shown { stage, name });
                }
                self.envelope(&mut challenge, with_user, with_flow).await?;
                if let Some(errors) = errors {
                    challenge.insert("response_errors".to_owned(), errors.to_challenge());
                }
                Ok(Ran::Reply(Reply::Challenge(Value::Object(challenge))))
            }
        }
    }

    /// Carries out what a stage decided.
    async fn settle(&mut self, outcome: Outcome, on_invalid: InvalidResponseAction) -> Result<Reply, ApiError> {
        match outcome {
            Outcome::Next => self.pass().await,
            Outcome::Again => self.fail("the stage asks again before it asked").await,
            Outcome::Insert(step) => {
                if let Some(plan) = self.state.plan.as_mut() {
                    plan.insert_next(*step);
                }
                self.pass().await
            }
            Outcome::Deny(message) => {
                // What the stage wrote before it refused must not stay.
                self.undo().await?;
                match on_invalid {
                    InvalidResponseAction::Retry => self.deny(message).await,
                    InvalidResponseAction::Restart => self.restart(false).await,
                    InvalidResponseAction::RestartWithContext => self.restart(true).await,
                }
            }
            Outcome::Restart { keep_context } => self.restart(keep_context).await,
            Outcome::Leave(to) => {
                self.note(Entry::Finished);
                self.outcome = Some("finished");
                self.state.cancel();
                self.state.history.clear();
                Ok(Reply::Challenge(challenge::redirect(&to, false)))
            }
            Outcome::Redirect(to) => Ok(Reply::Challenge(challenge::redirect(&to, false))),
            Outcome::Show(challenge) => Ok(Reply::Challenge(challenge)),
            Outcome::Switch(plan) => Ok(self.switch(*plan)),
        }
    }

    async fn pass(&mut self) -> Result<Reply, ApiError> {
        let (stage, name) = (self.cx.stage_model.clone(), self.cx.stage_name.clone());
        self.note(Entry::Passed { stage, name });
        let Some(mut plan) = self.state.plan.take() else { return self.finish().await };
        self.state.remember(&plan);
        plan.steps.pop_front();
        let is_over = plan.steps.is_empty();
        self.state.plan = Some(plan);
        if is_over { self.finish().await } else { Ok(Reply::ToSelf) }
    }

    fn switch(&mut self, plan: Plan) -> Reply {
        let slug = self.cx.unit.snapshot.find(plan.flow).map(|o| o.text("slug").to_owned()).unwrap_or_default();
        let to = self.cx.app.flow_page(&slug, self.state.query.as_deref().unwrap_or_default());
        self.note(Entry::Switched { flow: slug });
        self.outcome = Some("switched");
        self.state.plan = Some(plan);
        Reply::Challenge(challenge::redirect(&to, false))
    }

    /// A stage failed: the event, and the error challenge. The plan is kept.
    async fn fail(&mut self, cause: &str) -> Result<Reply, ApiError> {
        self.undo().await?;
        tracing::error!(stage = self.cx.stage_model, cause, "a stage failed");
        let context = json!({"message": cause, "stage": self.cx.stage_summary()});
        self.cx.event(action::SYSTEM_EXCEPTION, context);
        self.note(Entry::Failed);
        let may_debug = match &self.cx.user {
            Some(user) => may_debug(&mut self.cx.unit, user).await?,
            None => false,
        };
        let value = challenge::flow_error(&self.cx.request.request_id, may_debug.then_some(cause));
        Ok(Reply::Challenge(value))
    }

    /// Rolls back what was written so far; the session is written afterwards in a transaction of its own.
    async fn undo(&mut self) -> Result<(), ApiError> {
        self.cx.effects.retain(|effect| matches!(effect, Effect::Reputation { .. } | Effect::Policy(_)));
        if !self.cx.unit.tx.is_writing() {
            return Ok(());
        }
        let fresh = Unit::new(&self.cx.app.site, self.cx.unit.actor.clone());
        std::mem::replace(&mut self.cx.unit, fresh).rollback().await?;
        // A link that led here stays used.
        if let Some(id) = self.used_token
            && !token::revoke_flow_token(&mut self.cx.unit.tx, id).await.map_err(store)?
        {
            return Err(ApiError::Unavailable(1, anyhow::anyhow!("a link was used twice at once")));
        }
        Ok(())
    }
}

/// Whether an answer names this component, none, or the general one of plain answers.
fn is_meant_for(body: &Map, component: &str) -> bool {
    match body.get("component").and_then(Value::as_str) {
        None | Some("" | "xak-flow-response-default") => true,
        Some(named) => named == component,
    }
}

/// Whether a user may see causes of failures: superusers, and users with the debug attribute.
async fn may_debug(unit: &mut Unit<'_>, user: &weir_identity::Account) -> Result<bool, ApiError> {
    if membership::is_superuser(&mut unit.tx, user.id).await.map_err(store)? {
        return Ok(true);
    }
    let merged = membership::group_attributes(&mut unit.tx, user.id, &user.attributes, &Map::new()).await;
    Ok(membership::attribute_flag(&merged.map_err(store)?, "goauthentik.io/user/debug") == Some(true))
}

/// What running a stage led to.
enum Ran {
    Reply(Reply),
    Outcome(Outcome),
    Restart(bool),
}
