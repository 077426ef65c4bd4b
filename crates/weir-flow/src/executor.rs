//! Walks a browser through a flow. The only code that changes the session.

mod flush;
mod steps;

use crate::{
    App, DeniedAction, Designation, Flow, NotApplicable, PendingUser, Plan, PlanContext, Planner, StageCx, challenge,
    keys,
    keys::Restored,
    media,
    planner::Planning,
    receipt::{Entry, Receipt},
    redirect,
    stage::{Cookie, Person},
    state::FlowState,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_identity::{Account, Brand, avatar, session::SessionRow, token};
use weir_policy::{PolicyEffect, RequestInfo};
use weir_resource::{Actor, Site, Snapshot, Unit, store};

/// What the browser sends.
#[derive(Clone, Debug)]
pub enum Input {
    /// Show the current stage.
    View,
    /// Show it as a page, as programs do too that look at the links in mails: nothing may be used up.
    Look,
    /// An answer to it.
    Answer(Map),
}

/// What the browser gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// HTTP 200 with this challenge.
    Challenge(Value),
    /// HTTP 302 to the request's own address.
    ToSelf,
}

/// What happens to the session cookie.
#[derive(Clone, Debug)]
pub enum SessionChange {
    /// Nothing.
    Keep,
    /// A new key, to be sent as the cookie.
    New {
        /// The key.
        key: String,
        /// Signed in as this user.
        user: Option<Box<Account>>,
        /// The cookie outlives the browser until then.
        expires: Option<chrono::DateTime<chrono::Utc>>,
    },
}

/// The end of a request.
#[derive(Debug)]
pub struct Done {
    /// The answer.
    pub reply: Reply,
    /// Session cookie.
    pub session: SessionChange,
    /// Other cookies.
    pub cookies: Vec<Cookie>,
    /// Messages of policies for the person.
    pub notices: Vec<String>,
}

/// Why a run gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another request of this session was faster; nothing of this one happened.
    #[error("another request of the session was faster")]
    Conflict,
    /// Anything else.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// One request's walk.
pub struct Executor<'a> {
    cx: StageCx<'a>,
    state: FlowState,
    receipt: Receipt,
    /// Receipt lines to keep as a row, because the run ended in this request.
    outcome: Option<&'static str>,
    /// Key of a link that this request used up.
    used_token: Option<Uuid>,
    /// What policies want done.
    wishes: Vec<PolicyEffect>,
}

impl<'a> Executor<'a> {
    /// Gets ready for one request. `user` is the request's user, `session` the browser's session as it was read.
    pub fn new(
        app: &'a App,
        request: &'a RequestInfo,
        user: Option<Account>,
        session: Option<SessionRow>,
        (flow_id, flow): (Uuid, Arc<Flow>),
    ) -> Self {
        let mut unit = Unit::new(&app.site, Actor::default());
        let brand = request.brand.and_then(|id| Some(unit.snapshot.get::<Brand>(id)?.event_brand(Some(id))));
        let brand = brand.unwrap_or_else(|| json!({}));
        unit.actor = Actor {
            origin: request.origin(user.as_ref(), brand),
            user_id: user.as_ref().map(|u| u.id),
            epoch: user.as_ref().map(|u| u.security_epoch),
            request_id: request.request_id.clone(),
        };
        request.unmask(&mut unit.actor.origin);
        let mut state = FlowState::read(session.as_ref().and_then(|s| s.flow.as_deref()));
        let now = app.site.clock.now();
        let receipt = state
            .receipt
            .take()
            .filter(|r| r.flow == flow_id && state.plan.is_some())
            .unwrap_or_else(|| Receipt::new(app.site.random.uuid(), flow_id, &flow.slug.0, now));
        let cx = StageCx {
            app,
            unit,
            request,
            user,
            session,
            flow_id,
            flow,
            stage_id: Uuid::nil(),
            stage_name: String::new(),
            stage_model: String::new(),
            binding: Uuid::nil(),
            steps: VecDeque::new(),
            context: PlanContext::default(),
            query: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
            notices: Vec::new(),
            is_look: false,
            epochs: BTreeMap::new(),
        };
        Self { cx, state, receipt, outcome: None, used_token: None, wishes: Vec::new() }
    }

