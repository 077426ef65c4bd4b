//! Work in the background of every server: housekeeping on schedules, and blueprints applied on request.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use async_trait::async_trait;
use chrono::TimeDelta;
use serde_json::{Value, json};
use weir_events::{
    Event, action,
    chain::{self, Reason},
};
use weir_identity::{reputation, session, token, user};
use weir_mail::{Deliver, outbox};
use weir_policy::unique_password;
use weir_resource::{Actor, Unit};
use weir_stages::{
    account_lockdown::{bulk, follow},
    endpoints::fleet,
    invitation,
};
use weir_store::{
    Db, Durability, Val,
    jobs::{
        self, JobCx, JobHandler, LogLevel, Runner,
        schedules::{self, NewSchedule},
    },
};

use super::{Core, blueprints::APPLY, certificates};
use crate::config::Config;

const CLEAN: &str = "clean_expired";
const ROTATE: &str = "rotate_tokens";
const MAINTAIN: &str = "maintain_database";
const DISCOVER: &str = "discover_blueprints";
const SOURCES: &str = "refresh_sources";
const TRIM: &str = "trim_password_history";

/// Actor, crontab (UTC), text. The minutes differ so that a small machine does not do everything at once.
const SCHEDULES: &[(&str, &str, &str)] = &[
    (
        CLEAN,
        "7,37 * * * *",
        "Remove expired sessions, temporary users, consents, events, receipts, reputation, mails, old tasks",
    ),
    (ROTATE, "*/5 * * * *", "Give expired API tokens a new key and remove the others"),
    (MAINTAIN, "17 * * * *", "Refresh the statistics of the database"),
    (DISCOVER, "*/10 * * * *", "Apply blueprints that are new or have changed"),
    (certificates::LOOK, "29 4 * * *", "Tell of certificates that end soon or have ended"),
    (follow::ACTOR, "*/2 * * * *", "Complete the records of lockdowns that were left half told"),
    (TRIM, "41 3 * * *", "Forget former passwords that no policy looks at"),
    (SOURCES, "23 * * * *", "Fetch what the providers of sources tell of themselves, and their keys"),
    (weir_sync::tasks::SWEEP, weir_sync::tasks::SWEEP_CRONTAB, "Wake targets of the sync that have something due"),
];

/// Tables whose rows have an end, with their key. A consent that does not end has none.
const EXPIRING: &[(&str, &str, &str)] = &[
    ("captcha_spent", "task", "expires"),
    ("data_export", "id", "expires"),
    ("event_notification", "id", "expires"),
    ("flow_resume", "id", "expires"),
    ("flow_run", "id", "expires"),
    ("identity_consent", "id", "expires"),
    ("mail_outbox", "id", "expires"),
    ("mail_throttle", "recipient", "expires"),
    ("revoked_key", "key_digest", "expires"),
    ("source_login", "state_digest", "expires"),
];

/// Rows of one transaction, so that nobody waits long for it.
const BATCH: i64 = 500;
/// How often an idle worker looks for tasks of other nodes; those of its own wake it.
const POLL: Duration = Duration::from_secs(1);
/// How long finished tasks can be looked at.
const TASKS_KEPT: TimeDelta = TimeDelta::days(30);

/// The worker of this node; its schedules are there when this returns.
pub async fn runner(config: &Config, core: &Arc<Core>) -> Result<Runner> {
    let clock = Arc::clone(&core.site.clock);
    let now = clock.now();
    let mut tx = core.site.db.tx();
    tx.set_durability(Durability::Relaxed);
    for (actor, crontab, text) in SCHEDULES {
        let new = NewSchedule { description: Some((*text).to_owned()), ..NewSchedule::new(*actor, *actor, *crontab) };
        schedules::upsert(&mut tx, now, &new).await?;
    }
    tx.commit().await?;
    let bound = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let budget = (bound(config.events.max_rows), bound(config.events.max_bytes));
    let clean = Clean { core: Arc::clone(core), kept: TASKS_KEPT, budget };
    let mut handlers: BTreeMap<&'static str, Arc<dyn JobHandler>> = BTreeMap::new();
    handlers.insert(CLEAN, Arc::new(clean));
    handlers.insert(ROTATE, Arc::new(Rotate(Arc::clone(core))));
    handlers.insert(MAINTAIN, Arc::new(Maintain));
    handlers.insert(DISCOVER, Arc::new(Discover(Arc::clone(core))));
    handlers.insert(certificates::LOOK, Arc::new(certificates::Look(Arc::clone(core))));
    handlers.insert(TRIM, Arc::new(TrimPasswords(Arc::clone(core))));
    handlers.insert(SOURCES, Arc::new(RefreshSources(Arc::clone(core))));
    handlers.insert(user::FORGET, Arc::new(Forget(Arc::clone(core))));
    handlers.insert(APPLY, Arc::new(Apply(Arc::clone(core))));
    let mail = Deliver { site: Arc::clone(&core.site), mailer: Arc::clone(&core.engine.mail) };
    handlers.insert(outbox::ACTOR, Arc::new(mail));
    handlers.insert(weir_audit::DISPATCH, Arc::new(weir_audit::Dispatch(Arc::clone(&core.engine))));
    handlers.insert(weir_audit::DELIVER, Arc::new(weir_audit::Deliver::new(&core.engine)));
    handlers.insert(weir_audit::EXPORT, Arc::new(weir_audit::Export(Arc::clone(&core.engine))));
    handlers.insert(fleet::FLEET_SYNC, Arc::new(fleet::Synchronize(Arc::clone(&core.engine))));
    handlers.insert(follow::ACTOR, Arc::new(follow::FinishLockdowns(Arc::clone(&core.engine))));
    handlers.insert(bulk::ACTOR, Arc::new(bulk::LockDownUsers(Arc::clone(&core.engine))));
    handlers.extend(weir_sync::tasks::handlers(&core.sync));
    let handlers = handlers
        .into_iter()
        .map(|(actor, inner)| {
            let told: Arc<dyn JobHandler> = Arc::new(Told { core: Arc::clone(core), actor, inner });
            (actor, told)
        })
        .collect();
    let now = Arc::new(move || clock.now());
    let runner = Runner::new(core.site.db.clone(), now, handlers, config.worker.concurrency);
    let lease = Duration::from_secs(config.worker.lease_secs);
    Ok(runner.timing(lease, POLL).version(env!("CARGO_PKG_VERSION")))
}

