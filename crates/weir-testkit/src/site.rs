//! A site with everything a flow needs.

use crate::{
    Browser, TestClock, TestRandom, map,
    policy::{Asked, Scripted, ScriptedPolicy},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};
use uuid::Uuid;
use weir_core::{ApiError, Clock as _, Map, Registry, Resource, ResourceType, validate::Mode};
use weir_crypto::{HashCost, HashPool, Password, Salt};
use weir_expression::{Pool, PoolSettings};
use weir_flow::{
    App, Flow, FlowStageBinding, StageKinds,
    app::Services,
    planner::PlanCache,
    sources::SourceKinds,
    sync::{NoTargets, SyncTargets},
};
use weir_identity::{Account, Group, User, accounts};
use weir_mail::{MailSettings, Mailer};
use weir_policy::{
    PolicyBinding, RequestInfo,
    expression::Expressions,
    outbound::{Outbound, OutboundSettings},
};
use weir_resource::{Actor, HookSet, Settings, Site, SiteParts, Stored, Unit};
use weir_store::test_support::{TestDb, test_db};

/// What the crate under test adds to identity, policies and flows.
pub struct Wiring {
    /// Its kinds of objects.
    pub resources: Vec<ResourceType>,
    /// Their special behaviour.
    pub hooks: fn(&mut HookSet),
    /// Kinds of stages.
    pub stages: StageKinds,
    /// Runs expressions, when there is one ([`TestSite::worker`]); otherwise every expression fails.
    pub worker: Option<PathBuf>,
    /// What comes before every path of the site.
    pub prefix: String,
    /// Where services are that stages call.
    pub services: Services,
    /// Mail server and templates.
    pub mail: MailSettings,
    /// Kinds of sources that browsers sign in with.
    pub sources: SourceKinds,
    /// Other systems that keep copies of users.
    pub sync: Arc<dyn SyncTargets>,
}

impl Default for Wiring {
    fn default() -> Self {
        Self {
            resources: Vec::new(),
            hooks: |_| (),
            stages: StageKinds::default(),
            worker: None,
            prefix: String::new(),
            services: Services::default(),
            mail: MailSettings::default(),
            sources: SourceKinds::default(),
            sync: Arc::new(NoTargets),
        }
    }
}

/// A site on a database of its own.
pub struct TestSite {
    /// The engine's surroundings.
    pub app: App,
    /// The clock, at noon of the first of May 2026.
    pub clock: TestClock,
    /// The database.
    pub db: TestDb,
    scripted: Scripted,
}

impl TestSite {
    /// A site with these kinds, on SQLite or on the PostgreSQL server that the environment names.
    ///
    /// # Panics
    /// When the site cannot be opened.
    pub async fn new(wiring: Wiring) -> Self {
        let db = test_db().await;
        let clock = TestClock::default();
        let plans = Arc::new(PlanCache::new(chrono::TimeDelta::seconds(300)));
        let mut hooks = HookSet::default();
        weir_identity::hooks(&mut hooks);
        weir_pki::hooks(&mut hooks);
        weir_flow::resources::hooks(&mut hooks, Arc::clone(&plans));
        let has_worker = wiring.worker.is_some();
        let program = wiring.worker.unwrap_or_else(|| "/nonexistent/worker".into());
        let mail = Arc::new(Mailer::new(wiring.mail).unwrap());
        let pool = Pool::new(PoolSettings::new(program, Vec::<String>::new()));
        let expressions = Arc::new(Expressions::new(pool).with_mailer(Arc::clone(&mail)));
        weir_policy::hooks(&mut hooks, has_worker.then(|| Arc::clone(&expressions)));
        weir_mail::hooks(&mut hooks, &mail);
        (wiring.hooks)(&mut hooks);
        let mut resources = weir_identity::resources();
        resources.extend(weir_pki::resources());
        resources.extend(weir_flow::resources::resources());
        resources.extend(weir_policy::resources());
        resources.push(ResourceType::of::<ScriptedPolicy>());
        resources.extend(wiring.resources);
        let parts = SiteParts {
            db: db.db(),
            registry: Registry::new(resources),
            hooks,
            clock: Arc::new(clock.clone()),
            random: Arc::new(TestRandom::new(0)),
            prefix: wiring.prefix.clone(),
        };
        let site = Site::open(parts).await.unwrap();
        let scripted = Scripted::default();
        let hashes = HashPool::with_cost(1, 256, Duration::from_secs(30), HashCost::CHEAP).unwrap();
        let app = App {
            site,
            policies: weir_policy::kinds(Arc::clone(&expressions), weir_policy::HIBP_URL).with(scripted.clone()),
            stages: wiring.stages,
            sources: wiring.sources,
            hashes: Arc::new(hashes),
            expressions,
            mail,
            outbound: Arc::new(Outbound::new(OutboundSettings::default())),
            services: wiring.services,
            sync: wiring.sync,
            plans,
            anonymous_session_life: chrono::TimeDelta::days(1),
            prefix: wiring.prefix,
        };
        Self { app, clock, db, scripted }
    }

