//! What the tests of this crate share: a small site with people, policies and the real worker.

use crate::{Engine, EngineResult, Mode, PolicyCx, PolicyKinds, PolicyRequest, PolicyResult, RequestInfo};
use crate::{PolicyKind, expression::Expressions};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc, time::Duration};
use uuid::Uuid;
use weir_core::{
    Family, Map, Registry, Resource, ResourceType, SystemClock, SystemRandom, resource::UuidKeyed,
    validate::Mode as Write,
};
use weir_events::Event;
use weir_expression::{Pool, PoolSettings};
use weir_identity::{Account, Group, User, accounts};
use weir_resource::{Actor, HookSet, Site, SiteParts, Stored, Unit};
use weir_store::test_support::{TestDb, test_db};

/// Something that policies can be bound to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Door {
    /// Name.
    pub name: String,
    /// A policy, to follow a reference.
    #[serde(default)]
    pub guard: Option<weir_core::Ref<weir_resource::AnyPolicy>>,
}
impl UuidKeyed for Door {}
impl Resource for Door {
    const MODEL: &'static str = "authentik_tests.door";
    const PATH: &'static str = "tests/doors";
    const SCHEMA: &'static str = "Door";
    const VERBOSE: &'static str = "Door";
    // As flows and applications have their slug.
    const PARAM: &'static str = "name";
    const POLICY_TARGET: bool = true;
}

/// A policy that does what it is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// Name.
    pub name: String,
    /// Writes an event for every run.
    #[serde(default)]
    pub execution_logging: bool,
    /// The answer.
    #[serde(default)]
    pub passes: bool,
    /// Fails with this text.
    #[serde(default)]
    pub fails: String,
    /// Takes this long.
    #[serde(default)]
    pub wait_ms: u32,
}
impl UuidKeyed for Told {}
impl Resource for Told {
    const MODEL: &'static str = "authentik_tests.told";
    const PATH: &'static str = "tests/told";
    const SCHEMA: &'static str = "Told";
    const VERBOSE: &'static str = "Told Policy";
    const FAMILY: Option<Family> = Some(Family::Policy);
}

struct Obey;

#[async_trait]
impl PolicyKind for Obey {
    type Config = Told;

    async fn passes(
        &self,
        _: &mut PolicyCx<'_>,
        _: Uuid,
        config: &Told,
        _: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        tokio::time::sleep(Duration::from_millis(u64::from(config.wait_ms))).await;
        if !config.fails.is_empty() {
            anyhow::bail!("{}", config.fails);
        }
        Ok(PolicyResult::new(config.passes, vec![format!("{} spoke", config.name)]))
    }
}

/// A site.
pub struct World {
    _db: TestDb,
    pub site: Arc<Site>,
    pub kinds: PolicyKinds,
    pub expressions: Arc<Expressions>,
}

/// What a policy said; none for failures.
#[derive(Debug)]
pub struct Tried {
    pub passing: Option<bool>,
    pub messages: Vec<String>,
    pub raw: Value,
    pub effects: Vec<crate::PolicyEffect>,
}

impl Tried {
    /// Answer and first message.
    pub fn said(&self) -> (Option<bool>, &str) {
        (self.passing, self.messages.first().map_or("", String::as_str))
    }
}

/// What a run left behind.
pub struct Ran {
    pub result: anyhow::Result<PolicyResult>,
    pub events: Vec<Event>,
    pub context: Map,
    pub plan: Map,
    pub redirect: Option<String>,
}

impl Ran {
    /// The value the expression returned.
    pub fn value(&self) -> Value {
        self.result.as_ref().map_or_else(|error| panic!("{error}"), |r| r.raw_result.clone())
    }

    /// The text of its failure.
    pub fn error(&self) -> String {
        self.result.as_ref().map_or_else(ToString::to_string, |r| panic!("passed with {:?}", r.raw_result))
    }
}

/// The worker: named by the environment, else beside the test's own program.
pub fn worker() -> PathBuf {
    if let Ok(path) = std::env::var("WEIR_EXPRESSION_WORKER") {
        return path.into();
    }
    let own = std::env::current_exe().unwrap();
    let folder = own.ancestors().nth(2).unwrap();
    let path = folder.join("weir-expression-worker");
    assert!(path.exists(), "build it first: cargo build -p weir-expression-worker --ignore-rust-version");
    path
}

