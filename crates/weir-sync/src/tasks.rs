//! The sync as tasks: delivery to one target, full syncs on a schedule and on every save of a provider, and a sweep for
//! what nobody woke.

use crate::{
    connection,
    engine::{End, Engine, FullEnd},
    hooks::Changes,
    journal::Journal,
    provider::{self, Assigned, Kinds},
    state::{self, Model},
};
use anyhow::Result;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use weir_core::{ApiError, Random};
use weir_resource::{Actor, Hooks, Stored, Unit, store};
use weir_store::{
    StoreError, Tx,
    jobs::{
        self, JobCx, JobHandler, LogLevel, NewJob, RelObj,
        schedules::{self, NewSchedule},
    },
};

/// Delivers what is pending for one target.
pub const DELIVER: &str = "sync_deliver";
/// Runs the full sync of one provider.
pub const FULL: &str = "sync_full";
/// Wakes targets with something due.
pub const SWEEP: &str = "sync_sweep";
/// When the sweep runs.
pub const SWEEP_CRONTAB: &str = "* * * * *";

/// How long changes of who is in scope are collected before a full sync.
const PAUSE: TimeDelta = TimeDelta::seconds(5);
/// How long one delivery goes on before it makes room for other tasks.
const TURN: Duration = Duration::from_secs(120);
/// More than any full sync takes; its own limit follows from its pages.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// What a task of a provider without application says.
const NO_PROVIDER: &str = "No provider found. Is it assigned to an application?";

fn rel(model: &str, number: i64) -> RelObj {
    let (app, name) = model.split_once('.').unwrap_or((model, ""));
    RelObj::new(app, name, number.to_string())
}

fn delivery(model: &str, number: i64, name: &str, eta: Option<DateTime<Utc>>) -> NewJob {
    let mut job = NewJob::new(DELIVER, json!({"provider": number}));
    job.uid = Some(number.to_string());
    job.rel_obj = Some(rel(model, number));
    job.description = Some(format!("Tell {name} of changes"));
    job.eta = eta;
    job
}

/// Sees to it that what was made pending in this transaction is delivered: now, or when the target is no longer left
/// alone.
///
/// # Errors
/// Those of the store.
pub async fn wake(
    tx: &mut Tx,
    (random, now): (&dyn Random, DateTime<Utc>),
    target: &Assigned,
) -> Result<(), StoreError> {
    let known = state::target(&mut *tx, target.number).await?;
    let at = known.blocked_until.filter(|until| *until > now);
    if state::is_waiting(tx, DELIVER, &target.number.to_string(), at.unwrap_or(now)).await? {
        return Ok(());
    }
    let job = delivery(target.object.kind.model, target.number, &target.object.name(), at);
    jobs::enqueue(tx, random.uuid(), now, &job).await
}

/// The handlers by actor.
pub fn handlers(engine: &Arc<Engine>) -> BTreeMap<&'static str, Arc<dyn JobHandler>> {
    let mut found: BTreeMap<&'static str, Arc<dyn JobHandler>> = BTreeMap::new();
    found.insert(DELIVER, Arc::new(Deliver(Arc::clone(engine))));
    found.insert(FULL, Arc::new(Full(Arc::clone(engine))));
    found.insert(SWEEP, Arc::new(Sweep(Arc::clone(engine))));
    found
}

fn number(cx: &JobCx) -> i64 {
    cx.args().get("provider").and_then(Value::as_i64).unwrap_or_default()
}

struct Deliver(Arc<Engine>);

#[async_trait]
impl JobHandler for Deliver {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let engine = &self.0;
        let site = &engine.site;
        let journal = Journal::new(site.clock.clone());
        let ended = engine.deliver(number(cx), &journal, TURN).await;
        journal.pour(cx);
        match ended? {
            End::NoProvider => cx.log(LogLevel::Warning, NO_PROVIDER, Value::Null),
            End::Idle => {}
            End::At(time) => {
                let snapshot = site.snapshot();
                let Some(target) = provider::assigned(&snapshot, &engine.kinds, number(cx)) else { return Ok(()) };
                let mut tx = site.db.tx();
                if !state::is_waiting(&mut tx, DELIVER, &target.number.to_string(), time).await? {
                    let job = delivery(target.object.kind.model, target.number, &target.object.name(), Some(time));
                    jobs::enqueue(&mut tx, site.random.uuid(), site.clock.now(), &job).await?;
                }
                tx.commit().await?;
            }
        }
        Ok(())
    }

    fn time_limit(&self) -> Duration {
        TURN * 5
    }

    fn waits_for_others(&self) -> bool {
        true
    }
}

struct Full(Arc<Engine>);

#[async_trait]
impl JobHandler for Full {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let engine = &self.0;
        let journal = Journal::new(engine.site.clock.clone());
        let progress = |share: f64| {
            cx.progress(share);
            journal.pour(cx);
        };
        let ended = engine.full(number(cx), cx.id(), &journal, &progress).await;
        journal.pour(cx);
        match ended? {
            FullEnd::NoProvider => cx.log(LogLevel::Warning, NO_PROVIDER, Value::Null),
            FullEnd::AlreadyRunning => {}
            FullEnd::Done(again) => self.again(cx, again).await?,
            FullEnd::Cut(again) => {
                cx.log(LogLevel::Warning, "The synchronization ended early; the outbox goes on.", Value::Null);
                self.again(cx, again).await?;
            }
        }
        Ok(())
    }

    fn time_limit(&self) -> Duration {
        LONGEST
    }

    fn waits_for_others(&self) -> bool {
        true
    }
}

