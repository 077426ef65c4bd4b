//! The outbox: for every object and target one row that says what is to be told and how that went.
//!
//! A row is made pending in the transaction that changes the object. It never holds what is to be sent: whoever delivers
//! looks at the object as it is then, so that ten changes in a row are one delivery, and an older state can never
//! overtake a newer one.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{Map, Random};
use weir_identity::Reader;
use weir_store::{Dialect, Row, StoreError, Tx, Val};

/// Rows of one statement.
const CHUNK: usize = 100;
/// How long a claim is good when its holder does not come back.
const CLAIM: TimeDelta = TimeDelta::minutes(3);

/// What is synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Model {
    /// Users.
    User,
    /// Groups.
    Group,
}

impl Model {
    /// The word in the store and in answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }

    /// The model of this word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::User, Self::Group].into_iter().find(|model| model.word() == word)
    }
}

/// How an object stands with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for delivery.
    Pending,
    /// The target knows the object as it is.
    InSync,
    /// Given up until the object changes, somebody replays it, or the next full sync.
    Failed,
    /// Left out by a mapping or a dry run.
    Skipped,
}

impl State {
    /// The word in the store and in answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InSync => "in_sync",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The state of this word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Pending, Self::InSync, Self::Failed, Self::Skipped].into_iter().find(|state| state.word() == word)
    }
}

/// A row in somebody's hands.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Key of the row.
    pub id: String,
    /// What it is about.
    pub model: Model,
    /// Key of the object.
    pub key: String,
    /// The version it was claimed in.
    pub version: i64,
    /// Attempts before this one.
    pub attempts: i64,
    /// The object was deleted here.
    pub gone: bool,
    /// What the target called it, when it was deleted here; several when several of its accounts were connected.
    pub remote_ids: Vec<String>,
    /// It may have been made at the target without our hearing of it: what it is called there.
    pub sought: Option<Map>,
    /// Proves that the row is still ours.
    pub claim: String,
}

impl Claimed {
    fn of(row: &Row, claim: &str) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.text("id")?,
            model: Model::of(&row.text("model")?).unwrap_or(Model::User),
            key: row.text("object_key")?,
            version: row.int("version")?,
            attempts: row.int("attempts")?,
            gone: row.bool("gone")?,
            remote_ids: remote_ids(&row.text("remote_ids")?),
            sought: row.opt_text("sought")?.and_then(|text| serde_json::from_str(&text).ok()),
            claim: claim.to_owned(),
        })
    }
}

