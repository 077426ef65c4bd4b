//! Lockdowns of many users: a list, worked off in the background by a task with progress. What was done is noted user by
//! user, so that a task that is taken up again after a crash goes on where it stopped.

use super::{Done, Order, Switches, carry_out_all, record};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};
use uuid::Uuid;
use weir_core::ApiError;
use weir_events::Origin;
use weir_flow::App;
use weir_identity::{Grants, accounts};
use weir_resource::{Actor, Unit, store};
use weir_store::{
    Val,
    jobs::{self, JobCx, JobHandler, LogLevel, NewJob, RelObj},
};

/// Name of the task.
pub const ACTOR: &str = "lock_down_users";
/// Most users of one list.
pub const MOST: usize = 50_000;
/// The right to lock somebody's account.
pub const PERMISSION: &str = "authentik_core.change_user";

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Why.
    pub reason: String,
    /// What is done to each.
    pub switches: Switches,
    /// Who asks, as events tell it.
    pub actor: Value,
    /// Their name.
    pub username: String,
    /// Their security epoch: somebody who is locked down meanwhile locks nobody any more.
    pub epoch: Option<i64>,
    /// Where they ask from.
    pub client_ip: Option<String>,
    /// The brand they see.
    pub brand: Value,
}

/// A user on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Locked,
    Refused,
    Failed,
}

