//! Asks the rules about new events.

use crate::{
    DELIVER, DISPATCH, MARK, NotificationRule, NotificationTransport, Severity, TransportMode, event::SealedEvent,
};
use anyhow::{Result, bail};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use uuid::Uuid;
use weir_core::Map;
use weir_events::{Event, chain::Sealed};
use weir_flow::App;
use weir_identity::{Account, accounts};
use weir_policy::{Engine, Mode, PolicyBinding, PolicyCx, PolicyRequest};
use weir_resource::{Actor, Site, Snapshot, Unit};
use weir_store::{
    StoreError, Tx, Val,
    jobs::{self, JobCx, JobHandler, LogLevel, NewJob},
};

/// How long a receiver may be away before a notification is given up.
const GIVEN_UP: chrono::TimeDelta = chrono::TimeDelta::days(1);
/// Notifications that are written at once, unless one event has more.
const LOT: usize = 1000;
/// Members of a group that one rule tells.
const MOST: i64 = 10_000;

/// A rule that can come to something.
struct Rule {
    id: Uuid,
    rule: Arc<NotificationRule>,
    /// Keys of the policies bound to it, as events name them.
    policies: BTreeSet<String>,
}

fn rules(snapshot: &Snapshot) -> Vec<Rule> {
    let all = snapshot.of_model(<NotificationRule as weir_core::Resource>::MODEL);
    all.filter_map(|object| {
        let rule = snapshot.get::<NotificationRule>(object.id)?;
        let bindings = snapshot.referring_by::<PolicyBinding>(object.id, "target");
        let has_destination = rule.destination_event_user || rule.destination_group.is_some();
        let is_bound = bindings.iter().any(|(_, binding)| binding.enabled);
        let keys = bindings.iter().filter_map(|(_, b)| Some(b.policy.as_ref()?.pk().simple().to_string())).collect();
        let useful = has_destination && is_bound && !rule.transports.is_empty();
        useful.then_some(Rule { id: object.id, rule, policies: keys })
    })
    .collect()
}

/// Has the rules look at events that got their place, if and when this commits.
///
/// # Errors
/// Those of the store.
pub async fn announce(tx: &mut Tx, site: &Site, sealed: Sealed) -> Result<(), StoreError> {
    if rules(&site.snapshot()).is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO event_batch (first_seq, last_seq) VALUES ($1, $2)";
    tx.write(sql, &[sealed.first.into(), sealed.last.into()]).await?;
    let mut job = NewJob::new(DISPATCH, json!({"first": sealed.first}));
    job.description = Some("Ask notification rules about new events".to_owned());
    jobs::enqueue(tx, site.random.uuid(), site.clock.now(), &job).await
}

/// Handler of [`DISPATCH`].
pub struct Dispatch(pub Arc<App>);

/// A notification to be.
struct Told {
    event: String,
    user: i64,
    transport: Uuid,
    severity: Severity,
    body: Arc<str>,
}

#[async_trait]
impl JobHandler for Dispatch {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let Some(first) = cx.args().get("first").and_then(Value::as_i64) else { bail!("No events were named.") };
        let count = ask(&self.0, first).await?;
        if count > 0 {
            cx.log(LogLevel::Info, format!("{count} notifications"), Value::Null);
        }
        Ok(())
    }
}