/// What a target called an object: one JSON text a line, so that lists can be joined.
fn remote_ids(lines: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for id in lines.lines().filter_map(|line| serde_json::from_str::<String>(line).ok()) {
        if !id.is_empty() && !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

fn lines(remote_ids: &[String]) -> String {
    remote_ids.iter().map(|id| Value::from(id.as_str()).to_string() + "\n").collect()
}

/// An object to be told of: its key, and what the target calls it when it is deleted here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Key of the object.
    pub key: String,
    /// Deleted here: what the target calls it, as far as that is known.
    pub gone: Option<Vec<String>>,
}

impl Change {
    /// A changed object.
    pub fn of(key: impl Into<String>) -> Self {
        Self { key: key.into(), gone: None }
    }
}

/// Makes objects pending for a target; several changes of one object are one row.
///
/// # Errors
/// Those of the store.
pub async fn enqueue(
    tx: &mut Tx,
    (random, now): (&dyn Random, DateTime<Utc>),
    provider: i64,
    model: Model,
    changes: &[Change],
) -> Result<(), StoreError> {
    // In one order everywhere, so that two transactions never wait for each other.
    let mut changes: Vec<&Change> = changes.iter().collect();
    changes.sort();
    changes.dedup_by(|a, b| a.key == b.key);
    for part in changes.chunks(CHUNK) {
        let mut vals: Vec<Val> = vec![provider.into(), model.word().into(), now.into()];
        let rows: Vec<String> = part
            .iter()
            .map(|change| {
                let first = vals.len() + 1;
                vals.push(random.uuid().to_string().into());
                vals.push(Val::from(&change.key));
                vals.push(change.gone.is_some().into());
                vals.push(lines(change.gone.as_deref().unwrap_or_default()).into());
                let (id, key, gone, remote) = (first, first + 1, first + 2, first + 3);
                format!("(${id}, $1, $2, ${key}, 'pending', ${gone}, ${remote}, $3, $3, $3)")
            })
            .collect();
        let sql = format!(
            "INSERT INTO sync_state (id, provider, model, object_key, state, gone, remote_ids, due, queued, changed) \
             VALUES {} ON CONFLICT (provider, model, object_key) DO UPDATE SET \
             queued = CASE WHEN sync_state.state = 'pending' THEN sync_state.queued ELSE excluded.queued END, \
             state = 'pending', version = sync_state.version + 1, attempts = 0, due = excluded.due, \
             gone = (sync_state.gone OR excluded.gone), \
             remote_ids = sync_state.remote_ids || excluded.remote_ids, \
             changed = excluded.changed",
            rows.join(", ")
        );
        tx.write(&sql, &vals).await?;
    }
    Ok(())
}

/// Which objects somebody wants to tell a target of.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Those that are due; groups when no user is, for they wait for their members.
    Due,
    /// Those of a model that are due.
    Of(Model),
    /// This one, due or not.
    One(Model, &'a str),
}

/// Takes up to `limit` objects of a target that are in nobody's hands.
///
/// # Errors
/// Those of the store.
pub async fn claim(
    tx: &mut Tx,
    (random, now): (&dyn Random, DateTime<Utc>),
    provider: i64,
    which: Which<'_>,
    limit: i64,
) -> Result<Vec<Claimed>, StoreError> {
    let claim = random.uuid().to_string();
    let mut vals: Vec<Val> =
        vec![provider.into(), now.into(), claim.clone().into(), (now + CLAIM).into(), limit.into()];
    let free = "(claimed_until IS NULL OR claimed_until < $2)";
    let which = match which {
        Which::One(model, key) => {
            vals.push(model.word().into());
            vals.push(key.into());
            "model = $6 AND object_key = $7".to_owned()
        }
        Which::Of(model) => {
            vals.push(model.word().into());
            "state = 'pending' AND model = $6 AND due <= $2".to_owned()
        }
        Which::Due => format!(
            "state = 'pending' AND due <= $2 AND model = (SELECT model FROM sync_state WHERE provider = $1 \
             AND state = 'pending' AND due <= $2 AND {free} ORDER BY model DESC LIMIT 1)"
        ),
    };
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT id FROM sync_state WHERE provider = $1 AND {which} \
         AND {free} ORDER BY due, id LIMIT $5{}) \
         UPDATE sync_state SET claim = $3, claimed_until = $4 WHERE id IN (SELECT id FROM picked) \
         RETURNING id, model, object_key, version, attempts, gone, remote_ids, sought",
        tx.dialect().for_update_skip_locked()
    );
    let mut rows: Vec<Claimed> =
        tx.write_returning(&sql, &vals).await?.iter().map(|row| Claimed::of(row, &claim)).collect::<Result<_, _>>()?;
    // Whoever settles several takes them in the order of `enqueue`.
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(rows)
}

/// Keeps claimed objects for longer.
///
/// # Errors
/// Those of the store.
pub async fn hold(tx: &mut Tx, now: DateTime<Utc>, claim: &str) -> Result<(), StoreError> {
    let sql = "UPDATE sync_state SET claimed_until = $2 WHERE claim = $1";
    tx.write(sql, &[claim.into(), (now + CLAIM).into()]).await?;
    Ok(())
}

/// Locks the rows of a claim in the order in which everybody takes several.
///
/// # Errors
/// Those of the store.
pub async fn lock(tx: &mut Tx, claim: &str) -> Result<(), StoreError> {
    tx.begin_write().await?;
    if tx.dialect() == Dialect::Postgres {
        let sql = "SELECT id FROM sync_state WHERE claim = $1 ORDER BY object_key COLLATE \"C\" FOR UPDATE";
        tx.read(sql, &[claim.into()]).await?;
    }
    Ok(())
}

/// Notes what an object will be called at the target, before it is made there. False when it is no longer ours.
///
/// # Errors
/// Those of the store.
pub async fn seek(tx: &mut Tx, row: &Claimed, marks: &Map) -> Result<bool, StoreError> {
    let sql = "UPDATE sync_state SET sought = $3 WHERE id = $1 AND claim = $2";
    let marks = Value::Object(marks.clone()).to_string();
    Ok(tx.write(sql, &[Val::from(&row.id), Val::from(&row.claim), marks.into()]).await? > 0)
}