pub fn pool(program: PathBuf) -> Pool {
    Pool::new(PoolSettings::new(program, [] as [&str; 0]))
}

pub fn object(value: Value) -> Map {
    value.as_object().cloned().unwrap()
}

impl World {
    /// A site with the real worker.
    pub async fn new() -> Self {
        let mailer = weir_mail::Mailer::new(weir_mail::MailSettings::default()).unwrap();
        Self::with(Expressions::new(pool(worker())).with_mailer(Arc::new(mailer))).await
    }

    /// A site without one.
    pub async fn without_worker() -> Self {
        Self::with(Expressions::new(pool("/nonexistent/worker".into()))).await
    }

    pub async fn with(expressions: Expressions) -> Self {
        let expressions = Arc::new(expressions);
        let db = test_db().await;
        let mut types = weir_identity::resources();
        types.extend(crate::resources());
        types.extend([ResourceType::of::<Door>(), ResourceType::of::<Told>()]);
        let mut hooks = HookSet::default();
        weir_identity::hooks(&mut hooks);
        crate::hooks(&mut hooks, Some(Arc::clone(&expressions)));
        let parts = SiteParts {
            db: db.db(),
            registry: Registry::new(types),
            hooks,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            prefix: String::new(),
        };
        let site = Site::open(parts).await.unwrap();
        let kinds = crate::kinds(Arc::clone(&expressions), crate::HIBP_URL).with(Obey);
        Self { _db: db, site, kinds, expressions }
    }

    pub async fn try_create<T: Resource>(&self, body: Value) -> Result<Stored, weir_core::ApiError> {
        let mut unit = Unit::new(&self.site, Actor::system());
        let kind = self.site.registry.find(T::MODEL).unwrap();
        let stored = unit.create(kind, &object(body), None).await?;
        unit.commit().await?;
        Ok(stored)
    }

    pub async fn create<T: Resource>(&self, body: Value) -> Stored {
        match self.try_create::<T>(body.clone()).await {
            Ok(stored) => stored,
            Err(error) => panic!("{body}: {:?}", error.body()),
        }
    }

    pub async fn change<T: Resource>(&self, pk: &str, body: Value) -> Result<Stored, weir_core::ApiError> {
        let mut unit = Unit::new(&self.site, Actor::system());
        let kind = self.site.registry.find(T::MODEL).unwrap();
        let stored = unit.update(kind, pk, &object(body), Write::Patch).await?;
        unit.commit().await?;
        Ok(stored)
    }

    pub async fn account(&self, username: &str) -> Account {
        accounts::find_by_username(&self.site.db, username).await.unwrap().unwrap()
    }

    /// ada (admins, which are below staff), bob (staff), eve (nothing).
    pub async fn people(&self) {
        let staff =
            self.create::<Group>(json!({"name": "staff", "attributes": {"level": 1, "team": {"a": 1}}})).await.pk;
        let admins =
            json!({"name": "admins", "is_superuser": true, "parents": [staff], "attributes": {"team": {"b": 2}}});
        let admins = self.create::<Group>(admins).await.pk;
        for (name, groups, attributes) in [
            (
                "ada",
                json!([admins]),
                json!({"department": {"name": "R&D"}, "quota": 5, "tags": ["x", "y"], "on": true}),
            ),
            (
                "bob",
                json!([staff]),
                json!({"department": {"name": "Sales"}, "quota": 12, "settings": {"locale": "de"}}),
            ),
            ("eve", json!([]), json!({})),
        ] {
            let body = json!({
                "username": name, "name": name.to_uppercase(), "email": format!("{name}@Example.com"), "groups": groups,
                "attributes": attributes,
            });
            self.create::<User>(body).await;
        }
    }