    /// The program that runs expressions: named by the environment, else beside the test's own.
    ///
    /// # Panics
    /// When it is not built.
    pub fn worker() -> PathBuf {
        if let Ok(path) = std::env::var("WEIR_EXPRESSION_WORKER") {
            return path.into();
        }
        let own = std::env::current_exe().unwrap();
        let path = own.ancestors().nth(2).unwrap().join("weir-expression-worker");
        assert!(path.exists(), "build it first: cargo build -p weir-expression-worker --ignore-rust-version");
        path
    }

    /// The instant of the clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A unit of the system's.
    pub fn unit(&self) -> Unit<'_> {
        Unit::new(&self.app.site, Actor::system())
    }

    /// A browser without cookies.
    pub fn browser(&self) -> Browser<'_> {
        Browser::new(self)
    }

    /// A plain request, as flows and policies see it.
    pub fn request(&self) -> RequestInfo {
        RequestInfo {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            client_ip: "203.0.113.7".to_owned(),
            user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
            request_id: self.app.site.random.uuid().simple().to_string(),
            host: "id.example.org".to_owned(),
            is_secure: true,
            ..RequestInfo::default()
        }
    }

    fn kind(&self, model: &str) -> &'static ResourceType {
        self.app.site.registry.find(model).unwrap_or_else(|| panic!("{model} is not registered"))
    }

    /// Creates an object of this model.
    ///
    /// # Errors
    /// The refusal.
    pub async fn try_make(&self, model: &str, body: Value) -> Result<Stored, ApiError> {
        let mut unit = self.unit();
        let made = unit.create(self.kind(model), &map(body), None).await?;
        unit.commit().await?;
        Ok(made)
    }

    /// Creates an object of this model and gives its key.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn make(&self, model: &str, body: Value) -> Uuid {
        let made = self.try_make(model, body.clone()).await;
        let made = made.unwrap_or_else(|error| panic!("{model} {body}: {error} {}", error.body()));
        Uuid::parse_str(&made.pk).unwrap()
    }

    /// Changes fields of an object.
    ///
    /// # Errors
    /// The refusal.
    pub async fn try_change(&self, model: &str, pk: impl ToString, body: Value) -> Result<Stored, ApiError> {
        let mut unit = self.unit();
        let changed = unit.update(self.kind(model), &pk.to_string(), &map(body), Mode::Patch).await?;
        unit.commit().await?;
        Ok(changed)
    }

    /// Changes fields of an object.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn change(&self, model: &str, pk: impl ToString, body: Value) {
        self.try_change(model, pk, body).await.unwrap();
    }

    /// Deletes an object.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn delete(&self, model: &str, pk: impl ToString) {
        let mut unit = self.unit();
        unit.delete(self.kind(model), &pk.to_string()).await.unwrap();
        unit.commit().await.unwrap();
    }

    /// Changes the system settings.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn settings(&self, change: impl FnOnce(&mut Settings)) {
        let mut unit = self.unit();
        unit.lock_configuration().await.unwrap();
        let mut settings = Settings::clone(&unit.snapshot.settings);
        change(&mut settings);
        unit.write_settings(settings).await.unwrap();
        unit.commit().await.unwrap();
    }

    /// A flow whose slug is its name; further fields win.
    pub async fn flow(&self, slug: &str, designation: &str, more: Value) -> Uuid {
        let mut body = map(json!({"slug": slug, "name": slug, "title": slug, "designation": designation}));
        body.extend(map(more));
        self.make(Flow::MODEL, Value::Object(body)).await
    }

    /// A stage of this kind (`dummy` or a full model), with its fields.
    pub async fn stage(&self, kind: &str, name: &str, fields: Value) -> Uuid {
        let mut body = map(json!({"name": name}));
        body.extend(map(fields));
        let model = match kind {
            full if full.contains('.') => full.to_owned(),
            short => format!("authentik_stages_{short}.{}stage", short.replace('_', "")),
        };
        self.make(&model, Value::Object(body)).await
    }

    /// Binds a stage; further fields win.
    pub async fn bind(&self, flow: Uuid, stage: Uuid, order: i32, more: Value) -> Uuid {
        let mut body = map(json!({"target": flow, "stage": stage, "order": order}));
        body.extend(map(more));
        self.make(FlowStageBinding::MODEL, Value::Object(body)).await
    }

    /// A stage and its binding in one step; gives the stage and the binding.
    pub async fn step(&self, flow: Uuid, order: i32, kind: &str, name: &str, fields: Value) -> (Uuid, Uuid) {
        let stage = self.stage(kind, name, fields).await;
        (stage, self.bind(flow, stage, order, json!({})).await)
    }

    /// A scripted policy bound to a target; gives the policy and the binding.
    pub async fn guard(&self, target: Uuid, name: &str, script: Value, binding: Value) -> (Uuid, Uuid) {
        let mut body = map(json!({"name": name}));
        body.extend(map(script));
        let policy = self.make(ScriptedPolicy::MODEL, Value::Object(body)).await;
        let mut bound = map(json!({"target": target, "policy": policy, "order": 0}));
        bound.extend(map(binding));
        (policy, self.make(PolicyBinding::MODEL, Value::Object(bound)).await)
    }

    /// What scripted policies were asked since the last look.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.scripted.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A user with a password (none when empty); name and mail follow from the username.
    pub async fn user(&self, username: &str, password: &str) -> i64 {
        let body = json!({"username": username, "name": username, "email": format!("{username}@example.org")});
        let id = self.try_make(User::MODEL, body).await.unwrap().int_pk();
        if !password.is_empty() {
            self.set_password(id, password).await;
        }
        id
    }

    /// A superuser with a password.
    pub async fn admin(&self, username: &str, password: &str) -> i64 {
        let id = self.user(username, password).await;
        let body = json!({"name": format!("{username}-admins"), "is_superuser": true, "users": [id]});
        self.try_make(Group::MODEL, body).await.unwrap();
        id
    }

    /// Stores a hash of the password.
    pub async fn set_password(&self, user: i64, password: &str) {
        let secret = Password::new(password.as_bytes()).unwrap();
        let hash = self.app.hashes.hash(secret, Salt::random(&mut weir_crypto::system_rng())).await.unwrap();
        self.set_hash(user, &hash).await;
    }

    /// Stores this hash.
    pub async fn set_hash(&self, user: i64, hash: &str) {
        let mut unit = self.unit();
        accounts::set_password_hash(&mut unit.tx, user, hash, self.now()).await.unwrap();
        unit.commit().await.unwrap();
    }

    /// Changes fields of a user.
    pub async fn change_user(&self, user: i64, fields: Value) {
        self.change(User::MODEL, user, fields).await;
    }

    /// A user as the database has it.
    pub async fn account(&self, user: i64) -> Account {
        accounts::find(&*self.db, user).await.unwrap().unwrap()
    }

    /// A user by name, if there is one.
    pub async fn find_user(&self, username: &str) -> Option<Account> {
        accounts::find_by_username(&*self.db, username).await.unwrap()
    }

    /// Actions of the audit trail in the order they were written, with their context and username; changes of objects
    /// left out.
    pub async fn events(&self) -> Vec<(String, Value, String)> {
        let sql = "SELECT action, context, username FROM audit_event ORDER BY created, id";
        let rows = self.db.read(sql, &[]).await.unwrap();
        let all = rows
            .iter()
            .map(|row| (row.text("action").unwrap(), row.json("context").unwrap(), row.text("username").unwrap()));
        all.filter(|(action, ..)| !action.starts_with("model_")).collect()
    }

    /// Events of one action.
    pub async fn events_of(&self, action: &str) -> Vec<Value> {
        self.events().await.into_iter().filter(|(a, ..)| a == action).map(|(_, context, _)| context).collect()
    }

    /// Mails on their way to somebody, oldest first.
    pub async fn mails(&self) -> Vec<Value> {
        let rows = self.db.read("SELECT message FROM mail_outbox ORDER BY created, id", &[]).await.unwrap();
        let all = rows.iter().map(|row| serde_json::from_str::<Value>(&row.text("message").unwrap()).unwrap());
        all.filter(|mail| mail["to"].as_array().is_some_and(|to| !to.is_empty())).collect()
    }

    /// Records of flow runs that ended: outcome and record, oldest first.
    pub async fn runs(&self) -> Vec<(String, Value)> {
        let rows = self.db.read("SELECT outcome, record FROM flow_run ORDER BY ended, id", &[]).await.unwrap();
        rows.iter().map(|r| (r.text("outcome").unwrap(), r.json("record").unwrap())).collect()
    }

    /// Sum of the reputation scores of a name.
    pub async fn reputation(&self, identifier: &str) -> i64 {
        let sql = "SELECT CAST(COALESCE(SUM(score), 0) AS BIGINT) AS total FROM reputation WHERE identifier = $1";
        self.db.read_one(sql, &[identifier.into()]).await.unwrap().unwrap().int("total").unwrap()
    }

    /// Number of live sessions of a user.
    pub async fn sessions(&self, user: i64) -> usize {
        weir_identity::session::of_user(&*self.db, user, self.now()).await.unwrap().len()
    }

    /// A row of the table `installation`.
    pub async fn installation(&self, key: &str) -> Option<String> {
        let sql = "SELECT value FROM installation WHERE key = $1";
        self.db.read_one(sql, &[key.into()]).await.unwrap().map(|row| row.text("value").unwrap())
    }

    /// A group with members.
    pub async fn group(&self, name: &str, users: &[i64]) -> Uuid {
        self.make(Group::MODEL, json!({"name": name, "users": users})).await
    }

    /// An empty context with some values.
    pub fn context(values: Value) -> weir_flow::PlanContext {
        weir_flow::PlanContext(map(values) as Map)
    }
}
