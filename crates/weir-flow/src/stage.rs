//! What a stage is, and what it may do.

use crate::{
    App, Flow, Plan, PlanContext, Step,
    challenge::Challenge,
    keys::{self, PendingUser},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize as _, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;
use weir_core::{ApiError, Field, FieldErrors, Map, field::fields_of, validate};
use weir_events::Event;
use weir_identity::{Account, accounts, session::SessionRow};
use weir_policy::RequestInfo;
use weir_resource::Unit;
use weir_store::{StoreError, Tx};

/// What a stage may decide. Nothing else leaves a stage.
#[derive(Debug)]
pub enum Outcome {
    /// Passed: on to the next step.
    Next,
    /// Taken, but the stage asks for more: it is shown again, without errors, whatever the binding says about refusals.
    Again,
    /// Refused for good: the plan is cancelled and the message shown (`Unknown error` without one). What the stage wrote is
    /// undone; what must last, like a count of failures, is written by an answer that ends in [`Reject::Invalid`].
    Deny(Option<String>),
    /// Send the browser there; the plan stays as it is.
    Redirect(String),
    /// The flow ends here, and the browser goes on there.
    Leave(String),
    /// Passed, and this step comes next.
    Insert(Box<Step>),
    /// Plan this flow anew.
    Restart {
        /// Start from the old context.
        keep_context: bool,
    },
    /// Go on in this plan of another flow.
    Switch(Box<Plan>),
    /// Show this complete challenge and keep the plan.
    Show(Value),
}

/// What showing a stage gives.
pub enum View<C> {
    /// A question.
    Ask(C),
    /// Nothing to ask.
    Done(Outcome),
}

/// Why an answer is not taken.
#[derive(Debug)]
pub enum Reject {
    /// Goes back to the person, field by field.
    Invalid(FieldErrors),
    /// Becomes the error challenge and an event; the text is for those who may debug.
    Failed(anyhow::Error),
    /// The database or a bounded resource is away: 503.
    Unavailable(ApiError),
}

impl From<StoreError> for Reject {
    fn from(error: StoreError) -> Self {
        weir_resource::store(error).into()
    }
}
impl From<ApiError> for Reject {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Fields(errors) => Self::Invalid(errors),
            ApiError::Internal(cause) => Self::Failed(cause),
            error @ (ApiError::Unavailable(..) | ApiError::Throttled(_)) => Self::Unavailable(error),
            other => Self::Failed(anyhow::Error::new(other)),
        }
    }
}
impl From<anyhow::Error> for Reject {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// A new signed-in session.
#[derive(Clone, Debug)]
pub struct LogIn {
    /// The user.
    pub user: i64,
    /// The browser keeps the cookie until then; none for a session cookie.
    pub expires: Option<DateTime<Utc>>,
    /// Values for the session's data, e.g. what it is bound to.
    pub data: Map,
    /// End all other sessions of the user.
    pub terminate_others: bool,
    /// Digest of a session of the user in this browser that goes on under a new key.
    pub resumes: Option<String>,
}

/// A cookie to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Cookie {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Life in seconds.
    pub max_age_secs: i64,
}

/// Wishes about the browser session; only the executor carries them out, after the stage returned.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Sign in.
    LogIn(LogIn),
    /// End the session.
    LogOut,
    /// Send a cookie.
    SetCookie(Cookie),
    /// End every other session of this user; this one stays valid.
    EndOtherSessions(i64),
    /// Delete this user, after the session was taken care of.
    DeleteUser(i64),
    /// Change the reputation of an identifier and of the client's address.
    Reputation {
        /// What was typed, or the username.
        identifier: String,
        /// By how much; 0 costs the same and changes nothing.
        change: i64,
    },
    /// What a policy that the stage asked wants done.
    Policy(weir_policy::PolicyEffect),
}

/// The person a stage is about.
#[derive(Clone, Debug)]
pub enum Person {
    /// An account.
    Known(Box<Account>),
    /// A typed name without account.
    Claimed(String),
    /// Nobody yet.
    Anonymous,
}

impl Person {
    /// Who a pending user is now. The one way from a name to an account: a name that nobody has costs the same read.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find(tx: &mut Tx, pending: Option<PendingUser>) -> Result<Self, StoreError> {
        Ok(match pending {
            Some(PendingUser::Known(id)) => {
                accounts::find(tx, id).await?.map_or(Self::Anonymous, |account| Self::Known(Box::new(account)))
            }
            Some(PendingUser::Claimed { identifier }) => {
                accounts::find_stand_in(tx).await?;
                Self::Claimed(identifier)
            }
            None => Self::Anonymous,
        })
    }

    /// The account, if there is one.
    pub fn into_account(self) -> Option<Account> {
        match self {
            Self::Known(account) => Some(*account),
            _ => None,
        }
    }

    /// The account, if there is one.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Known(account) => Some(account),
            _ => None,
        }
    }
    /// The name to show.
    pub fn name(&self) -> &str {
        match self {
            Self::Known(account) => &account.username,
            Self::Claimed(name) => name,
            Self::Anonymous => "",
        }
    }
}