/// A handler whose failures are events.
struct Told {
    core: Arc<Core>,
    actor: &'static str,
    inner: Arc<dyn JobHandler>,
}

impl Told {
    async fn tell(&self, error: &anyhow::Error) -> Result<()> {
        let message = format!("The task {} failed", self.actor);
        let mut context = json!({"message": message, "task": self.actor, "exception": format!("{error:#}")});
        // No rule looks at what keeps rules from working.
        if let Some(context) = context.as_object_mut().filter(|_| weir_audit::is_own_task(self.actor)) {
            context.insert(weir_audit::MARK.to_owned(), self.actor.into());
        }
        let mut unit = Unit::new(&self.core.site, Actor::system());
        unit.event(Event::new(action::SYSTEM_TASK_EXCEPTION, "authentik_tasks", context)).await?;
        Ok(unit.commit().await?)
    }
}

#[async_trait]
impl JobHandler for Told {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let done = self.inner.run(cx).await;
        // Once for each task, however often it is tried.
        if let (Err(error), 1) = (&done, cx.attempt())
            && !error.is::<jobs::PutOff>()
            && let Err(untold) = self.tell(error).await
        {
            tracing::warn!(error = format!("{untold:#}"), task = self.actor, "a failed task could not be told");
        }
        done
    }

    fn time_limit(&self) -> Duration {
        self.inner.time_limit()
    }

    fn waits_for_others(&self) -> bool {
        self.inner.waits_for_others()
    }
}

struct Clean {
    core: Arc<Core>,
    kept: TimeDelta,
    /// Most events, and the largest sum of their sizes; zero for no bound.
    budget: (i64, i64),
}

impl Clean {
    /// Events leave the trail so that it stays verifiable.
    async fn events(&self, cx: &JobCx) -> Result<u64> {
        let (site, now) = (&self.core.site, cx.now());
        let key = site.installation.chain_key();
        let expired = ("expires <= $1", &[Val::from(now)][..]);
        let ended = chain::remove_all(cx.db(), &key, now, expired, Reason::Expired).await?;
        let count = chain::enforce(cx.db(), &key, now, self.budget).await?;
        if count > 0 {
            let message = format!("The audit trail has outgrown its budget: the {count} oldest events were removed.");
            let (most, largest) = self.budget;
            let context = json!({"message": message, "removed": count, "max_rows": most, "max_bytes": largest});
            let mut unit = Unit::new(site, Actor::system());
            unit.event(Event::new(action::CONFIGURATION_WARNING, "authentik_events", context)).await?;
            unit.commit().await?;
        }
        Ok(ended + count)
    }

    /// Sessions, which bring more with them than a row.
    async fn sessions(&self, cx: &JobCx) -> Result<u64> {
        let mut count = 0;
        loop {
            let mut tx = relaxed(cx.db());
            let removed = session::delete_expired(&mut tx, cx.now(), BATCH).await?;
            tx.commit().await?;
            count += removed;
            if removed == 0 {
                return Ok(count);
            }
        }
    }
}

#[async_trait]
impl JobHandler for Clean {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let (db, now) = (cx.db(), cx.now());
        let mut removed = Removed::of(cx);
        removed.add("identity_session", self.sessions(cx).await?);
        removed.add("audit_event", self.events(cx).await?);
        for (table, key, end) in EXPIRING {
            let sql =
                format!("DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {end} <= $1 LIMIT $2)");
            let mut count = 0;
            loop {
                let mut tx = relaxed(db);
                let gone = tx.write(&sql, &[now.into(), BATCH.into()]).await?;
                tx.commit().await?;
                count += gone;
                if gone == 0 {
                    break;
                }
            }
            removed.add(table, count);
        }
        removed.add("identity_user", user::delete_ended(&self.core.site).await?);
        let mut tx = relaxed(db);
        let reputation = reputation::delete_expired(&mut tx, now).await?;
        let invitations = invitation::delete_old(&mut tx, now).await?;
        let tasks = jobs::purge(&mut tx, now - self.kept).await?;
        tx.commit().await?;
        removed.add("reputation", reputation);
        removed.add("invitation", invitations);
        removed.add("job", tasks);
        removed.say();
        Ok(())
    }
}