    /// Does something with the surroundings of policies; with the events that it leads to.
    pub async fn within<T>(&self, work: impl AsyncFnOnce(&mut PolicyCx<'_>) -> T) -> (T, Vec<Event>) {
        let (snapshot, mut tx, mut events) = (self.site.snapshot(), self.site.db.tx(), Vec::new());
        let mut cx = PolicyCx {
            site: &self.site,
            snapshot: &snapshot,
            tx: &mut tx,
            kinds: &self.kinds,
            events: &mut events,
            depth: 0,
        };
        let result = work(&mut cx).await;
        assert_eq!(cx.depth, 0);
        assert!(!tx.is_writing());
        (result, events)
    }

    /// Asks the bindings of a target.
    pub async fn ask(&self, target: &str, mode: Mode, user: Option<&Account>) -> (EngineResult, Vec<Event>) {
        self.ask_from(target, mode, user, "").await
    }

    /// The same from an address.
    pub async fn ask_from(
        &self,
        target: &str,
        mode: Mode,
        user: Option<&Account>,
        ip: &str,
    ) -> (EngineResult, Vec<Event>) {
        let http = RequestInfo { client_ip: ip.to_owned(), ..RequestInfo::default() };
        let mut request = PolicyRequest::new(user, &http, Value::Null);
        let engine = Engine::new(Uuid::parse_str(target).unwrap(), mode);
        self.within(async |cx| engine.evaluate(cx, &mut request).await.unwrap()).await
    }

    /// Runs a policy.
    pub async fn try_policy(&self, policy: &str, user: Option<&Account>, http: &RequestInfo, context: Value) -> Tried {
        let mut request = PolicyRequest { context: object(context), ..PolicyRequest::new(user, http, Value::Null) };
        let (limit, policy) = (Some(Duration::from_secs(1)), Uuid::parse_str(policy).unwrap());
        let (result, _) = self.within(async |cx| crate::engine::run(cx, policy, &mut request, limit).await).await;
        let effects = request.effects;
        match result {
            Ok(result) => {
                Tried { passing: Some(result.passing), messages: result.messages, raw: result.raw_result, effects }
            }
            Err(error) => {
                Tried { passing: None, messages: crate::PolicyFailure::messages(&error), raw: Value::Null, effects }
            }
        }
    }

    /// Runs an expression policy about a user in a flow with this plan context.
    pub async fn run_in(&self, source: &str, user: Option<&Account>, http: &RequestInfo, plan: Value) -> Ran {
        let mut plan = object(plan);
        let mut request = PolicyRequest {
            context: plan.clone(),
            plan_context: Some(&mut plan),
            ..PolicyRequest::new(user, http, Value::Null)
        };
        let run = async |cx: &mut PolicyCx<'_>| {
            // As the engine runs it.
            cx.depth = 1;
            let result = self.expressions.ask_policy(cx, "tried", source, &mut request).await;
            cx.depth -= 1;
            result
        };
        let (result, events) = self.within(run).await;
        let (context, redirect) = (request.context, request.plan_redirect);
        Ran { result, events, context, plan, redirect }
    }

    /// Runs an expression policy about ada.
    pub async fn run(&self, source: &str) -> Ran {
        let ada = self.account("ada").await;
        self.run_in(source, Some(&ada), &http(), json!({"prompt_data": {"email": "New@example.com"}})).await
    }

    /// Runs expressions and compares what they return.
    pub async fn give(&self, cases: &[(&str, Value)]) {
        for (source, expected) in cases {
            let ran = self.run(source).await;
            match &ran.result {
                Ok(result) => assert_eq!(result.raw_result, *expected, "{source}"),
                Err(error) => panic!("{error} from\n{source}"),
            }
        }
    }

    /// Runs expressions and compares how they fail.
    pub async fn raise(&self, cases: &[(&str, &str)]) {
        for (source, expected) in cases {
            assert_eq!(self.run(source).await.error(), *expected, "{source}");
        }
    }
}

/// A request of the flow executor.
pub fn http() -> RequestInfo {
    RequestInfo {
        method: "GET".to_owned(),
        path: "/api/v3/flows/executor/x/".to_owned(),
        query: vec![("query".to_owned(), "next=%2Fgo&a=1&a=2".to_owned())],
        headers: vec![("user-agent".to_owned(), "Tester/1".to_owned()), ("x-colour".to_owned(), "red".to_owned())],
        client_ip: "10.1.2.3".to_owned(),
        user_agent: "Tester/1".to_owned(),
        request_id: "abc".to_owned(),
        host: "id.example.com:9443".to_owned(),
        is_secure: true,
        cookies: vec![("authentik_device".to_owned(), "d".to_owned())],
        ..RequestInfo::default()
    }
}
