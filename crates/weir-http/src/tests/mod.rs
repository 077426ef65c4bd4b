//! The interface as clients see it: by address, through the real router, over a real database. Each answer is judged
//! by the contract on its way back.

mod admin;
mod callers;
mod certificates;
mod completeness;
mod crypto;
mod devices;
mod ending;
mod events;
mod families;
mod limits;
mod rbac;
mod rest;
mod server;
mod tasks;
mod users;

use crate::{
    AppParts, AppState, HttpConfig, csrf, edge::Answered, health::Metrics, request::Peer, session, state::NotWired,
};
use axum::{Router, body::Body};
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicI64, Ordering},
};
use tower::ServiceExt as _;
use weir_contract::Facts;
use weir_core::{Clock, Family, Registry, Resource, ResourceType, SystemRandom, resource::UuidKeyed};
use weir_crypto::pool::HashPool;
use weir_identity::{
    Account, Group, Intent, NewToken, Role, User, accounts, kind, permission, session as sessions, token,
};
use weir_policy::PolicyBinding;
use weir_resource::{Actor, HookSet, Site, SiteParts, Unit};
use weir_store::test_support::{TestDb, test_db};

static FACTS: LazyLock<Facts> = LazyLock::new(|| Facts::load().unwrap());

/// A clock that stands still until told otherwise.
#[derive(Clone)]
struct FixedClock(Arc<AtomicI64>);

impl FixedClock {
    fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap(), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// A stage without behaviour: the tests of the interface need documents, not flows.
#[derive(Serialize, Deserialize, JsonSchema)]
struct DummyStage {
    /// Unique among stages.
    #[schemars(length(min = 1))]
    name: String,
    /// Fails when shown.
    #[serde(default)]
    throw_error: bool,
}
impl UuidKeyed for DummyStage {}
impl Resource for DummyStage {
    const MODEL: &'static str = "authentik_stages_dummy.dummystage";
    const PATH: &'static str = "stages/dummy";
    const SCHEMA: &'static str = "DummyStage";
    const VERBOSE: &'static str = "Dummy Stage";
    const COMPONENT: &'static str = "ak-stage-dummy-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}

/// Refuses.
#[derive(Serialize, Deserialize, JsonSchema)]
struct DenyStage {
    /// Unique among stages.
    #[schemars(length(min = 1))]
    name: String,
    /// Shown to the person.
    #[serde(default)]
    deny_message: String,
}
impl UuidKeyed for DenyStage {}
impl Resource for DenyStage {
    const MODEL: &'static str = "authentik_stages_deny.denystage";
    const PATH: &'static str = "stages/deny";
    const SCHEMA: &'static str = "DenyStage";
    const VERBOSE: &'static str = "Deny Stage";
    const COMPONENT: &'static str = "ak-stage-deny-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}

/// A running interface with an administrator and an ordinary user.
struct Api {
    app: Arc<AppState>,
    router: Router,
    clock: FixedClock,
    admin: Person,
    user: Person,
    _db: TestDb,
}

/// An account with an API token.
#[derive(Clone)]
struct Person {
    id: i64,
    key: String,
}

fn kinds() -> Vec<ResourceType> {
    let mut all = weir_identity::resources();
    all.extend(crate::resources());
    all.extend(weir_pki::resources());
    all.extend(weir_flow::resources::resources());
    all.extend([
        ResourceType::of::<PolicyBinding>(),
        ResourceType::of::<DummyStage>(),
        ResourceType::of::<DenyStage>(),
    ]);
    all
}

impl Api {
    async fn start() -> Self {
        Self::with(HttpConfig::default()).await
    }

    async fn with(config: HttpConfig) -> Self {
        let db = test_db().await;
        let clock = FixedClock(Arc::new(AtomicI64::new(1_790_000_000_000_000)));
        let mut hooks = HookSet::default();
        weir_identity::hooks(&mut hooks);
        crate::hooks(&mut hooks);
        weir_pki::hooks(&mut hooks);
        let plans = weir_flow::planner::PlanCache::new(TimeDelta::minutes(5));
        weir_flow::resources::hooks(&mut hooks, Arc::new(plans));
        let registry = Registry::new(kinds());
        permission::hooks(&mut hooks, &registry);
        let site = Site::open(SiteParts {
            db: db.db(),
            registry,
            hooks,
            clock: Arc::new(clock.clone()),
            random: Arc::new(SystemRandom),
            prefix: String::new(),
        });
        let site = site.await.unwrap();
        let cost = weir_crypto::HashCost::CHEAP;
        let hashes = HashPool::with_cost(1, 16, std::time::Duration::from_secs(10), cost).unwrap();
        let app = AppState::new(AppParts {
            site,
            config,
            hashes: Arc::new(hashes),
            links: Arc::new(NotWired),
            policies: Arc::new(NotWired),
            blueprints: Arc::new(NotWired),
            metrics: Metrics::install().unwrap(),
            routes: Vec::new(),
        })
        .unwrap();
        let none = Person { id: 0, key: String::new() };
        let router = crate::router(&app);
        let mut api = Self { app, router, clock, admin: none.clone(), user: none, _db: db };
        api.admin = api.person("admin").await;
        api.user = api.person("user").await;
        let admin = api.admin.id;
        api.make::<Group>(json!({"name": "admins", "is_superuser": true, "users": [admin]})).await;
        api
    }

    /// An object made by the server itself.
    async fn make<T: Resource>(&self, body: Value) -> String {
        let mut unit = Unit::new(&self.app.site, Actor::system());
        let body = body.as_object().unwrap();
        let made = unit.create(kind::<T>(&self.app.site).unwrap(), body, None).await.unwrap();
        unit.commit().await.unwrap();
        made.pk
    }