/// What becomes of a claimed row.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It has this state now, for a reason.
    Is(State, String),
    /// Nothing is to be remembered: neither side knows the object.
    Forget,
    /// It is tried again at this time.
    Again(DateTime<Utc>, String),
    /// There is more to be told, at once.
    More,
}

/// How settling went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// As it was meant.
    Done,
    /// The object changed meanwhile: it stays pending.
    Changed,
    /// The row is in other hands, or gone with its provider.
    Lost,
}

/// Settles a claimed row. What changed meanwhile stays pending. `certain` tells that the target made nothing we have not
/// heard of.
///
/// # Errors
/// Those of the store.
pub async fn settle(
    tx: &mut Tx,
    now: DateTime<Utc>,
    row: &Claimed,
    verdict: &Verdict,
    certain: bool,
) -> Result<Settled, StoreError> {
    let owner = [Val::from(&row.id), Val::from(&row.claim), Val::from(row.version)];
    let held = "id = $1 AND claim = $2 AND version = $3";
    let free = format!("claim = NULL, claimed_until = NULL{}", if certain { ", sought = NULL" } else { "" });
    let done = match verdict {
        Verdict::Forget => tx.write(&format!("DELETE FROM sync_state WHERE {held}"), &owner).await?,
        Verdict::Is(state, reason) => {
            // What is in sync is there again, whatever became of it before.
            let sql = format!(
                "UPDATE sync_state SET state = $4, reason = $5, {free}, changed = $6, attempts = 0, \
                 synced = CASE WHEN $4 = 'in_sync' THEN $6 ELSE synced END, \
                 gone = CASE WHEN $4 = 'in_sync' THEN FALSE ELSE gone END, \
                 remote_ids = CASE WHEN $4 = 'in_sync' THEN '' ELSE remote_ids END WHERE {held}"
            );
            let more = [state.word().into(), Val::from(reason), now.into()];
            tx.write(&sql, &[owner.as_slice(), &more].concat()).await?
        }
        Verdict::Again(due, reason) => {
            let sql = format!(
                "UPDATE sync_state SET state = 'pending', reason = $4, attempts = attempts + 1, due = $5, {free}, \
                 changed = $6 WHERE {held}"
            );
            let more = [Val::from(reason), (*due).into(), now.into()];
            tx.write(&sql, &[owner.as_slice(), &more].concat()).await?
        }
        Verdict::More => {
            let sql = format!("UPDATE sync_state SET state = 'pending', due = $4, {free}, changed = $4 WHERE {held}");
            tx.write(&sql, &[owner.as_slice(), &[now.into()]].concat()).await?
        }
    };
    if done > 0 {
        return Ok(Settled::Done);
    }
    let sql = format!("UPDATE sync_state SET {free} WHERE id = $1 AND claim = $2");
    let given_back = tx.write(&sql, &[Val::from(&row.id), Val::from(&row.claim)]).await?;
    Ok(if given_back > 0 { Settled::Changed } else { Settled::Lost })
}

/// Settles rows of one claim that are in sync and did not change, in one statement; gives the ids of those it took.
///
/// # Errors
/// Those of the store.
pub async fn settle_same(tx: &mut Tx, now: DateTime<Utc>, rows: &[&Claimed]) -> Result<Vec<String>, StoreError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let mut vals: Vec<Val> = vec![Val::from(&first.claim), now.into()];
    let held: Vec<String> = rows
        .iter()
        .map(|row| {
            vals.push(Val::from(&row.id));
            vals.push(row.version.into());
            format!("(id = ${} AND version = ${})", vals.len() - 1, vals.len())
        })
        .collect();
    let sql = format!(
        "UPDATE sync_state SET state = 'in_sync', reason = '', claim = NULL, claimed_until = NULL, sought = NULL, \
         changed = $2, synced = $2, attempts = 0, gone = FALSE, remote_ids = '' \
         WHERE claim = $1 AND ({}) RETURNING id",
        held.join(" OR ")
    );
    tx.write_returning(&sql, &vals).await?.iter().map(|row| row.text("id")).collect()
}

/// When the next pending object of a target is due, or given up by whoever holds it; none when nothing is pending.
///
/// # Errors
/// Those of the store.
pub async fn next_due(mut reader: impl Reader, provider: i64) -> Result<Option<DateTime<Utc>>, StoreError> {
    let sql = "SELECT MIN(CASE WHEN claimed_until > due THEN claimed_until ELSE due END) AS due \
               FROM sync_state WHERE provider = $1 AND state = 'pending'";
    let row = reader.read_one(sql, &[provider.into()]).await?;
    row.map(|row| row.opt_time("due")).transpose().map(Option::flatten)
}