    /// Runs at most one stage, then writes plan, history, effects and events in one transaction.
    ///
    /// # Errors
    /// [`RunError::Conflict`] when another request of the session was faster, else those of the store.
    pub async fn run(mut self, query: &str, input: Input) -> Result<Done, RunError> {
        let reply = self.walk(query, input).await?;
        self.flush(reply).await
    }

    /// Stores a finished plan for this browser.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub async fn adopt(mut self, plan: Plan, query: Option<String>) -> Result<Done, RunError> {
        let now = self.cx.now();
        self.receipt = Receipt::new(self.cx.app.site.random.uuid(), self.cx.flow_id, &self.cx.flow.slug.0, now);
        self.state.history.clear();
        self.state.plan = Some(plan);
        self.state.query = query;
        self.flush(Reply::ToSelf).await
    }

    /// Puts values into the context of the running plan if it still waits at this binding; none when it does not.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub async fn inform(mut self, binding: Uuid, values: &Map) -> Result<Option<Done>, RunError> {
        let waits = |plan: &&mut Plan| plan.steps.front().is_some_and(|step| step.binding == binding);
        let Some(plan) = self.state.plan.as_mut().filter(waits) else { return Ok(None) };
        plan.context.0.extend(values.clone());
        self.flush(Reply::ToSelf).await.map(Some)
    }

    /// Drops the plan of this browser.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub async fn cancel(mut self) -> Result<Done, RunError> {
        self.state.cancel();
        self.flush(Reply::ToSelf).await
    }

    async fn walk(&mut self, query: &str, input: Input) -> Result<Reply, RunError> {
        self.cx.query =
            url::form_urlencoded::parse(query.as_bytes()).map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
        if let Some(key) = self.cx.query_parameter("flow_token").map(str::to_owned)
            && let Some(refusal) = self.restore(&key).await?
        {
            self.state.query = Some(query.to_owned());
            return Ok(refusal);
        }
        if self.state.plan.as_ref().is_some_and(|p| p.flow != self.cx.flow_id) {
            self.state.cancel();
        }
        self.state.query = Some(query.to_owned());
        if self.state.plan.is_none() {
            self.state.history.clear();
            match self.make_plan(PlanContext::default(), true).await {
                Ok(plan) => self.state.plan = Some(plan),
                Err(NotApplicable::Failed(error)) => return Err(error.into()),
                Err(NotApplicable::Empty) => return Ok(self.finish().await?),
                Err(NotApplicable::Refused(message)) => {
                    let signed_in = self.cx.user.is_some();
                    if self.cx.flow.designation == Designation::Authentication && signed_in {
                        return Ok(self.finish().await?);
                    }
                    return Ok(self.refuse(&message).await?);
                }
            }
        }
        Ok(self.present(input).await?)
    }

    /// Takes the plan of a flow token in place of the session's. Gives the reply when the link is refused.
    async fn restore(&mut self, key: &str) -> Result<Option<Reply>, ApiError> {
        let now = self.cx.now();
        let token = token::take_flow_token(&mut self.cx.unit.tx, key, now).await.map_err(store)?;
        let Some(token) = token else { return Ok(None) };
        if token.flow_id != self.cx.flow_id {
            // Opened at another flow: it restores nothing, so it is not used up either.
            let fresh = Unit::new(&self.cx.app.site, self.cx.unit.actor.clone());
            std::mem::replace(&mut self.cx.unit, fresh).rollback().await?;
            return Ok(None);
        }
        self.used_token = Some(token.id).filter(|_| token.revoke_on_execution);
        let current = self.state.plan.take_if(|p| p.flow == self.cx.flow_id);
        if let Some(current) = &current
            && !token.revoke_on_execution
            && current.context.get(keys::IS_RESTORED).as_deref() == Some(&token.identifier)
        {
            // The page's address keeps the token: this plan came from it and is on its way.
            self.state.plan = Some(current.clone());
            return Ok(None);
        }
        let value = serde_json::from_str(&token.plan).unwrap_or(Value::Null);
        let Some(mut plan) = Plan::read(&value).filter(|p| p.flow == token.flow_id) else {
            tracing::warn!("the plan of a flow token cannot be read");
            self.state.plan = current;
            return Ok(None);
        };
        // A plan about somebody else than the token's user is not to be trusted (S-FLOW-4).
        match plan.context.get(keys::PENDING_USER) {
            Some(PendingUser::Known(id)) if id == token.user_id => {}
            None => {}
            Some(_) => return Ok(Some(self.deny(None).await?)),
        }
        if let Some(current) = current {
            plan.context = merged(plan.context, current.context);
        }
        plan.context.set(keys::IS_RESTORED, &token.identifier);
        plan.context.set(keys::RESTORED, &Restored { token: token.id, user: token.user_id });
        self.state.history.clear();
        self.state.plan = Some(plan);
        Ok(None)
    }

    async fn make_plan(&mut self, context: PlanContext, use_cache: bool) -> Result<Plan, NotApplicable> {
        let flow = Arc::clone(&self.cx.flow);
        let planner = Planner {
            app: self.cx.app,
            flow_id: self.cx.flow_id,
            flow: &flow,
            use_cache,
            allow_empty: false,
            for_token: false,
        };
        let user = self.cx.user.clone();
        let mut planning = Planning {
            unit: &mut self.cx.unit,
            request: self.cx.request,
            user: user.as_ref(),
            events: &mut self.cx.events,
            wishes: &mut self.wishes,
            receipt: &mut self.receipt,
        };
        planner.plan(&mut planning, context).await
    }

    /// The flow does not apply.
    async fn refuse(&mut self, message: &str) -> Result<Reply, ApiError> {
        self.note(Entry::Denied { message: Some(message.to_owned()) });
        self.outcome = Some("denied");
        let next = self.cx.request.parameter("next").filter(|n| redirect::is_local(n)).map(str::to_owned);
        let target = match (self.cx.flow.denied_action, next) {
            (DeniedAction::Message, _) | (DeniedAction::MessageContinue, None) => None,
            (_, Some(next)) => Some(next),
            (DeniedAction::Continue, None) => Some(self.start()),
        };
        let reply = match target {
            Some(to) => Reply::Challenge(challenge::redirect(&to, false)),
            None => self.access_denied(message).await?,
        };
        self.state.cancel();
        Ok(reply)
    }

    /// Cancels and shows the message of a denial.
    async fn deny(&mut self, message: Option<String>) -> Result<Reply, ApiError> {
        let message = message.filter(|m| !m.is_empty()).unwrap_or_else(|| "Unknown error".to_owned());
        self.note(Entry::Denied { message: Some(message.clone()) });
        self.outcome = Some("denied");
        let reply = self.access_denied(&message).await?;
        self.state.cancel();
        Ok(reply)
    }

    async fn access_denied(&mut self, message: &str) -> Result<Reply, ApiError> {
        let mut map = Map::new();
        map.insert("component".to_owned(), "ak-stage-access-denied".into());
        map.insert("error_message".to_owned(), message.into());
        if let Some(plan) = &self.state.plan {
            self.cx.context = plan.context.clone();
        }
        self.envelope(&mut map, true, true).await?;
        Ok(Reply::Challenge(Value::Object(map)))
    }

    /// Nothing left to do.
    async fn finish(&mut self) -> Result<Reply, ApiError> {
        let wanted = self.state.plan.as_ref().and_then(|p| p.context.get(keys::REDIRECT));
        let next = self.state.query_parameter("next");
        let (to, allowed) = match (wanted, next) {
            (Some(to), _) => (to, true),
            (None, Some(next)) => {
                let local = redirect::is_local(&next);
                (next, local)
            }
            (None, None) => (self.start(), true),
        };
        self.note(Entry::Finished);
        self.outcome = Some("finished");
        if !allowed {
            let reply = self.access_denied("Invalid next URL").await?;
            self.state.cancel();
            return Ok(reply);
        }
        self.state.cancel();
        Ok(Reply::Challenge(challenge::redirect(&to, true)))
    }

    /// The site's start page.
    fn start(&self) -> String {
        format!("{}/", self.cx.app.prefix)
    }

    /// Plans the flow anew.
    async fn restart(&mut self, keep_context: bool) -> Result<Reply, ApiError> {
        self.note(Entry::Restarted);
        self.state.restarts = self.state.restarts.saturating_add(1);
        if self.state.restarts > FlowState::RESTARTS {
            tracing::warn!(flow = self.cx.flow.slug.0, "a flow restarts itself without end");
            return self.deny(None).await;
        }
        let old = self.state.plan.take().map(|p| p.context).unwrap_or_default();
        let context = if keep_context { old } else { PlanContext::default() };
        if !keep_context {
            self.cx.epochs.clear();
        }
        match self.make_plan(context, false).await {
            Ok(plan) => {
                self.state.plan = Some(plan);
                Ok(Reply::ToSelf)
            }
            Err(NotApplicable::Empty) => self.finish().await,
            Err(NotApplicable::Refused(message)) => self.refuse(&message).await,
            Err(NotApplicable::Failed(error)) => Err(error),
        }
    }

    /// Notes what a page that is looked at twice would repeat.
    fn note_once(&mut self, entry: Entry) {
        if !self.receipt.has_said(&entry) {
            self.note(entry);
        }
    }

    fn note(&mut self, entry: Entry) {
        let now = self.cx.now();
        self.receipt.add(now, entry);
    }

    /// Adds who the person is and what the page looks like.
    async fn envelope(&mut self, challenge: &mut Map, with_user: bool, with_flow: bool) -> Result<(), ApiError> {
        let person = self.cx.person().await.map_err(store)?;
        let typed: Option<String> = self.cx.context.get(keys::PENDING_USER_IDENTIFIER);
        let shown = typed.clone().unwrap_or_else(|| person.name().to_owned());
        let settings = Arc::clone(&self.cx.unit.snapshot.settings);
        if with_flow {
            let app = self.cx.context.get(keys::APPLICATION).and_then(|a| a.get("name")?.as_str().map(str::to_owned));
            let info = flow_info(&self.cx, &app.unwrap_or_default(), &shown, self.state.query_parameter("next"));
            challenge.insert("flow_info".to_owned(), info);
        }
        if with_user {
            let picture = match (&person, typed) {
                (Person::Known(account), None) => avatar::for_account(&self.cx.app.site, &settings, account),
                (Person::Anonymous, None) => self.cx.app.site.served(avatar::DEFAULT_AVATAR),
                // Whoever typed a name must not learn from the picture whether it exists.
                _ => avatar::of(
                    &self.cx.app.site,
                    &settings,
                    &avatar::Subject { username: &shown, name: "", email: "", attributes: &Map::new() },
                ),
            };
            challenge.insert("pending_user".to_owned(), shown.into());
            challenge.insert("pending_user_avatar".to_owned(), picture.into());
        }
        Ok(())
    }
}

