//! What follows a lockdown once it is certain: a look that nothing is left, everybody who has to know, the record
//! completed, the event. None of it can undo the lockdown; what a server that died, or a browser that went away, left
//! undone is made up for by [`FinishLockdowns`].

use super::{
    act::{ACTION, APP, Begun, Lockdown, Order, Switches},
    document::{self, Followed, shortened},
    record::{self, Record},
};
use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::ApiError;
use weir_events::{Event, Origin, action};
use weir_flow::App;
use weir_identity::{
    accounts,
    artefacts::{self, ARTEFACTS, Counts},
};
use weir_pki::Seal;
use weir_resource::{Actor, Unit, store};
use weir_store::jobs::{JobCx, JobHandler, LogLevel};

/// Looks for artefacts that turned up after the commit. None can; this is the second line of defence.
const SWEEPS: usize = 10;
/// Accounts whose targets are told at once.
const AT_ONCE: usize = 5;

/// A lockdown whose transaction is committed, with the record as it is kept so far.
pub(super) struct Committed {
    pub order: Order,
    pub begun: Begun,
    pub document: Value,
    pub signature: String,
}

/// A record to complete.
struct Open {
    id: Uuid,
    user: i64,
    switches: Switches,
    document: Value,
}

/// A record with all it is to say.
struct Complete {
    id: Uuid,
    document: Value,
    signature: String,
}

/// Follows lockdowns up.
pub(super) async fn all(app: &App, actor: &Actor, seal: &Seal, locked: Vec<Committed>) -> Vec<Lockdown> {
    let open = |one: &Committed| Open {
        id: one.begun.id,
        user: one.order.user,
        switches: one.order.switches,
        document: one.document.clone(),
    };
    let complete = complete(app, seal, locked.iter().map(open).collect()).await;
    // The accounts are locked, whatever becomes of the report.
    let told = match report(app, actor, &complete).await {
        Ok(_) => complete,
        Err(error) => {
            tracing::error!(%error, "lockdowns could not be reported in full");
            Vec::new()
        }
    };
    let mut lockdowns = Vec::with_capacity(locked.len());
    for Committed { begun, document, signature, .. } in locked {
        let found = told.iter().find(|one| one.id == begun.id);
        let (document, signature) =
            found.map_or((document, signature), |one| (one.document.clone(), one.signature.clone()));
        let (id, epoch, account) = (begun.id, begun.epoch.1, begun.account);
        lockdowns.push(Lockdown { id, account, epoch, document, signature });
    }
    lockdowns
}

/// Looks again and tells the systems that keep copies, some accounts at once. What cannot be looked at now stays open.
async fn complete(app: &App, seal: &Seal, open: Vec<Open>) -> Vec<Complete> {
    let mut complete = Vec::with_capacity(open.len());
    let mut open = open.into_iter().peekable();
    while open.peek().is_some() {
        let part = open.by_ref().take(AT_ONCE).map(|one| complete_one(app, seal, one));
        complete.extend(join_all(part).await.into_iter().flatten());
    }
    complete
}

async fn complete_one(app: &App, seal: &Seal, one: Open) -> Option<Complete> {
    let looked = sweep(app, one.user, one.switches).await;
    // Also when the database is away by now: the targets have caught up then, as far as they can.
    let sync = if one.switches.deactivate_user { app.sync.deliver(one.user).await } else { Vec::new() };
    match looked {
        Ok((remaining, stays)) => {
            let followed = Followed { remaining, stays, sync, completed: app.site.clock.now() };
            let document = document::completed(one.document, &followed);
            let signature = record::sign(seal, &document);
            Some(Complete { id: one.id, document, signature })
        }
        Err(error) => {
            tracing::error!(user = one.user, %error, "a lockdown could not be looked at again");
            None
        }
    }
}

