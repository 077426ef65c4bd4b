//! What happens with somebody who came from a source: mappings, matching, policies, and the way into a flow. The same
//! for all kinds of sources.

use crate::{
    base::SourceBase,
    connect::{Connect, ConnectConfig, Group, Kept},
    connections::{self, NewConnection},
    mapping::Mapping,
    matching::{self, Claimant, Match, Refusal},
    remote::Trouble,
    say,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_events::{Event, action};
use weir_flow::{
    App, Flow, NotApplicable, PendingUser, Plan, PlanContext, StageRef, Step, keys,
    links::{self, PlanRequest},
    planner,
    sources::{
        self, resume,
        resume::{ResumeStep, Waiting},
    },
};
use weir_http::{
    Caller, Incoming,
    flow::{PageCall, PageReply, Visit},
};
use weir_identity::{Account, accounts};
use weir_policy::RequestInfo;
use weir_resource::{Actor, Snapshot, Unit, store};

/// Name of the backend that stands for accounts of the site.
const INBUILT: &str = "authentik.core.auth.InbuiltBackend";
const USER_LOGIN: &str = "authentik_stages_user_login.userloginstage";
const USER_WRITE: &str = "authentik_stages_user_write.userwritestage";

/// A lockdown tells when it began; whoever left for a source until it was done was on their way. The clocks of nodes differ
/// by less.
const LOCKING: TimeDelta = TimeDelta::seconds(5);

/// Whether an account is as it was when it was recognised: active, and of the same epoch.
fn is_same(known: Option<&Account>, now: Option<&Account>) -> bool {
    let (Some(known), Some(now)) = (known, now) else { return false };
    now.is_active && now.security_epoch == known.security_epoch
}

/// Who acts, for events.
pub fn actor(caller: &Caller, request: &Incoming, snapshot: &Snapshot) -> Actor {
    Actor {
        origin: caller.origin(request, snapshot),
        user_id: caller.user.as_ref().map(|user| user.id),
        epoch: caller.user.as_ref().map(|user| user.security_epoch),
        request_id: request.id.clone(),
    }
}

/// Tells administrators that something is wrong at the source or with how it is set up.
///
/// # Errors
/// Those of the store.
pub async fn report(unit: &mut Unit<'_>, source: Uuid, trouble: &Trouble) -> Result<(), ApiError> {
    tracing::warn!(%source, %trouble, "a sign-in with a source failed");
    let context = json!({"message": trouble.0, "source": planner::summary(&unit.snapshot, source)});
    unit.event(Event::new(action::CONFIGURATION_ERROR, "authentik_sources_oauth", context)).await
}

/// Somebody who came from a source.
pub struct Arrival<'a> {
    /// The request.
    pub call: &'a PageCall,
    /// Who sends it.
    pub caller: &'a Caller,
    /// The source.
    pub source: Uuid,
    /// Its common fields.
    pub base: &'a SourceBase,
    /// Application label of its kind.
    pub kind_app: &'static str,
    /// Model of its connections.
    pub connection_model: &'static str,
    /// What would be kept.
    pub new: NewConnection<'a>,
    /// Properties before mapping.
    pub properties: Map,
    /// Groups, when the source tells any: identifier and name.
    pub groups: Option<Vec<(String, String)>>,
    /// The provider says that it has not verified the mail address.
    pub is_mail_unverified: bool,
    /// Everything the source told.
    pub info: Map,
    /// Variables of mappings.
    pub variables: Map,
    /// When the browser was sent to the source.
    pub departed: DateTime<Utc>,
    /// The plan that waits for this sign-in.
    pub waiting: Option<&'a Waiting>,
    /// Query of the page to go on with.
    pub query: &'a str,
}