/// Done again after a crash, so that none of it has to reach the disk at once.
fn relaxed(db: &Db) -> weir_store::Tx {
    let mut tx = db.tx();
    tx.set_durability(Durability::Relaxed);
    tx
}

/// What a cleaning task removed, by table. Each table is logged as soon as it is clean, the sum at the end.
struct Removed<'c> {
    cx: &'c JobCx,
    tables: BTreeMap<&'static str, u64>,
}

impl<'c> Removed<'c> {
    fn of(cx: &'c JobCx) -> Self {
        Self { cx, tables: BTreeMap::new() }
    }

    fn add(&mut self, table: &'static str, count: u64) {
        self.tables.insert(table, count);
        if count > 0 {
            let fields = json!({"table": table, "removed": count});
            self.cx.log(LogLevel::Info, format!("Removed {count} rows of {table}"), fields);
        }
    }

    /// The sum, and what was looked at.
    fn say(self) {
        let sum: u64 = self.tables.values().sum();
        let text = if sum == 0 { "Nothing had to be removed".to_owned() } else { format!("Removed {sum} rows") };
        self.cx.log(LogLevel::Info, text, json!({"removed": self.tables}));
    }
}

/// Removes the events of somebody who was deleted.
struct Forget(Arc<Core>);

#[async_trait]
impl JobHandler for Forget {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let number = |name: &str| cx.args().get(name).and_then(Value::as_i64);
        let (Some(user), Some(before)) = (number("user"), number("before")) else { bail!("No user was named.") };
        let key = self.0.site.installation.chain_key();
        let theirs = [Val::from(user), before.into()];
        // That they deleted themselves is all that stays.
        let condition = "user_id = $1 AND created <= $2 AND NOT (action = 'model_deleted' AND created = $2)";
        let count = chain::remove_all(cx.db(), &key, cx.now(), (condition, &theirs[..]), Reason::Forgotten).await?;
        let mut removed = Removed::of(cx);
        removed.add("audit_event", count);
        removed.say();
        Ok(())
    }
}

struct Rotate(Arc<Core>);

#[async_trait]
impl JobHandler for Rotate {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let done = token::rotate_expired(&self.0.site).await?;
        if done.rotated + done.deleted > 0 {
            let text = format!("Gave {} tokens a new key, removed {}", done.rotated, done.deleted);
            cx.log(LogLevel::Info, text, json!({"rotated": done.rotated, "removed": {"identity_token": done.deleted}}));
        }
        Ok(())
    }
}

struct Maintain;

#[async_trait]
impl JobHandler for Maintain {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        cx.db().maintain().await?;
        Ok(weir_events::forget_statistics(cx.db()).await?)
    }
}

struct Discover(Arc<Core>);

#[async_trait]
impl JobHandler for Discover {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let found = self.0.blueprints.apply_all(&self.0.site).await?;
        for name in found.applied {
            cx.log(LogLevel::Info, format!("Applied {name}"), Value::Null);
        }
        for (name, problems) in found.refused {
            cx.log(LogLevel::Error, format!("Refused {name}: {problems}"), Value::Null);
        }
        Ok(())
    }
}

struct TrimPasswords(Arc<Core>);

#[async_trait]
impl JobHandler for TrimPasswords {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let mut tx = relaxed(cx.db());
        let count = unique_password::trim(&mut tx, &self.0.site.snapshot()).await?;
        tx.commit().await?;
        let mut removed = Removed::of(cx);
        removed.add("password_history", count);
        removed.say();
        Ok(())
    }
}

struct RefreshSources(Arc<Core>);

#[async_trait]
impl JobHandler for RefreshSources {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let core = &self.0;
        let done = weir_sources::oauth::refresh(&core.engine, &core.sources.oauth).await?;
        for name in done.changed {
            cx.log(LogLevel::Info, format!("Refreshed {name}"), Value::Null);
        }
        for (name, problem) in done.failed {
            cx.log(LogLevel::Warning, format!("{name} could not be asked: {problem}"), Value::Null);
        }
        Ok(())
    }
}

struct Apply(Arc<Core>);

#[async_trait]
impl JobHandler for Apply {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let Some(pk) = cx.args().get("instance").and_then(Value::as_str) else { bail!("No instance was named.") };
        let problems = self.0.blueprints.apply_one(&self.0.site, pk).await?;
        for problem in problems {
            cx.log(LogLevel::Error, problem, Value::Null);
        }
        Ok(())
    }
}