/// Asks the rules about the stretch that begins here; the number of notifications. An event is worked off once, however
/// often this runs and on however many nodes.
pub(crate) async fn ask(engine: &App, first: i64) -> Result<usize> {
    let site = &engine.site;
    let sql = "SELECT last_seq, next_seq FROM event_batch WHERE first_seq = $1";
    let Some(row) = site.db.read_one(sql, &[first.into()]).await? else { return Ok(0) };
    let (last, mut next) = (row.int("last_seq")?, row.opt_int("next_seq")?.unwrap_or(first));
    let snapshot = site.snapshot();
    let rules = rules(&snapshot);
    let mut events = SealedEvent::between(&site.db, next, last).await?.into_iter();
    let mut work = Work { engine, snapshot: &snapshot, users: BTreeMap::new(), groups: BTreeMap::new() };
    let mut count = 0;
    while next <= last {
        let (mut told, mut written) = (Vec::new(), Vec::new());
        let mut after = last + 1;
        for event in events.by_ref() {
            if !is_ours(&event) {
                for rule in &rules {
                    if work.picks(rule, &event, &mut written).await? {
                        work.tell(rule, &event, &mut told).await?;
                    }
                }
            }
            if told.len() >= LOT {
                after = event.seq.map_or(after, |seq| seq + 1);
                break;
            }
        }
        let (stretch, step) = ((first, last), (next, after));
        match write(engine, &snapshot, stretch, step, told, written).await? {
            Some(made) => count += made,
            None => break,
        }
        next = after;
    }
    Ok(count)
}

/// Writes what came of a part of a stretch, all of it or nothing, and once; none when somebody else did.
async fn write(
    engine: &App,
    snapshot: &Arc<Snapshot>,
    (first, last): (i64, i64),
    (from, to): (i64, i64),
    told: Vec<Told>,
    written: Vec<Event>,
) -> Result<Option<usize>> {
    let mut unit = Unit::new(&engine.site, Actor::system());
    let claimed = if to > last {
        let sql = "DELETE FROM event_batch WHERE first_seq = $1 AND COALESCE(next_seq, first_seq) = $2";
        unit.tx.write(sql, &[first.into(), from.into()]).await?
    } else {
        let sql = "UPDATE event_batch SET next_seq = $3 WHERE first_seq = $1 AND COALESCE(next_seq, first_seq) = $2";
        unit.tx.write(sql, &[first.into(), from.into(), to.into()]).await?
    };
    if claimed == 0 {
        unit.rollback().await?;
        return Ok(None);
    }
    let count = told.len();
    for event in written {
        unit.event(event).await?;
    }
    for told in told {
        send(&mut unit, snapshot, told).await?;
    }
    unit.commit().await?;
    Ok(Some(count))
}

/// Whether an event comes from rules or notifications.
fn is_ours(event: &SealedEvent) -> bool {
    let in_user = event.fields.get("user").is_some_and(|user| user.get(MARK).is_some());
    in_user || event.context(MARK).is_some()
}

struct Work<'a> {
    engine: &'a App,
    snapshot: &'a Arc<Snapshot>,
    users: BTreeMap<i64, Option<Account>>,
    groups: BTreeMap<Uuid, Vec<i64>>,
}