impl State {
    const ALL: [Self; 4] = [Self::Waiting, Self::Locked, Self::Refused, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Locked => "locked",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Whether this is a state of a user on a list.
pub fn is_state(text: &str) -> bool {
    State::ALL.iter().any(|state| state.as_str() == text)
}

/// Writes the list and its task: the keys of both.
///
/// # Errors
/// Those of the store.
pub async fn enqueue(unit: &mut Unit<'_>, request: &Request, users: &[i64]) -> Result<(Uuid, Uuid), ApiError> {
    let (batch, job, now) = (unit.site.random.uuid(), unit.site.random.uuid(), unit.site.clock.now());
    let text = serde_json::to_string(request).map_err(anyhow::Error::new)?;
    let sql = "INSERT INTO lockdown_batch (id, job_id, actor_id, request, created) VALUES ($1, $2, $3, $4, $5)";
    let vals: [Val; 5] = [batch.into(), job.into(), unit.actor.user_id.into(), text.into(), now.into()];
    unit.tx.write(sql, &vals).await.map_err(store)?;
    for part in users.chunks(200) {
        let rows: Vec<String> = (0..part.len()).map(|i| format!("($1, ${}, $2)", i + 3)).collect();
        let sql = format!("INSERT INTO lockdown_batch_user (batch, user_id, state) VALUES {}", rows.join(", "));
        let mut vals: Vec<Val> = vec![batch.into(), State::Waiting.as_str().into()];
        vals.extend(part.iter().map(|id| Val::from(*id)));
        unit.tx.write(&sql, &vals).await.map_err(store)?;
    }
    let mut new = NewJob::new(ACTOR, json!({"batch": batch}));
    new.uid = Some(batch.to_string());
    new.rel_obj = Some(RelObj::new("weir", "lockdownbatch", batch.to_string()));
    new.description = Some(format!("Lock down {} users", users.len()));
    jobs::enqueue(&mut unit.tx, job, now, &new).await.map_err(store)?;
    Ok((batch, job))
}

/// A list as it stands.
///
/// # Errors
/// Those of the store.
pub async fn shown(
    app: &App,
    batch: Uuid,
    state: Option<&str>,
    (page, size): (u64, u64),
) -> Result<Option<(Value, Option<i64>)>, ApiError> {
    let db = &app.site.db;
    let sql = "SELECT job_id, actor_id, request, created FROM lockdown_batch WHERE id = $1";
    let Some(row) = db.read_one(sql, &[batch.into()]).await.map_err(store)? else { return Ok(None) };
    let request: Request = serde_json::from_str(&row.text("request").map_err(store)?).map_err(anyhow::Error::new)?;
    let sql = "SELECT state, COUNT(*) AS total FROM lockdown_batch_user WHERE batch = $1 GROUP BY state";
    let mut counts = serde_json::Map::from_iter(State::ALL.map(|s| (s.as_str().to_owned(), Value::from(0))));
    for row in db.read(sql, &[batch.into()]).await.map_err(store)? {
        counts.insert(row.text("state").map_err(store)?, row.int("total").map_err(store)?.into());
    }
    let sql = "SELECT b.user_id, b.state, b.lockdown, b.message, u.username FROM lockdown_batch_user b \
               LEFT JOIN identity_user u ON u.id = b.user_id WHERE b.batch = $1 \
               AND (CAST($2 AS TEXT) IS NULL OR b.state = $2) ORDER BY b.user_id LIMIT $3 OFFSET $4";
    let number = |n: u64| Val::from(i64::try_from(n).unwrap_or(i64::MAX));
    let vals = [batch.into(), state.into(), number(size), number((page - 1).saturating_mul(size))];
    let mut users = Vec::new();
    for row in db.read(sql, &vals).await.map_err(store)? {
        users.push(json!({
            "pk": row.int("user_id").map_err(store)?,
            "username": row.opt_text("username").map_err(store)?,
            "state": row.text("state").map_err(store)?,
            "lockdown": row.opt_text("lockdown").map_err(store)?,
            "message": row.text("message").map_err(store)?,
        }));
    }
    let created = row.time("created").map_err(store)?;
    let value = json!({
        "id": batch,
        "task": row.text("job_id").map_err(store)?,
        "reason": request.reason,
        "actor": request.actor,
        "switches": request.switches,
        "created": created.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "counts": counts,
        "users": users,
    });
    Ok(Some((value, row.opt_int("actor_id").map_err(store)?)))
}

/// Works lists off.
pub struct LockDownUsers(pub Arc<App>);

/// Takes a user off the list, in the transaction that locks them; false when another worker of the same list did.
pub(super) async fn settle(unit: &mut Unit<'_>, batch: Uuid, user: i64, lockdown: Uuid) -> Result<bool, ApiError> {
    let sql =
        "UPDATE lockdown_batch_user SET state = $1, lockdown = $2 WHERE batch = $3 AND user_id = $4 AND state = $5";
    let (locked, waiting) = (State::Locked.as_str(), State::Waiting.as_str());
    let vals = [locked.into(), lockdown.into(), batch.into(), user.into(), waiting.into()];
    Ok(unit.tx.write(sql, &vals).await.map_err(store)? > 0)
}

/// Users looked up at once.
const STEP: i64 = 200;
/// Users locked by one transaction: most of the time goes into waiting for the disk. Who is locked waits as long.
const PART: usize = 20;
/// Transactions at once, each waiting for systems that are told.
const AT_ONCE: usize = 4;

#[async_trait]
impl JobHandler for LockDownUsers {
    async fn run(&self, cx: &JobCx) -> Result<(), anyhow::Error> {
        let batch = cx.args().get("batch").and_then(Value::as_str).unwrap_or_default().parse::<Uuid>()?;
        let sql = "SELECT actor_id, request FROM lockdown_batch WHERE id = $1";
        let Some(row) = cx.db().read_one(sql, &[batch.into()]).await? else { anyhow::bail!("the list is gone") };
        let request: Request = serde_json::from_str(&row.text("request")?)?;
        let run = Arc::new(Run { app: Arc::clone(&self.0), batch, request, actor: row.opt_int("actor_id")? });
        // Made before several transactions want to make it, of which each would wait for the one before.
        let mut unit = Unit::new(&self.0.site, Actor::system());
        record::seal(&mut unit).await?;
        unit.commit().await?;
        let total = count(cx, batch, None).await?.max(1);
        let mut after = i64::MIN;
        loop {
            let sql = "SELECT user_id FROM lockdown_batch_user WHERE batch = $1 AND state = $2 AND user_id > $3 \
                       ORDER BY user_id LIMIT $4";
            let vals = [batch.into(), State::Waiting.as_str().into(), after.into(), STEP.into()];
            let rows = cx.db().read(sql, &vals).await?;
            let Some(last) = rows.last() else { break };
            after = last.int("user_id")?;
            let users = rows.iter().map(|row| row.int("user_id")).collect::<Result<Vec<_>, _>>()?;
            Run::several(&run, cx, &users).await?;
            let waiting = count(cx, batch, Some(State::Waiting)).await?;
            // As far as a list can be long, the share is exact enough.
            cx.progress(1.0 - waiting as f64 / total as f64);
        }
        let mut result = json!({"batch": batch});
        for state in [State::Locked, State::Refused, State::Failed] {
            let number = count(cx, batch, Some(state)).await?;
            if let Some(result) = result.as_object_mut() {
                result.insert(state.as_str().to_owned(), number.into());
            }
        }
        cx.log(LogLevel::Info, "The list is worked off", result.clone());
        cx.set_result(result);
        Ok(())
    }

    fn time_limit(&self) -> Duration {
        // What is left of a longer list waits for the next attempt.
        Duration::from_secs(4 * 3600)
    }
}

async fn count(cx: &JobCx, batch: Uuid, state: Option<State>) -> Result<i64, anyhow::Error> {
    let sql = "SELECT COUNT(*) AS total FROM lockdown_batch_user WHERE batch = $1 \
               AND (CAST($2 AS TEXT) IS NULL OR state = $2)";
    let row = cx.db().read_one(sql, &[batch.into(), state.map(State::as_str).into()]).await?;
    Ok(row.map(|row| row.int("total")).transpose()?.unwrap_or(0))
}

struct Run {
    app: Arc<App>,
    batch: Uuid,
    request: Request,
    actor: Option<i64>,
}

/// Users who were not locked, each with the reason; none for a failure that the server's log tells.
type Left = Vec<(i64, Option<&'static str>)>;

const NOT_ALLOWED: &str = "You do not have permission to lock down this account.";

impl Run {
    async fn several(run: &Arc<Self>, cx: &JobCx, users: &[i64]) -> Result<(), anyhow::Error> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut working = JoinSet::new();
        for part in users.chunks(PART) {
            let (run, part, places) = (Arc::clone(run), part.to_vec(), Arc::clone(&places));
            working.spawn(async move {
                let _place = places.acquire_owned().await;
                run.part(&part).await
            });
        }
        let mut all = Ok(());
        while let Some(ended) = working.join_next().await {
            // What was done is noted, whatever became of the others.
            match ended? {
                Ok(left) => all = all.and(run.note(cx, left).await),
                Err(error) => all = all.and(Err(error.into())),
            }
        }
        all
    }

    /// Locks some users in one transaction; one by one when that fails, so that one account spares no other.
    async fn part(&self, users: &[i64]) -> Result<Left, ApiError> {
        match self.lock_down(users).await {
            // The database is away: the task is tried again later as a whole.
            Err(error @ ApiError::Unavailable(..)) => return Err(error),
            Err(error) => tracing::warn!(?users, %error, "locking several accounts failed"),
            Ok(left) => return Ok(left),
        }
        let mut left = Left::new();
        for user in users {
            match self.lock_down(std::slice::from_ref(user)).await {
                Err(error @ ApiError::Unavailable(..)) => return Err(error),
                Err(error) => {
                    tracing::error!(user, %error, "a lockdown failed");
                    left.push((*user, None));
                }
                Ok(more) => left.extend(more),
            }
        }
        Ok(left)
    }

    /// Whoever is locked is taken off the list by the same transaction; the others are given back.
    async fn lock_down(&self, users: &[i64]) -> Result<Left, ApiError> {
        let allowed = self.allowed(users).await?;
        let refused = users.iter().filter(|user| !allowed.contains(user));
        let mut left: Left = refused.map(|user| (*user, Some(NOT_ALLOWED))).collect();
        if allowed.is_empty() {
            return Ok(left);
        }
        let origin = Origin {
            user: self.request.actor.clone(),
            user_id: self.actor,
            username: self.request.username.clone(),
            client_ip: self.request.client_ip.clone(),
            brand: self.request.brand.clone(),
            http_request: Value::Null,
        };
        let actor = Actor { origin, user_id: self.actor, epoch: self.request.epoch, request_id: String::new() };
        let order = |user: &i64| Order {
            user: *user,
            reason: self.request.reason.clone(),
            switches: self.request.switches,
            batch: Some(self.batch),
            claim: None,
        };
        let orders: Vec<Order> = allowed.iter().map(order).collect();
        match carry_out_all(&self.app, Unit::new(&self.app.site, actor), &orders).await {
            Ok(done) => {
                let lost = allowed.iter().zip(done).filter(|(_, done)| matches!(done, Done::NoTarget));
                left.extend(lost.map(|(user, _)| (*user, Some("There is no such account."))));
            }
            // Locked down while this ran.
            Err(ApiError::Unauthenticated(_)) => left.extend(allowed.iter().map(|user| (*user, Some(NOT_ALLOWED)))),
            Err(error) => return Err(error),
        }
        Ok(left)
    }

    async fn note(&self, cx: &JobCx, left: Left) -> Result<(), anyhow::Error> {
        if left.is_empty() {
            return Ok(());
        }
        let mut tx = cx.db().tx();
        for (user, refusal) in left {
            let (state, message) = match refusal {
                Some(refusal) => {
                    cx.log(LogLevel::Warning, format!("User {user} is not locked down: {refusal}"), Value::Null);
                    (State::Refused, refusal)
                }
                None => {
                    cx.log(LogLevel::Error, format!("The lockdown of user {user} failed"), Value::Null);
                    (State::Failed, "The lockdown failed; the server's log tells why.")
                }
            };
            let sql = "UPDATE lockdown_batch_user SET state = $1, message = $2 \
                       WHERE batch = $3 AND user_id = $4 AND state = $5";
            let waiting = State::Waiting.as_str();
            let vals = [state.as_str().into(), message.into(), self.batch.into(), user.into(), waiting.into()];
            tx.write(sql, &vals).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Those whom the actor may lock now: rights may be taken away while the list is worked off.
    async fn allowed(&self, users: &[i64]) -> Result<Vec<i64>, ApiError> {
        let db = &self.app.site.db;
        // The command line asks in nobody's name.
        let Some(actor) = self.actor else { return Ok(users.to_vec()) };
        let account = accounts::find(db, actor).await.map_err(store)?;
        let is_same = account.is_some_and(|a| a.is_active && self.request.epoch.is_none_or(|e| e == a.security_epoch));
        if !is_same {
            return Ok(Vec::new());
        }
        // People who are on their own list lock themselves only by their own flow, or the rest would be left over.
        let grants = Grants::load(db, actor).await.map_err(store)?;
        let may = |user: &&i64| **user != actor && grants.may(PERMISSION, Some(&user.to_string()));
        Ok(users.iter().filter(may).copied().collect())
    }
}
