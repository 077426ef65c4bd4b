//! Writing side of the queue: enqueue, take, renew, settle.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{LogLevel, LogLine, NewJob};
use crate::{Db, Durability, Row, StoreError, Tx, Val};

/// Adds a job; it becomes visible to workers when the transaction commits.
pub async fn enqueue(tx: &mut Tx, id: Uuid, now: DateTime<Utc>, job: &NewJob) -> Result<(), StoreError> {
    let due = job.eta.map_or(now, |eta| eta.max(now));
    let rel = job.rel_obj.as_ref();
    tx.write(
        "INSERT INTO job (id, queue_name, actor_name, uid, args, description, rel_app_label, rel_model, rel_id, \
         schedule_id, state, aggregated_status, eta, due, max_retries, created, mtime) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'queued', 'queued', $11, $12, $13, $14, $14)",
        &[
            id.into(),
            Val::from(&job.queue_name),
            Val::from(&job.actor_name),
            Val::from(job.uid.as_deref().unwrap_or_default()),
            Val::from(&job.args),
            Val::from(job.description.as_deref()),
            Val::from(rel.map(|rel| rel.app_label.as_str())),
            Val::from(rel.map(|rel| rel.model.as_str())),
            Val::from(rel.map(|rel| rel.id.as_str())),
            job.schedule_id.into(),
            job.eta.into(),
            due.into(),
            job.max_retries.into(),
            now.into(),
        ],
    )
    .await?;
    tx.wake_jobs();
    Ok(())
}

/// Starts a finished or rejected job again. False when it is in no such state.
pub async fn retry(tx: &mut Tx, id: Uuid, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let changed = tx
        .write(
            "UPDATE job SET state = 'queued', aggregated_status = 'queued', eta = NULL, due = $2, attempts = 0, \
             progress = NULL, result = NULL, mtime = $2 WHERE id = $1 AND state IN ('done', 'rejected')",
            &[id.into(), now.into()],
        )
        .await?;
    if changed == 0 {
        let known = tx.read_one("SELECT id FROM job WHERE id = $1", &[id.into()]).await?;
        return if known.is_some() { Ok(false) } else { Err(StoreError::NotFound) };
    }
    tx.wake_jobs();
    Ok(true)
}

/// Removes finished and rejected jobs that have not changed since `before`; returns how many.
pub async fn purge(tx: &mut Tx, before: DateTime<Utc>) -> Result<u64, StoreError> {
    tx.write("DELETE FROM job WHERE mtime < $1 AND state IN ('done', 'rejected')", &[before.into()]).await
}

/// A job in a worker's hands.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) id: Uuid,
    pub(super) actor_name: String,
    pub(super) args: Value,
    pub(super) attempts: i64,
    pub(super) max_retries: i64,
    /// Proves, together with the worker's name, that the lease is still ours.
    pub(super) run: i64,
}

impl Taken {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.uuid("id")?,
            actor_name: row.text("actor_name")?,
            args: row.json("args")?,
            attempts: row.int("attempts")?,
            max_retries: row.int("max_retries")?,
            run: row.int("run")?,
        })
    }
}

/// Takes up to `limit` due jobs of these actors. Actors unknown to this worker are left to newer ones.
pub(super) async fn take(
    db: &Db,
    worker: &str,
    actors: &[&str],
    limit: usize,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<Vec<Taken>, StoreError> {
    if actors.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    // Idle workers must not queue for the one writer.
    let due = "SELECT id FROM job WHERE state = 'queued' AND due <= $1 LIMIT 1";
    if db.read_one(due, &[now.into()]).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut vals: Vec<Val> =
        vec![now.into(), worker.into(), (now + lease).into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    let names: Vec<String> = (0..actors.len()).map(|index| format!("${}", index + 5)).collect();
    vals.extend(actors.iter().map(|actor| Val::from(*actor)));
    let mut tx = db.tx();
    tx.set_durability(Durability::Relaxed);
    // Materialised, or PostgreSQL may run the inner query more than once and lock more than it updates.
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT id FROM job WHERE state = 'queued' AND due <= $1 AND actor_name IN ({}) \
         ORDER BY due, id LIMIT $4{}) \
         UPDATE job SET state = 'running', aggregated_status = 'running', worker_id = $2, lease_until = $3, \
         attempts = attempts + 1, run = run + 1, progress = NULL, mtime = $1 WHERE id IN (SELECT id FROM picked) \
         RETURNING id, actor_name, args, attempts, max_retries, run",
        names.join(", "),
        db.dialect().for_update_skip_locked()
    );
    let rows = tx.write_returning(&sql, &vals).await?;
    let taken = rows.iter().map(Taken::from_row).collect::<Result<Vec<_>, _>>()?;
    for job in taken.iter().filter(|job| job.run > 2) {
        tx.write("DELETE FROM job_log WHERE job_id = $1 AND run < $2", &[job.id.into(), (job.run - 1).into()]).await?;
    }
    tx.commit().await?;
    Ok(taken)
}