    /// An account with an API token.
    async fn person(&self, name: &str) -> Person {
        let id: i64 = self.make::<User>(json!({"username": name, "name": name})).await.parse().unwrap();
        let mut unit = Unit::new(&self.app.site, Actor::system());
        let wish = NewToken::new(format!("{name}-api"), id, Intent::Api);
        let (_, key) = token::mint(&mut unit, wish).await.unwrap();
        unit.commit().await.unwrap();
        Person { id, key }
    }

    /// Gives permissions to a user through a role.
    async fn grant(&self, user: i64, permissions: &[&str], object: Option<(&str, &str)>) {
        let name = format!("role-{}", self.app.site.random_name());
        let role = self.make::<Role>(json!({"name": name})).await;
        let mut unit = Unit::new(&self.app.site, Actor::system());
        let wish = permission::Assignment {
            permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
            model: object.map(|(model, _)| model.to_owned()),
            object_pk: object.map(|(_, pk)| pk.to_owned()),
        };
        permission::assign(&mut unit, &role, &wish).await.unwrap();
        weir_identity::role::set_user(&mut unit, &role, user, true).await.unwrap();
        unit.commit().await.unwrap();
    }

    /// Signs a user in: the session key.
    async fn sign_in(&self, user: i64) -> String {
        let key = sessions::new_key(&SystemRandom);
        let mut tx = self.app.site.db.tx();
        let now = self.clock.now();
        let wish = sessions::LogIn {
            old: None,
            key: &key,
            user_id: user,
            epoch: None,
            expires: now + TimeDelta::days(1),
            ip: "192.0.2.1",
            user_agent: "test",
        };
        sessions::log_in(&mut tx, &SystemRandom, now, wish).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        key
    }

    async fn account(&self, id: i64) -> Account {
        accounts::find(&self.app.site.db, id).await.unwrap().unwrap()
    }

    fn request(&self, method: &str, path: &str) -> Asking<'_> {
        let path = if path.starts_with("/-/") { path.to_owned() } else { format!("/api/v3{path}") };
        let builder = Request::builder().method(method).uri(path).header("host", "id.example.org");
        Asking { api: self, builder, body: Body::empty(), peer: "192.0.2.7:5000".to_owned() }
    }

    fn get(&self, path: &str) -> Asking<'_> {
        self.request("GET", path)
    }
    fn post(&self, path: &str, body: Value) -> Asking<'_> {
        self.request("POST", path).json(body)
    }
    fn patch(&self, path: &str, body: Value) -> Asking<'_> {
        self.request("PATCH", path).json(body)
    }
    fn put(&self, path: &str, body: Value) -> Asking<'_> {
        self.request("PUT", path).json(body)
    }
    fn delete(&self, path: &str) -> Asking<'_> {
        self.request("DELETE", path)
    }
}

/// A request in the making.
struct Asking<'a> {
    api: &'a Api,
    builder: http::request::Builder,
    body: Body,
    peer: String,
}

impl Asking<'_> {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }
    fn from(mut self, peer: &str) -> Self {
        self.peer = peer.to_owned();
        self
    }
    fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }
    /// As the administrator, by token.
    fn admin(self) -> Self {
        let key = self.api.admin.key.clone();
        self.key(&key)
    }
    /// As the ordinary user, by token.
    fn user(self) -> Self {
        let key = self.api.user.key.clone();
        self.key(&key)
    }
    /// By the session cookie alone.
    fn cookie(self, session_key: &str) -> Self {
        let app = &self.api.app;
        let cookie = session::cookie(app, session_key, None, None, false).unwrap();
        let pair = cookie.split(';').next().unwrap().to_owned();
        self.header("cookie", &pair)
    }
    /// By the session cookie, with what a page of ours sends along.
    fn browser(self, session_key: &str) -> Self {
        let token = csrf::make(&self.api.app, session_key);
        self.cookie(session_key).header(csrf::HEADER, &token)
    }
    fn json(mut self, body: Value) -> Self {
        self.body = Body::from(body.to_string());
        self.header("content-type", "application/json")
    }
    fn raw(mut self, kind: &str, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self.header("content-type", kind)
    }
    async fn send(self) -> Answer {
        let mut request = self.builder.body(self.body).unwrap();
        let is_head = request.method() == http::Method::HEAD;
        request.extensions_mut().insert(Peer(self.peer.parse().unwrap()));
        let response = self.api.router.clone().oneshot(request).await.unwrap();
        let operation = response.extensions().get::<Answered>().map(|a| a.0);
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let is_json = headers.get("content-type").is_some_and(|kind| kind == "application/json");
        if let Some(operation) = operation.filter(|_| is_json && !is_head) {
            let wrong = FACTS.violations(operation, status, &body);
            assert!(wrong.is_empty(), "{operation} answered {status} against the contract: {wrong:#?}\n{text}");
        }
        Answer { status, headers, body, text }
    }
}

/// What came back.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    text: String,
}

impl Answer {
    #[track_caller]
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }
    #[track_caller]
    fn detail(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.text);
        self.body.get("detail").and_then(Value::as_str).unwrap_or_else(|| panic!("no detail: {}", self.text))
    }
}

trait RandomName {
    fn random_name(&self) -> String;
}
impl RandomName for Site {
    fn random_name(&self) -> String {
        self.random.text(10).to_lowercase()
    }
}

/// The texts of one field of a list's results.
fn column(body: &Value, field: &str) -> Vec<String> {
    let results = body["results"].as_array().unwrap_or_else(|| panic!("no results: {body}"));
    results.iter().map(|r| r[field].as_str().map_or_else(|| r[field].to_string(), str::to_owned)).collect()
}