impl Full {
    /// Somebody changed the provider while its full sync ran: it runs once more.
    async fn again(&self, cx: &JobCx, wanted: bool) -> Result<()> {
        let site = &self.0.site;
        let snapshot = site.snapshot();
        let Some(object) = provider::find(&snapshot, number(cx)).filter(|_| wanted) else { return Ok(()) };
        let mut unit = Unit::new(site, Actor::system());
        begin_full(&mut unit, (object.kind.model, number(cx), &object.name()), TimeDelta::zero()).await?;
        Ok(unit.commit().await?)
    }
}

struct Sweep(Arc<Engine>);

#[async_trait]
impl JobHandler for Sweep {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let site = &self.0.site;
        let now = cx.now();
        self.moved().await?;
        let sql = "SELECT DISTINCT provider FROM sync_state WHERE state = 'pending' AND due <= $1 \
                   AND (claimed_until IS NULL OR claimed_until < $1)";
        let rows = cx.db().read(sql, &[now.into()]).await?;
        let snapshot = site.snapshot();
        for row in rows {
            let number = row.int("provider")?;
            let mut tx = cx.db().tx();
            match provider::assigned(&snapshot, &self.0.kinds, number) {
                Some(target) => wake(&mut tx, (&*site.random, now), &target).await?,
                // Somebody marked an object while the provider was deleted.
                None if provider::find(&snapshot, number).is_none() => state::forget_target(&mut tx, number).await?,
                None => {}
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

impl Sweep {
    /// Memberships that changed past the write path of users become pending.
    async fn moved(&self) -> Result<()> {
        let changes = Changes { kinds: self.0.kinds.clone() };
        loop {
            let mut unit = Unit::new(&self.0.site, Actor::system());
            let sql = "DELETE FROM sync_moved WHERE (user_id, group_id) IN \
                       (SELECT user_id, group_id FROM sync_moved LIMIT 500) RETURNING user_id, group_id";
            let rows = unit.tx.write_returning(sql, &[]).await?;
            if rows.is_empty() {
                return Ok(unit.rollback().await?);
            }
            let mut users = BTreeSet::new();
            let mut groups = BTreeSet::new();
            for row in rows {
                users.insert(row.int("user_id")?.to_string());
                groups.insert(row.text("group_id")?);
            }
            changes.tell(&mut unit, Model::User, users).await?;
            changes.tell(&mut unit, Model::Group, groups).await?;
            unit.commit().await?;
        }
    }
}

/// Schedules and full syncs follow their provider.
pub struct ProviderHooks {
    /// All kinds of providers.
    pub kinds: Kinds,
}

impl ProviderHooks {
    async fn follow(&self, unit: &mut Unit<'_>, provider: &Stored) -> Result<(), StoreError> {
        let (number, now) = (provider.int_pk(), unit.site.clock.now());
        let mut byte = [0_u8; 1];
        unit.site.random.fill(&mut byte);
        let minute = byte.first().copied().unwrap_or_default() % 60;
        let schedule = NewSchedule {
            identifier: None,
            uid: Some(number.to_string()),
            args: json!({"provider": number}),
            description: Some(format!("Synchronize {}", provider.name())),
            rel_obj: Some(rel(provider.kind.model, number)),
            ..NewSchedule::new(FULL, FULL, format!("{minute} */4 * * *"))
        };
        schedules::upsert(&mut unit.tx, now, &schedule).await?;
        begin_full(unit, (provider.kind.model, number, &provider.name()), TimeDelta::zero()).await
    }
}

/// Sees to it that a full sync runs, at once or a little later. One that has not begun yet will see what is written here.
async fn begin_full(
    unit: &mut Unit<'_>,
    (model, number, name): (&str, i64, &str),
    pause: TimeDelta,
) -> Result<(), StoreError> {
    let (uid, now) = (number.to_string(), unit.site.clock.now());
    if state::is_waiting(&mut unit.tx, FULL, &uid, now + pause).await? {
        return Ok(());
    }
    let mut job = NewJob::new(FULL, json!({"provider": number}));
    job.uid = Some(uid);
    job.rel_obj = Some(rel(model, number));
    job.description = Some(format!("Synchronize {name}"));
    job.eta = (pause > TimeDelta::zero()).then(|| now + pause);
    jobs::enqueue(&mut unit.tx, unit.site.random.uuid(), now, &job).await
}

/// Runs a full sync of a target.
///
/// # Errors
/// Those of the store.
pub async fn full_now(unit: &mut Unit<'_>, target: &Assigned) -> Result<(), StoreError> {
    let object = &target.object;
    begin_full(unit, (object.kind.model, target.number, &object.name()), TimeDelta::zero()).await
}

/// Runs a full sync of a target in a few seconds, one for everything that is changed until then.
///
/// # Errors
/// Those of the store.
pub async fn full_soon(unit: &mut Unit<'_>, target: &Assigned) -> Result<(), StoreError> {
    let object = &target.object;
    begin_full(unit, (object.kind.model, target.number, &object.name()), PAUSE).await
}

#[async_trait]
impl Hooks for ProviderHooks {
    async fn written(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        if let Some(kind) = self.kinds.find(new.kind.model) {
            kind.forget(new.int_pk());
        }
        self.follow(unit, new).await.map_err(store)
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        let number = old.int_pk();
        if let Some(kind) = self.kinds.find(old.kind.model) {
            kind.forget(number);
            // First the outbox: whoever is settling a delivery ends before that, or finds nothing to be settled.
            state::forget_target(&mut unit.tx, number).await.map_err(store)?;
            connection::forget_all(&mut unit.tx, &kind.tables(), number).await.map_err(store)?;
        }
        schedules::remove_of(&mut unit.tx, &rel(old.kind.model, number)).await.map_err(store)?;
        Ok(())
    }
}