impl Arrival<'_> {
    fn engine(&self) -> &App {
        self.call.engine()
    }

    /// Signs in, enrols, connects or refuses.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sign_in(mut self, mut visit: Visit<'_>) -> Result<PageReply, ApiError> {
        let engine = self.call.engine();
        let snapshot = engine.site.snapshot();
        let mut unit = Unit::new(&engine.site, actor(self.caller, &self.call.request, &snapshot));
        let request = visit.info().clone();
        let groups = match self.map(&mut unit, &request).await? {
            Ok(groups) => groups,
            Err(trouble) => {
                report(&mut unit, self.source, &trouble).await?;
                unit.commit().await?;
                return Ok(PageReply::denied(say::TROUBLE));
            }
        };
        let claimant = Claimant {
            identifier: self.new.identifier,
            properties: &self.properties,
            is_mail_unverified: self.is_mail_unverified,
            signed_in: self.caller.user.as_ref().map(|user| user.id),
        };
        let found = matching::decide(&mut unit.tx, self.source, self.base, &claimant).await.map_err(store)?;
        if let Match::Refused(refusal) = found {
            return self.refuse(unit, &mut visit, refusal).await;
        }
        let subject = match &found {
            Match::Known(_, account) | Match::Found(account) => Some((**account).clone()),
            Match::Oneself(_) => self.caller.user.clone(),
            Match::New | Match::Refused(_) => None,
        };
        let context = self.context(&snapshot, &found);
        let target = (self.source, self.base.policy_engine_mode);
        let asked = sources::admits(engine, &mut unit, &request, target, subject.as_ref(), &context).await?;
        if let (false, messages) = asked {
            unit.commit().await?;
            let text = messages.join(" ");
            return Ok(PageReply::denied(if text.is_empty() { say::POLICIES.to_owned() } else { text }));
        }
        match found {
            Match::Oneself(user) => self.connect_oneself(unit, &mut visit, user, context).await,
            Match::Known(known, account) => {
                let now = engine.site.clock.now();
                // What the provider gave must not come after a lockdown, which removes it; nor is somebody let in who was
                // on their way when the account was locked.
                let now_is = accounts::lock(&mut unit.tx, account.id).await.map_err(store)?;
                if !is_same(Some(&account), now_is.as_ref())
                    || self.locked_since_departure(&mut unit, account.id).await?
                {
                    unit.commit().await?;
                    return Ok(PageReply::denied(say::STALE));
                }
                connections::renew(&mut unit.tx, now, known.id, &self.new).await.map_err(store)?;
                if self.caller.user.is_some() {
                    return self.go_on(unit, &mut visit, context).await;
                }
                self.start(unit, &mut visit, Some(&account), context, groups, Kept::Connection).await
            }
            Match::Found(account) if self.locked_since_departure(&mut unit, account.id).await? => {
                unit.commit().await?;
                Ok(PageReply::denied(say::STALE))
            }
            Match::Found(account) => self.start(unit, &mut visit, Some(&account), context, groups, Kept::Link).await,
            _ => self.start(unit, &mut visit, None, context, groups, Kept::Enrolment).await,
        }
    }

    /// Runs the mappings. Gives the groups.
    async fn map(
        &mut self,
        unit: &mut Unit<'_>,
        request: &RequestInfo,
    ) -> Result<Result<Option<Vec<Group>>, Trouble>, ApiError> {
        let failed = |failed: crate::mapping::Failed| {
            Trouble::new(format!("The mapping {} failed: {}", failed.name, crate::remote::quoted(&failed.message)))
        };
        let mut variables = self.variables.clone();
        variables.insert("source".to_owned(), planner::summary(&unit.snapshot, self.source));
        let user = self.caller.user.as_ref();
        let mapping = Mapping { engine: self.call.engine(), request, user, variables: variables.clone() };
        let mut base = std::mem::take(&mut self.properties);
        if let Some(groups) = &self.groups {
            let names: Vec<&str> = groups.iter().map(|(id, _)| id.as_str()).collect();
            base.insert("groups".to_owned(), json!(names));
        }
        let mut properties = match mapping.run(unit, &self.base.user_property_mappings, base).await? {
            Ok(properties) => properties,
            Err(error) => return Ok(Err(failed(error))),
        };
        let wanted = properties.shift_remove("groups");
        self.properties = properties;
        let Some(Value::Array(wanted)) = wanted else { return Ok(Ok(None)) };
        let mut groups = Vec::new();
        for identifier in wanted.iter().filter_map(Value::as_str).filter(|id| !id.is_empty()) {
            let told = self.groups.iter().flatten().find(|(id, _)| id == identifier);
            let name = told.map_or(identifier, |(_, name)| name.as_str());
            let mut variables = variables.clone();
            variables.insert("group_id".to_owned(), identifier.into());
            let mapping = Mapping { engine: self.call.engine(), request, user, variables };
            let base = Map::from_iter([("name".to_owned(), name.into())]);
            match mapping.run(unit, &self.base.group_property_mappings, base).await? {
                Ok(properties) => groups.push(Group { identifier: identifier.to_owned(), properties }),
                Err(error) => return Ok(Err(failed(error))),
            }
        }
        Ok(Ok(Some(groups)))
    }

    /// What the flow begins with.
    fn context(&self, snapshot: &Snapshot, found: &Match) -> PlanContext {
        let source = planner::summary(snapshot, self.source);
        let mut context = PlanContext::default();
        context.set(keys::IS_SSO, &true);
        context.set(keys::SOURCE, &source);
        context.set(keys::PROMPT_DATA, &self.properties);
        context.set(keys::USER_PATH, &self.base.user_path());
        context.set(keys::USER_BACKEND, &INBUILT.to_owned());
        context.set(keys::AUTH_METHOD, &"source".to_owned());
        context.set(keys::AUTH_METHOD_ARGS, &Map::from_iter([("source".to_owned(), source.clone())]));
        context.set(keys::OAUTH_USERINFO, &self.info);
        let connection = json!({
            "app": self.kind_app,
            "model_name": self.connection_model,
            "pk": match found { Match::Known(known, _) => json!(known.id), _ => Value::Null },
            "identifier": self.new.identifier,
            "source": source,
            "access_token": self.new.access_token,
        });
        context.set(keys::SOURCES_CONNECTION, &connection);
        match found {
            Match::Known(_, account) | Match::Found(account) => {
                context.set(keys::PENDING_USER, &PendingUser::Known(account.id));
            }
            Match::Oneself(user) => context.set(keys::PENDING_USER, &PendingUser::Known(*user)),
            Match::New | Match::Refused(_) => {}
        }
        context
    }

    /// The person cannot be matched: the refusal, or back into the flow that wants to know about it.
    async fn refuse(&self, mut unit: Unit<'_>, visit: &mut Visit<'_>, refusal: Refusal) -> Result<PageReply, ApiError> {
        let source = planner::summary(&unit.snapshot, self.source);
        let shown = self.properties.get("username").or_else(|| self.properties.get("email")).cloned();
        let failure =
            json!({"reason": refusal.reason(), "property": refusal.property(), "source_slug": self.base.slug.0});
        let context = json!({"username": shown, "source": source, "reason": refusal.reason()});
        unit.event(Event::new(action::LOGIN_FAILED, self.kind_app, context)).await?;
        let resumes = self.waiting.filter(|w| w.resume_on.iter().any(|reason| reason == refusal.reason()));
        if let Some(waiting) = resumes {
            let mut learned = PlanContext::default();
            learned.set(keys::SOURCE_MATCH_FAILURE, &failure);
            return self.resume(unit, visit, waiting, learned).await;
        }
        unit.commit().await?;
        Ok(PageReply::denied(refusal.text()))
    }

    /// Whether a user was locked down while this browser was away. To be asked while the user's row is held.
    async fn locked_since_departure(&self, unit: &mut Unit<'_>, user: i64) -> Result<bool, ApiError> {
        let sql = "SELECT 1 AS found FROM lockdown WHERE user_id = $1 AND created >= $2";
        let vals = [user.into(), (self.departed - LOCKING).into()];
        Ok(unit.tx.read_one(sql, &vals).await.map_err(store)?.is_some())
    }

    async fn connect_oneself(
        &self,
        mut unit: Unit<'_>,
        visit: &mut Visit<'_>,
        user: i64,
        context: PlanContext,
    ) -> Result<PageReply, ApiError> {
        let now = self.engine().site.clock.now();
        // Signed in and not locked down until the end of this transaction.
        let known = self.caller.user.as_ref().filter(|known| known.id == user);
        let now_is = accounts::lock(&mut unit.tx, user).await.map_err(store)?;
        if !is_same(known, now_is.as_ref())
            || !connections::connect(&mut unit.tx, now, user, &self.new).await.map_err(store)?
        {
            unit.rollback().await?;
            return Ok(PageReply::denied(say::OTHERS));
        }
        let source = planner::summary(&unit.snapshot, self.source);
        unit.event(Event::new(action::SOURCE_LINKED, self.kind_app, json!({"source": source}))).await?;
        self.go_on(unit, visit, context).await
    }

    /// Somebody who was signed in before: back to the flow that waits, or to where they came from.
    async fn go_on(&self, unit: Unit<'_>, visit: &mut Visit<'_>, context: PlanContext) -> Result<PageReply, ApiError> {
        if let Some(waiting) = self.waiting {
            return self.resume(unit, visit, waiting, context).await;
        }
        unit.commit().await?;
        let next = url::form_urlencoded::parse(self.query.as_bytes()).find(|(name, _)| name == "next");
        let to = next.map_or_else(|| format!("{}/if/user/", self.engine().prefix), |(_, next)| next.into_owned());
        Ok(PageReply::Go { to, cookies: Vec::new() })
    }

    async fn resume(
        &self,
        mut unit: Unit<'_>,
        visit: &mut Visit<'_>,
        waiting: &Waiting,
        learned: PlanContext,
    ) -> Result<PageReply, ApiError> {
        let now = self.engine().site.clock.now();
        match resume::take(&mut unit.tx, now, waiting.id, learned).await.map_err(store)? {
            Ok(plan) => {
                unit.commit().await?;
                self.adopt(visit, &plan).await
            }
            Err(refusal) => {
                unit.commit().await?;
                Ok(PageReply::denied(refusal.text()))
            }
        }
    }

    /// Into the flow of the source.
    async fn start(
        &self,
        mut unit: Unit<'_>,
        visit: &mut Visit<'_>,
        user: Option<&Account>,
        context: PlanContext,
        groups: Option<Vec<Group>>,
        kept: Kept,
    ) -> Result<PageReply, ApiError> {
        let engine = self.engine();
        let (wish, missing) = match kept {
            Kept::Enrolment => (&self.base.enrollment_flow, say::NO_ENROLLMENT),
            Kept::Link | Kept::Connection => (&self.base.authentication_flow, say::NO_AUTHENTICATION),
        };
        let flow = wish.as_ref().and_then(|flow| Some((flow.uuid(), unit.snapshot.get::<Flow>(flow.uuid())?)));
        let Some((flow_id, flow)) = flow else {
            unit.commit().await?;
            return Ok(PageReply::denied(missing));
        };
        debug_assert_eq!(user.is_none(), kept == Kept::Enrolment);
        let request = visit.info().clone();
        let wish = PlanRequest {
            flow_id,
            flow: &flow,
            request: &request,
            user: None,
            context,
            allow_empty: true,
            for_token: false,
        };
        let mut plan = match links::plan(engine, &mut unit, wish).await {
            Ok(plan) => plan,
            Err(NotApplicable::Failed(error)) => return Err(error),
            Err(NotApplicable::Refused(text)) => {
                unit.commit().await?;
                return Ok(PageReply::denied(text));
            }
            Err(NotApplicable::Empty) => {
                unit.commit().await?;
                return Ok(PageReply::denied(missing));
            }
        };
        let config = ConnectConfig {
            source: self.source,
            app: self.kind_app.to_owned(),
            kind: self.new.kind.to_owned(),
            identifier: self.new.identifier.to_owned(),
            access_token: self.new.access_token.map(str::to_owned),
            refresh_token: self.new.refresh_token.map(str::to_owned),
            expires: self.new.expires,
            kept,
            groups,
        };
        let random = &*engine.site.random;
        let step = Step::in_memory(random.uuid(), Connect::MODEL, json!(config));
        let at = place(&plan, &unit.snapshot);
        plan.steps.insert(at, step);
        if let Some(waiting) = self.waiting {
            plan.steps.push_back(ResumeStep::step(random, waiting.id));
        }
        // A lockdown from here on ends this sign-in too.
        plan.person = user.map(|user| (user.id, user.security_epoch));
        unit.commit().await?;
        self.adopt(visit, &plan).await
    }

    /// Gives the browser this plan, and sends it to its page.
    async fn adopt(&self, visit: &mut Visit<'_>, plan: &Plan) -> Result<PageReply, ApiError> {
        let engine = self.engine();
        let Some(flow) = engine.site.snapshot().get::<Flow>(plan.flow) else {
            return Ok(PageReply::denied(say::STALE));
        };
        let slug = flow.slug.0.clone();
        visit.adopt(&(plan.flow, flow), plan, Some(self.query)).await?;
        let to = engine.flow_page(&slug, self.query);
        Ok(PageReply::Go { to, cookies: visit.take_cookies() })
    }
}

/// Where in a plan a new user is there and not signed in yet: a sign-in whose connection is refused must not happen.
fn place(plan: &Plan, snapshot: &Snapshot) -> usize {
    let is = |step: &Step, model: &str| match &step.stage {
        StageRef::Stored(id) => snapshot.find(*id).is_some_and(|stage| stage.kind.model == model),
        StageRef::InMemory { .. } => false,
    };
    let written = plan.steps.iter().rposition(|step| is(step, USER_WRITE)).map_or(0, |at| at + 1);
    let signs_in = plan.steps.iter().skip(written).position(|step| is(step, USER_LOGIN));
    signs_in.map_or(plan.steps.len(), |at| written + at)
}