/// Everything a stage may look at and change during one request.
pub struct StageCx<'a> {
    /// The process.
    pub app: &'a App,
    /// Transaction, configuration, audit.
    pub unit: Unit<'a>,
    /// The request.
    pub request: &'a RequestInfo,
    /// The request's user.
    pub user: Option<Account>,
    /// The session as it was read; none for a new browser.
    pub session: Option<SessionRow>,
    /// Key of the flow.
    pub flow_id: Uuid,
    /// The flow.
    pub flow: Arc<Flow>,
    /// Key of the current stage; its binding's for in-memory stages.
    pub stage_id: Uuid,
    /// Name of the current stage.
    pub stage_name: String,
    /// Model of the current stage.
    pub stage_model: String,
    /// The current binding.
    pub binding: Uuid,
    /// The steps still to pass, the current one first.
    pub steps: VecDeque<Step>,
    /// The plan's context.
    pub context: PlanContext,
    /// Query parameters of the flow's page.
    pub query: Vec<(String, String)>,
    /// Effects, in order.
    pub effects: Vec<Effect>,
    /// Events to write when the request ends well.
    pub events: Vec<Event>,
    /// Messages for the person from policies that ran.
    pub notices: Vec<String>,
    /// Whether the stage is only looked at ([`crate::executor::Input::Look`]).
    pub is_look: bool,
    /// Users with the security epoch in which this plan met them.
    pub epochs: BTreeMap<i64, i64>,
}

impl StageCx<'_> {
    /// Makes the plan one about this account, as it was read before whatever proved who it is: a lockdown since then
    /// voids the proof.
    pub fn set_person(&mut self, account: &Account) {
        self.epochs.entry(account.id).or_insert(account.security_epoch);
        self.context.set(keys::PENDING_USER, &PendingUser::Known(account.id));
    }

    /// Takes the row of a person for a write that must not come after a lockdown; false when there was one since this
    /// request read the account.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn lock_person(&mut self, account: &Account) -> Result<bool, StoreError> {
        let now = accounts::lock(&mut self.unit.tx, account.id).await?;
        Ok(now.is_some_and(|now| now.security_epoch == account.security_epoch))
    }

    /// Goes on with an account in another epoch, which this very plan brought about.
    pub fn note_epoch(&mut self, user: i64, epoch: i64) {
        self.epochs.insert(user, epoch);
    }

    /// The instant of the request.
    pub fn now(&self) -> DateTime<Utc> {
        self.app.site.clock.now()
    }

    /// The plan as it stands, to be put aside.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::new(self.flow_id, self.context.clone());
        plan.steps.clone_from(&self.steps);
        plan
    }

    /// The pending user if there is one, else the session's user.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn person(&mut self) -> Result<Person, StoreError> {
        match self.pending().await? {
            Person::Anonymous if !self.context.has(keys::PENDING_USER) => Ok(match &self.user {
                Some(user) => Person::Known(Box::new(user.clone())),
                None => Person::Anonymous,
            }),
            person => Ok(person),
        }
    }

    /// The pending user of the plan only. A user that vanished or was locked down since counts as nobody.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn pending(&mut self) -> Result<Person, StoreError> {
        let person = Person::find(&mut self.unit.tx, self.context.get(keys::PENDING_USER)).await?;
        if let Person::Known(account) = &person {
            let epoch = account.security_epoch;
            if *self.epochs.entry(account.id).or_insert(epoch) != epoch {
                return Ok(Person::Anonymous);
            }
        }
        Ok(person)
    }

    /// A parameter of the flow page's query; the last one counts.
    pub fn query_parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Remembers an event.
    pub fn event(&mut self, action: &str, context: Value) {
        let app = self.stage_model.split_once('.').map_or("authentik_flows", |(app, _)| app).to_owned();
        self.events.push(Event::new(action, &app, context));
    }

    /// The current stage as it stands in events.
    pub fn stage_summary(&self) -> Value {
        let (app, model) = self.stage_model.split_once('.').unwrap_or(("", ""));
        serde_json::json!({"app": app, "model_name": model, "pk": self.stage_id.simple().to_string(), "name": self.stage_name})
    }
}

/// Behaviour of one kind of stage.
#[async_trait]
pub trait Stage: Send + Sync + 'static {
    /// Model of the kind.
    const MODEL: &'static str;
    /// Its definition.
    type Config: DeserializeOwned + Send + Sync + 'static;
    /// What it asks.
    type Challenge: Challenge;
    /// What it takes.
    type Response: DeserializeOwned + JsonSchema + Send;

    /// Whether a stage with this configuration never asks; it then acts on GET and POST alike, by `view`.
    fn is_silent(&self, _config: &Self::Config) -> bool {
        false
    }

    /// Shows the stage. Must not count as an answer.
    ///
    /// # Errors
    /// Failures; there is no answer yet that could be `Invalid`, so that counts as a failure too.
    async fn view(&self, cx: &mut StageCx<'_>, config: &Self::Config) -> Result<View<Self::Challenge>, Reject>;

    /// Takes an answer.
    ///
    /// # Errors
    /// Refusals of the answer, failures.
    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &Self::Config,
        response: Self::Response,
    ) -> Result<Outcome, Reject>;
}