impl Work<'_> {
    async fn user(&mut self, id: i64) -> Result<Option<Account>> {
        if let Some(known) = self.users.get(&id) {
            return Ok(known.clone());
        }
        let found = accounts::find(&self.engine.site.db, id).await?;
        self.users.insert(id, found.clone());
        Ok(found)
    }

    async fn picks(&mut self, rule: &Rule, event: &SealedEvent, written: &mut Vec<Event>) -> Result<bool> {
        let policy = event.context("policy").and_then(|policy| policy.get("pk")?.as_str());
        if policy.is_some_and(|policy| rule.policies.contains(policy)) {
            return Ok(false);
        }
        let user = match event.user_id {
            Some(id) => self.user(id).await?,
            None => None,
        };
        let http = event.request();
        let (mut tx, mut events) = (self.engine.site.db.tx(), Vec::new());
        let mut cx = PolicyCx {
            site: &self.engine.site,
            snapshot: self.snapshot,
            tx: &mut tx,
            kinds: &self.engine.policies,
            events: &mut events,
            depth: 0,
        };
        let mut request = PolicyRequest {
            context: Map::from_iter([("event".to_owned(), Value::Object(event.fields.clone()))]),
            ..PolicyRequest::new(user.as_ref(), &http, summary(rule))
        };
        let engine = Engine { empty_result: false, ..Engine::new(rule.id, Mode::Any) };
        let result = engine.evaluate(&mut cx, &mut request).await?;
        for mut event in events {
            event.context.insert(MARK.to_owned(), summary(rule));
            written.push(event);
        }
        Ok(result.passing)
    }

    async fn tell(&mut self, rule: &Rule, event: &SealedEvent, told: &mut Vec<Told>) -> Result<()> {
        let mut users = match &rule.rule.destination_group {
            Some(group) => self.members(*group.pk()).await?,
            None => Vec::new(),
        };
        if rule.rule.destination_event_user
            && let Some(id) = event.user_id
            && self.user(id).await?.is_some()
            && !users.contains(&id)
        {
            users.push(id);
        }
        let body: Arc<str> = event.body().into();
        for transport in &rule.rule.transports {
            let Some(found) = self.snapshot.get::<NotificationTransport>(*transport.pk()) else { continue };
            let count = if found.send_once { 1 } else { users.len() };
            told.extend(users.iter().take(count).map(|user| Told {
                event: event.text("pk").to_owned(),
                user: *user,
                transport: *transport.pk(),
                severity: rule.rule.severity,
                body: Arc::clone(&body),
            }));
        }
        Ok(())
    }

    async fn members(&mut self, group: Uuid) -> Result<Vec<i64>> {
        if let Some(known) = self.groups.get(&group) {
            return Ok(known.clone());
        }
        let sql = "SELECT m.user_id FROM identity_membership m JOIN identity_user u ON u.id = m.user_id \
                   WHERE m.group_id = $1 AND u.is_active ORDER BY m.user_id LIMIT $2";
        let rows = self.engine.site.db.read(sql, &[group.into(), MOST.into()]).await?;
        let found = rows.iter().map(|row| row.int("user_id")).collect::<Result<Vec<_>, _>>()?;
        self.groups.insert(group, found.clone());
        Ok(found)
    }
}

fn summary(rule: &Rule) -> Value {
    let pk = rule.id.simple().to_string();
    json!({"app": "authentik_events", "model_name": "notificationrule", "pk": pk, "name": rule.rule.name})
}

/// What stays here is written at once, the rest becomes tasks.
async fn send(unit: &mut Unit<'_>, snapshot: &Snapshot, told: Told) -> Result<()> {
    let mode = snapshot.get::<NotificationTransport>(told.transport).map(|transport| transport.mode);
    if mode == Some(TransportMode::Local) {
        return Ok(keep(unit, told.user, told.severity, &told.body, Some(&told.event)).await?);
    }
    let until = unit.site.clock.now() + GIVEN_UP;
    let args = json!({
        "transport": told.transport, "event": told.event, "user": told.user, "severity": told.severity.as_str(),
        "until": until.timestamp_micros(),
    });
    let mut job = NewJob::new(DELIVER, args);
    job.uid = Some(told.event);
    job.description = Some("Carry a notification".to_owned());
    job.max_retries = 8;
    Ok(jobs::enqueue(&mut unit.tx, unit.site.random.uuid(), unit.site.clock.now(), &job).await?)
}

/// Writes a notification into somebody's list.
pub(crate) async fn keep(
    unit: &mut Unit<'_>,
    user: i64,
    severity: Severity,
    body: &str,
    event: Option<&str>,
) -> Result<(), StoreError> {
    let now = unit.site.clock.now();
    // The person may have been deleted meanwhile.
    let sql = "INSERT INTO event_notification (id, \"user\", severity, body, event_id, seen, created, expires) \
               SELECT $1, id, $3, $4, $5, FALSE, $6, $7 FROM identity_user WHERE id = $2";
    let vals: [Val; 7] = [
        unit.site.random.uuid().into(),
        user.into(),
        severity.as_str().into(),
        body.into(),
        event.into(),
        now.into(),
        (now + unit.snapshot.settings.retention()).into(),
    ];
    unit.tx.write(sql, &vals).await?;
    Ok(())
}
