//! Behaviour on a real database: SQLite, or the PostgreSQL server that the environment names.

mod accounts;
mod artefacts;
mod bootstrap;
mod brands;
mod devices;
mod groups;
mod permissions;
mod pure;
mod sessions;
mod tokens;
mod users;

use crate::*;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sha2::Digest as _;
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};
use weir_core::{ApiError, Clock, Map, Random, Registry, Resource, validate::Mode};
use weir_events::Origin;
use weir_resource::{Actor, HookSet, ListQuery, Presenting, Site, SiteParts, Stored, Unit, Visible};
use weir_store::test_support::{TestDb, test_db};

/// A clock that stands still until told otherwise.
#[derive(Clone)]
pub(crate) struct FixedClock(Arc<AtomicI64>);

impl FixedClock {
    pub(crate) fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap(), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// The same sequence in every run.
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(32) {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            let block: [u8; 32] = sha2::Sha256::digest(number.to_le_bytes()).into();
            part.iter_mut().zip(block).for_each(|(to, from)| *to = from);
        }
    }
}

/// A site with an empty database.
pub(crate) struct Fixture {
    pub(crate) site: Arc<Site>,
    pub(crate) clock: FixedClock,
    pub(crate) db: TestDb,
}

fn parts(db: &TestDb, clock: &FixedClock, seed: u64) -> SiteParts {
    let mut set = HookSet::default();
    hooks(&mut set);
    SiteParts {
        db: db.db(),
        registry: Registry::new(resources()),
        hooks: set,
        clock: Arc::new(clock.clone()),
        random: Arc::new(Counting(AtomicU64::new(seed))),
        prefix: String::new(),
    }
}

pub(crate) async fn fixture() -> Fixture {
    let db = test_db().await;
    let start = DateTime::parse_from_rfc3339("2026-05-01T12:00:00Z").unwrap();
    let clock = FixedClock(Arc::new(AtomicI64::new(start.timestamp_micros())));
    let site = Site::open(parts(&db, &clock, 0)).await.unwrap();
    Fixture { site, clock, db }
}

pub(crate) fn map(value: Value) -> Map {
    value.as_object().cloned().unwrap()
}

pub(crate) fn acting(user: Option<i64>) -> Actor {
    Actor { user_id: user, epoch: None, origin: Origin::system(), request_id: "test".to_owned() }
}

pub(crate) fn texts(error: ApiError) -> Value {
    error.body()
}

impl Fixture {
    /// A second node on the same database.
    async fn other_node(&self) -> Arc<Site> {
        Site::open(parts(&self.db, &self.clock, 1 << 40)).await.unwrap()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) async fn try_make<T: Resource>(&self, actor: Option<i64>, body: Value) -> Result<Stored, ApiError> {
        let mut unit = Unit::new(&self.site, acting(actor));
        let made = unit.create(kind::<T>(&self.site)?, &map(body), None).await?;
        unit.commit().await?;
        Ok(made)
    }

    pub(crate) async fn make<T: Resource>(&self, body: Value) -> Stored {
        self.try_make::<T>(None, body).await.unwrap()
    }

    pub(crate) async fn try_patch<T: Resource>(
        &self,
        actor: Option<i64>,
        pk: &str,
        body: Value,
    ) -> Result<Stored, ApiError> {
        let mut unit = Unit::new(&self.site, acting(actor));
        let changed = unit.update(kind::<T>(&self.site)?, pk, &map(body), Mode::Patch).await?;
        unit.commit().await?;
        Ok(changed)
    }

    pub(crate) async fn patch<T: Resource>(&self, pk: &str, body: Value) -> Stored {
        self.try_patch::<T>(None, pk, body).await.unwrap()
    }

    pub(crate) async fn remove<T: Resource>(&self, pk: &str) {
        let mut unit = Unit::new(&self.site, acting(None));
        unit.delete(kind::<T>(&self.site).unwrap(), pk).await.unwrap();
        unit.commit().await.unwrap();
    }

    pub(crate) async fn user(&self, username: &str) -> i64 {
        self.make::<User>(json!({"username": username, "name": username})).await.int_pk()
    }

    pub(crate) async fn account(&self, id: i64) -> Account {
        crate::accounts::find(&*self.db, id).await.unwrap().unwrap()
    }

    /// Gives a user permissions through a role of their own.
    pub(crate) async fn grant(&self, user: i64, permissions: &[&str]) {
        let mut unit = Unit::new(&self.site, acting(None));
        let role = permission::user_role(&mut unit, user).await.unwrap();
        let wanted = permission::Assignment {
            permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
            ..Default::default()
        };
        permission::assign(&mut unit, &role, &wanted).await.unwrap();
        unit.commit().await.unwrap();
    }

    /// A superuser.
    pub(crate) async fn admin(&self) -> i64 {
        let id = self.user("boss").await;
        self.make::<Group>(json!({"name": "bosses", "is_superuser": true, "users": [id]})).await;
        id
    }

    /// One field of all answers of a list, in order.
    pub(crate) async fn list<T: Resource>(&self, query: &[(&str, &str)], field: &str) -> Result<Vec<Value>, ApiError> {
        let answers = self.answers::<T>(query, None).await?;
        Ok(answers.into_iter().map(|a| a[field].clone()).collect())
    }

    pub(crate) async fn answers<T: Resource>(
        &self,
        query: &[(&str, &str)],
        session: Option<&str>,
    ) -> Result<Vec<Map>, ApiError> {
        let parameters: Vec<(String, String)> = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut unit = Unit::new(&self.site, acting(None));
        let query = ListQuery { parameters: parameters.clone() };
        let page = unit.list(kind::<T>(&self.site)?, &query, &Visible::All).await?;
        let snapshot = self.site.snapshot();
        let cx = Presenting {
            site: &self.site,
            snapshot: &snapshot,
            query: &parameters,
            user_id: None,
            session,
            base_url: "http://localhost",
            operation: "",
        };
        weir_resource::present(&cx, &page.rows).await
    }

    /// Actions of the audit trail, oldest first, with their context.
    pub(crate) async fn events(&self) -> Vec<(String, Value)> {
        let rows = self.db.read("SELECT action, context FROM audit_event ORDER BY created, id", &[]).await.unwrap();
        rows.iter().map(|r| (r.text("action").unwrap(), r.json("context").unwrap())).collect()
    }
}