/// Renews the lease and stores what the job has logged meanwhile. False when the lease is lost.
pub(super) async fn renew(
    db: &Db,
    worker: &str,
    job: &Taken,
    progress: Option<f64>,
    lines: &[LogLine],
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<bool, StoreError> {
    let mut tx = db.tx();
    tx.set_durability(Durability::Relaxed);
    let held = tx
        .write(
            "UPDATE job SET lease_until = $4, progress = $5, mtime = $6 \
             WHERE id = $1 AND run = $2 AND worker_id = $3 AND state = 'running'",
            &[job.id.into(), job.run.into(), worker.into(), (now + lease).into(), progress.into(), now.into()],
        )
        .await?;
    if held == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    write_lines(&mut tx, job, lines).await?;
    tx.commit().await?;
    Ok(true)
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Done {
        worst: LogLevel,
        result: Option<Value>,
    },
    Failed {
        reason: String,
    },
    /// It asked to wait. The attempt does not count and leaves no log, so that those of earlier ones stay.
    PutOff(DateTime<Utc>),
    /// Not its fault: the worker is going away. The attempt does not count.
    Released,
}

/// Ends an attempt, unless the lease was lost.
pub(super) async fn settle(
    db: &Db,
    worker: &str,
    job: &Taken,
    outcome: &Outcome,
    lines: &[LogLine],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut tx = db.tx();
    let owner = [Val::from(job.id), Val::from(job.run), Val::from(worker), Val::from(now)];
    let (set, more): (&str, Vec<Val>) = match outcome {
        Outcome::Done { worst, result } => (
            "state = 'done', aggregated_status = $5, result = $6, progress = NULL",
            vec![worst.status().into(), result.clone().into()],
        ),
        Outcome::Failed { .. } if job.attempts > job.max_retries => {
            ("state = 'rejected', aggregated_status = 'rejected'", Vec::new())
        }
        Outcome::Failed { .. } => (
            "state = 'queued', aggregated_status = 'queued', eta = $5, due = $5",
            vec![(now + backoff(job.attempts)).into()],
        ),
        Outcome::PutOff(until) => (
            "state = 'queued', aggregated_status = 'queued', eta = $5, due = $5, attempts = attempts - 1, run = run - 1",
            vec![(*until).into()],
        ),
        Outcome::Released => {
            ("state = 'queued', aggregated_status = 'queued', due = $4, attempts = attempts - 1", Vec::new())
        }
    };
    let sql = format!(
        "UPDATE job SET {set}, worker_id = NULL, lease_until = NULL, mtime = $4 \
         WHERE id = $1 AND run = $2 AND worker_id = $3 AND state = 'running'"
    );
    if tx.write(&sql, &[owner.as_slice(), &more].concat()).await? == 0 {
        return tx.rollback().await;
    }
    if !matches!(outcome, Outcome::PutOff(_)) {
        write_lines(&mut tx, job, lines).await?;
    }
    if let Outcome::Failed { reason } = outcome {
        let line = LogLine {
            timestamp: now,
            level: LogLevel::Error,
            logger: job.actor_name.clone(),
            event: reason.clone(),
            attributes: serde_json::json!({ "attempt": job.attempts }),
        };
        write_lines(&mut tx, job, std::slice::from_ref(&line)).await?;
    }
    tx.commit().await
}

/// Gives jobs back whose worker no longer renews its lease. A job that kills its workers runs out of attempts too.
pub(super) async fn reclaim(db: &Db, now: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = "SELECT id, actor_name, args, attempts, max_retries, run, worker_id FROM job \
               WHERE lease_until < $1 LIMIT 100";
    for row in db.read(sql, &[now.into()]).await? {
        let outcome = Outcome::Failed { reason: "The worker stopped before the task had ended.".to_owned() };
        let worker = row.opt_text("worker_id")?.unwrap_or_default();
        settle(db, &worker, &Taken::from_row(&row)?, &outcome, &[], now).await?;
    }
    Ok(())
}

/// 15 s, 30 s, 1 min … at most an hour.
fn backoff(attempts: i64) -> TimeDelta {
    let doublings = u32::try_from(attempts.clamp(1, 9) - 1).unwrap_or_default();
    TimeDelta::seconds((15_i64 << doublings).min(3600))
}

async fn write_lines(tx: &mut Tx, job: &Taken, lines: &[LogLine]) -> Result<(), StoreError> {
    for line in lines {
        tx.write(
            "INSERT INTO job_log (job_id, run, created, level, logger, event, attributes) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[
                job.id.into(),
                job.run.into(),
                line.timestamp.into(),
                line.level.as_str().into(),
                clean(&line.logger).into(),
                clean(&line.event).into(),
                clean_json(&line.attributes).into(),
            ],
        )
        .await?;
    }
    Ok(())
}

/// A log line must never be the reason that a job cannot end.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn clean_json(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => Value::Array(items.iter().map(clean_json).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (clean(key), clean_json(value))).collect())
        }
        other => other.clone(),
    }
}