/// Makes deleted objects pending again that a target did not let go.
///
/// # Errors
/// Those of the store.
pub async fn retry_gone(tx: &mut Tx, now: DateTime<Utc>, provider: i64) -> Result<(), StoreError> {
    let sql = "UPDATE sync_state SET state = 'pending', version = version + 1, attempts = 0, due = $2, changed = $2 \
               WHERE provider = $1 AND gone = TRUE AND state IN ('failed', 'skipped')";
    tx.write(sql, &[provider.into(), now.into()]).await?;
    Ok(())
}

/// Forgets everything about a target that goes away.
///
/// # Errors
/// Those of the store.
pub async fn forget_target(tx: &mut Tx, provider: i64) -> Result<(), StoreError> {
    tx.write("DELETE FROM sync_state WHERE provider = $1", &[provider.into()]).await?;
    tx.write("DELETE FROM sync_target WHERE provider = $1", &[provider.into()]).await?;
    Ok(())
}

/// A job of this actor and uid that nobody has begun yet stays where it is until this transaction ends: it will see what
/// is written here. False when there is none.
///
/// # Errors
/// Those of the store.
pub async fn is_waiting(tx: &mut Tx, actor: &str, uid: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let lock = if tx.dialect() == Dialect::Postgres { " FOR SHARE" } else { "" };
    let sql = format!(
        "SELECT id FROM job WHERE actor_name = $1 AND uid = $2 AND state = 'queued' AND due <= $3 LIMIT 1{lock}"
    );
    Ok(tx.read_one(&sql, &[actor.into(), uid.into(), now.into()]).await?.is_some())
}

/// A row as the interface shows it.
pub(crate) fn shown(row: &Row) -> Result<Value, StoreError> {
    let time = |name: &str| -> Result<Value, StoreError> {
        Ok(row.opt_time(name)?.map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)).into())
    };
    Ok(json!({
        "pk": row.text("id")?,
        "provider": row.int("provider")?,
        "model": row.text("model")?,
        "object": row.text("object_key")?,
        "state": row.text("state")?,
        "reason": row.text("reason")?,
        "attempts": row.int("attempts")?,
        "deleted": row.bool("gone")?,
        "queued": time("queued")?,
        "changed": time("changed")?,
        "last_synced": time("synced")?,
        "next_attempt": if row.text("state")? == "pending" { time("due")? } else { Value::Null },
    }))
}

/// The target's own row, made when there is none.
///
/// # Errors
/// Those of the store.
pub async fn ensure_target(tx: &mut Tx, provider: i64) -> Result<(), StoreError> {
    tx.write("INSERT INTO sync_target (provider) VALUES ($1) ON CONFLICT DO NOTHING", &[provider.into()]).await?;
    Ok(())
}

/// What is known of a target as a whole.
#[derive(Clone, Debug, Default)]
pub struct TargetRow {
    /// Counts what became of the target as a whole.
    pub turn: i64,
    /// Nothing is sent before.
    pub blocked_until: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub failures: i64,
    /// The last of them.
    pub last_error: String,
    /// A full sync is on its way until this time at most.
    pub running_until: Option<DateTime<Utc>>,
    /// End of the last full sync that went well.
    pub last_success: Option<DateTime<Utc>>,
    /// Opens the target.
    pub access_token: Option<String>,
    /// Gets a new one.
    pub refresh_token: Option<String>,
    /// End of the access token.
    pub token_expires: Option<DateTime<Utc>>,
    /// When it was given.
    pub token_updated: Option<DateTime<Utc>>,
}

/// Reads what is known of a target.
///
/// # Errors
/// Those of the store.
pub async fn target(mut reader: impl Reader, provider: i64) -> Result<TargetRow, StoreError> {
    let Some(row) = reader.read_one("SELECT * FROM sync_target WHERE provider = $1", &[provider.into()]).await? else {
        return Ok(TargetRow::default());
    };
    Ok(TargetRow {
        turn: row.int("turn")?,
        blocked_until: row.opt_time("blocked_until")?,
        failures: row.int("failures")?,
        last_error: row.text("last_error")?,
        running_until: row.opt_time("running_until")?,
        last_success: row.opt_time("last_success")?,
        access_token: row.opt_text("access_token")?,
        refresh_token: row.opt_text("refresh_token")?,
        token_expires: row.opt_time("token_expires")?,
        token_updated: row.opt_time("token_updated")?,
    })
}