/// How many of each kind are left, and how many ways in stay; what turned up meanwhile is ended too.
async fn sweep(app: &App, user: i64, switches: Switches) -> Result<(Counts, Counts), ApiError> {
    let (db, groups) = (&app.site.db, switches.groups());
    let is_to_end = |name: &str| ARTEFACTS.iter().any(|a| a.kind == name && groups.contains(&a.group));
    let mut left = artefacts::count(db, user).await.map_err(store)?;
    for _ in 0..SWEEPS {
        if !left.iter().any(|(name, count)| *count > 0 && is_to_end(name)) {
            break;
        }
        tracing::warn!(user, "something was minted beside a lockdown");
        let mut tx = db.tx();
        accounts::lock(&mut tx, user).await.map_err(store)?;
        artefacts::end(&mut tx, user, &groups, &left).await.map_err(store)?;
        tx.commit().await.map_err(store)?;
        left = artefacts::count(db, user).await.map_err(store)?;
    }
    Ok((left, artefacts::staying(db, user).await.map_err(store)?))
}

/// Completes records and tells the audit trail of each, once. Gives how many.
async fn report(app: &App, actor: &Actor, complete: &[Complete]) -> Result<usize, ApiError> {
    if complete.is_empty() {
        return Ok(0);
    }
    let mut unit = Unit::new(&app.site, actor.clone());
    let mut told = 0;
    for one in complete {
        if record::complete(&mut unit, one.id, &one.document, &one.signature).await? {
            unit.event(event(&one.document)).await?;
            told += 1;
        }
    }
    unit.commit().await?;
    Ok(told)
}

fn event(document: &Value) -> Event {
    let part = |path: &str| document.pointer(path).cloned().unwrap_or_default();
    let context = json!({
        "action_id": ACTION,
        "reason": shortened(part("/reason").as_str().unwrap_or_default()),
        "affected_user": part("/user/username"),
        "lockdown": {
            "id": part("/id"), "epoch": part("/epoch"), "artefacts": part("/artefacts"), "stays": part("/stays"),
            "sync": part("/sync"), "batch": part("/batch"),
        },
    });
    Event::new(action::USER_WRITE, APP, context)
}

/// Name of the task.
pub const ACTOR: &str = "finish_lockdowns";
/// As long as this whoever locked an account is still at it.
const PATIENCE: TimeDelta = TimeDelta::minutes(3);
/// Older ones are left as they are.
const OLDEST: TimeDelta = TimeDelta::days(14);
/// Records at once.
const PART: i64 = 50;

/// Completes the records of lockdowns that nobody followed up, and tells of them.
pub struct FinishLockdowns(pub Arc<App>);

/// Finishes lockdowns that were begun longer ago than this; gives how many.
///
/// # Errors
/// Those of the store.
pub async fn finish(app: &App, patience: TimeDelta) -> Result<usize, ApiError> {
    let now = app.site.clock.now();
    let found = record::unfinished(&app.site.db, (now - OLDEST, now - patience), PART).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let mut unit = Unit::new(&app.site, Actor::system());
    let seal = record::seal(&mut unit).await?;
    unit.commit().await?;
    let mut told = 0;
    for record in found {
        let actor = actor(&record);
        let Some(open) = open(record) else { continue };
        told += report(app, &actor, &complete(app, &seal, vec![open]).await).await?;
    }
    Ok(told)
}

fn open(record: Record) -> Option<Open> {
    let id = record.document.get("id").and_then(Value::as_str)?.parse().ok()?;
    let switches = Switches::deserialize(record.document.get("switches")?).ok()?;
    Some(Open { id, user: record.user_id, switches, document: record.document })
}

/// Whoever locked the account then.
fn actor(record: &Record) -> Actor {
    let user = record.document.get("actor").cloned().unwrap_or_default();
    let username = user.get("username").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut actor = Actor::system();
    if record.actor_id.is_some() {
        actor.origin = Origin { user, user_id: record.actor_id, username, ..actor.origin };
    }
    actor
}

#[async_trait]
impl JobHandler for FinishLockdowns {
    async fn run(&self, cx: &JobCx) -> Result<(), anyhow::Error> {
        let told = finish(&self.0, PATIENCE).await?;
        if told > 0 {
            cx.log(LogLevel::Warning, format!("{told} lockdowns had not been followed up"), Value::Null);
        }
        Ok(())
    }
}