/// The response of stages that never ask.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
pub struct NoResponse {}

/// The challenge of stages that never ask.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub enum NoChallenge {}
impl Challenge for NoChallenge {
    const COMPONENT: &'static str = "";
}

/// What the erased view gives.
pub enum ErasedView {
    /// The challenge with its component, and which envelope it wants.
    Ask {
        /// Challenge JSON with `component`.
        challenge: Map,
        /// `pending_user` wanted.
        with_user: bool,
        /// `flow_info` wanted.
        with_flow: bool,
    },
    /// Nothing to ask.
    Done(Outcome),
}

/// A kind without its types.
#[async_trait]
pub trait StageKind: Send + Sync {
    /// See [`Stage::view`].
    ///
    /// # Errors
    /// As there.
    async fn view(&self, cx: &mut StageCx<'_>, config: &ConfigRef<'_>) -> Result<ErasedView, Reject>;
    /// See [`Stage::answer`].
    ///
    /// # Errors
    /// As there.
    async fn answer(&self, cx: &mut StageCx<'_>, config: &ConfigRef<'_>, body: &Map) -> Result<Outcome, Reject>;
    /// See [`Stage::is_silent`].
    fn is_silent(&self, config: &ConfigRef<'_>) -> bool;
    /// Component of the challenge.
    fn component(&self) -> &'static str;
}

/// A stage's configuration, typed or as JSON.
pub enum ConfigRef<'a> {
    /// From the snapshot.
    Typed(&'a Arc<dyn Any + Send + Sync>),
    /// Of an in-memory stage.
    Json(&'a Value),
}

struct Adapter<S> {
    stage: S,
    fields: Vec<Field>,
}

#[async_trait]
impl<S: Stage> StageKind for Adapter<S> {
    async fn view(&self, cx: &mut StageCx<'_>, config: &ConfigRef<'_>) -> Result<ErasedView, Reject> {
        let mut parsed = None;
        let config = resolve::<S>(config, &mut parsed)?;
        match self.stage.view(cx, config).await? {
            View::Done(outcome) => Ok(ErasedView::Done(outcome)),
            View::Ask(challenge) => {
                let mut map = Map::new();
                map.insert("component".to_owned(), S::Challenge::COMPONENT.into());
                if let Value::Object(fields) = serde_json::to_value(challenge).map_err(anyhow::Error::new)? {
                    map.extend(fields);
                }
                let (with_user, with_flow) = (S::Challenge::WITH_USER, S::Challenge::WITH_FLOW);
                Ok(ErasedView::Ask { challenge: map, with_user, with_flow })
            }
        }
    }

    async fn answer(&self, cx: &mut StageCx<'_>, config: &ConfigRef<'_>, body: &Map) -> Result<Outcome, Reject> {
        let mut parsed = None;
        let config = resolve::<S>(config, &mut parsed)?;
        // Unknown keys are left alone: prompts have keys of their own.
        let mut checked = body.clone();
        checked.extend(validate::check_fields(&self.fields, body).map_err(Reject::Invalid)?);
        let response = serde_json::from_value(Value::Object(checked))
            .map_err(|e| Reject::Invalid(FieldErrors::general(format!("The answer does not fit: {e}."))))?;
        self.stage.answer(cx, config, response).await
    }

    fn component(&self) -> &'static str {
        S::Challenge::COMPONENT
    }

    fn is_silent(&self, config: &ConfigRef<'_>) -> bool {
        let mut parsed = None;
        resolve::<S>(config, &mut parsed).is_ok_and(|config| self.stage.is_silent(config))
    }
}

fn resolve<'c, S: Stage>(
    config: &'c ConfigRef<'_>,
    parsed: &'c mut Option<S::Config>,
) -> Result<&'c S::Config, Reject> {
    match config {
        ConfigRef::Typed(any) => Ok(any
            .downcast_ref::<S::Config>()
            .ok_or_else(|| anyhow::anyhow!("the stage is not of kind {}", S::MODEL))?),
        ConfigRef::Json(value) => {
            let config = S::Config::deserialize(*value).map_err(|e| anyhow::anyhow!("{}: {e}", S::MODEL))?;
            Ok(parsed.insert(config))
        }
    }
}

/// Kinds by model: an explicit list, one line per kind.
#[derive(Clone, Default)]
pub struct StageKinds(BTreeMap<&'static str, Arc<dyn StageKind>>);

impl StageKinds {
    /// Adds a kind.
    #[must_use]
    pub fn with<S: Stage>(mut self, stage: S) -> Self {
        let adapter = Adapter { stage, fields: fields_of::<S::Response>() };
        self.0.insert(S::MODEL, Arc::new(adapter));
        self
    }

    /// The kind of a model.
    pub fn find(&self, model: &str) -> Option<Arc<dyn StageKind>> {
        self.0.get(model).cloned()
    }
}