/// Leaves a target alone until a time, unless something became of it since the turn in which it was asked: then the answer
/// is one of yesterday. False when it is.
///
/// # Errors
/// Those of the store.
pub async fn block(
    tx: &mut Tx,
    (provider, turn): (i64, i64),
    until: DateTime<Utc>,
    reason: &str,
) -> Result<bool, StoreError> {
    ensure_target(tx, provider).await?;
    let sql = "UPDATE sync_target SET blocked_until = $3, failures = failures + 1, last_error = $4, turn = turn + 1 \
               WHERE provider = $1 AND turn = $2";
    Ok(tx.write(sql, &[provider.into(), turn.into(), until.into(), reason.into()]).await? > 0)
}

/// A target answers again.
///
/// # Errors
/// Those of the store.
pub async fn unblock(tx: &mut Tx, provider: i64) -> Result<(), StoreError> {
    let sql = "UPDATE sync_target SET blocked_until = NULL, failures = 0, last_error = '', turn = turn + 1 \
               WHERE provider = $1 AND (failures > 0 OR blocked_until IS NOT NULL)";
    tx.write(sql, &[provider.into()]).await?;
    Ok(())
}

/// Somebody wants a target to be told now, whatever comes of calls that are on their way.
///
/// # Errors
/// Those of the store.
pub async fn begin_anew(tx: &mut Tx, provider: i64) -> Result<(), StoreError> {
    ensure_target(tx, provider).await?;
    let sql = "UPDATE sync_target SET blocked_until = NULL, failures = 0, last_error = '', turn = turn + 1 \
               WHERE provider = $1";
    tx.write(sql, &[provider.into()]).await?;
    Ok(())
}

/// Takes the lease of a target's full sync; false when one is on its way.
///
/// # Errors
/// Those of the store.
pub async fn begin_full(
    tx: &mut Tx,
    provider: i64,
    holder: Uuid,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<bool, StoreError> {
    ensure_target(tx, provider).await?;
    // Whoever finds the lease taken asks for another run: not after it has ended.
    let lock = tx.dialect().for_update();
    tx.read(&format!("SELECT provider FROM sync_target WHERE provider = $1{lock}"), &[provider.into()]).await?;
    // The holder itself may come again: its task was started anew after a crash.
    let sql = "UPDATE sync_target SET running = $2, running_until = $3 WHERE provider = $1 \
               AND (running_until IS NULL OR running_until < $4 OR running = $2)";
    Ok(tx.write(sql, &[provider.into(), holder.into(), until.into(), now.into()]).await? > 0)
}

/// Renews the lease of a full sync; false when it is lost.
///
/// # Errors
/// Those of the store.
pub async fn renew_full(tx: &mut Tx, provider: i64, holder: Uuid, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "UPDATE sync_target SET running_until = $3 WHERE provider = $1 AND running = $2";
    Ok(tx.write(sql, &[provider.into(), holder.into(), until.into()]).await? > 0)
}

/// Somebody wanted a full sync while one was on its way, which may have passed by what they changed.
///
/// # Errors
/// Those of the store.
pub async fn want_again(tx: &mut Tx, provider: i64) -> Result<(), StoreError> {
    tx.write("UPDATE sync_target SET again = TRUE WHERE provider = $1", &[provider.into()]).await?;
    Ok(())
}

/// Ends a full sync. True when another one was wanted meanwhile.
///
/// # Errors
/// Those of the store.
pub async fn end_full(
    tx: &mut Tx,
    provider: i64,
    holder: Uuid,
    good: Option<DateTime<Utc>>,
) -> Result<bool, StoreError> {
    tx.begin_write().await?;
    let lock = tx.dialect().for_update();
    let sql = format!("SELECT again FROM sync_target WHERE provider = $1 AND running = $2{lock}");
    let row = tx.read_one(&sql, &[provider.into(), holder.into()]).await?;
    let again = row.map(|row| row.bool("again")).transpose()?.unwrap_or_default();
    let sql = "UPDATE sync_target SET running = NULL, running_until = NULL, again = FALSE, \
               last_success = COALESCE($3, last_success) WHERE provider = $1 AND running = $2";
    tx.write(sql, &[provider.into(), holder.into(), good.into()]).await?;
    Ok(again)
}