/// The context of a token's plan with that of the running plan laid over, except for who the person is and how that was
/// proven.
fn merged(mut restored: PlanContext, running: PlanContext) -> PlanContext {
    const KEPT: [&str; 9] = [
        keys::PENDING_USER.name,
        keys::PENDING_USER_IDENTIFIER.name,
        keys::USER_BACKEND.name,
        keys::AUTH_METHOD.name,
        keys::AUTH_METHOD_ARGS.name,
        keys::IS_REDIRECTED.name,
        keys::EMAIL_PROOF.name,
        keys::EMAIL_STEP.name,
        keys::EMAIL_LINK.name,
    ];
    restored.0.extend(running.0.into_iter().filter(|(key, _)| !KEPT.contains(&key.as_str())));
    restored
}

/// What the page around a challenge looks like (contract schema `ContextualFlowInfo`).
fn flow_info(cx: &StageCx<'_>, app: &str, user: &str, next: Option<String>) -> Value {
    let mut cancel = format!("{}/flows/-/cancel/", cx.app.prefix);
    if let Some(next) = next {
        cancel.push_str("?next=");
        cancel.extend(url::form_urlencoded::byte_serialize(next.as_bytes()));
    }
    let (background, themed) = background(&cx.app.site, &cx.unit.snapshot, &cx.flow, cx.request.brand);
    json!({
        "title": redirect::title(&cx.flow.title, app, user),
        "background": background,
        "background_themed_urls": themed,
        "cancel_url": cancel,
        "layout": cx.flow.layout,
    })
}

/// The background of a flow: its own, the brand's, the built-in one; with themed addresses when the name has `%(theme)s`.
pub fn background(site: &Site, snapshot: &Snapshot, flow: &Flow, brand: Option<Uuid>) -> (String, Value) {
    const BUILT_IN: &str = Site::BACKGROUND;
    let of_brand = brand
        .and_then(|id| snapshot.find(id))
        .map(|o| o.text("branding_default_flow_background").to_owned())
        .unwrap_or_default();
    let name =
        [flow.background.as_str(), of_brand.as_str(), BUILT_IN].into_iter().find(|n| !n.is_empty()).unwrap_or(BUILT_IN);
    (media::address(site, name), media::themed(site, name))
}
