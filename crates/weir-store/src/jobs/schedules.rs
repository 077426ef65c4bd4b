//! Schedules: rows that enqueue a job whenever their crontab says so.

use chrono::{DateTime, Utc};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    DEFAULT_QUEUE, NewJob, Page, RelObj, enqueue, full_uid,
    query::{Conditions, order_by, rel_obj, window},
};
use crate::{Db, Row, StoreError, Tx, Val};

/// A schedule that the program or an object wants to exist.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    /// Name of a schedule of the system; None for one of an object.
    pub identifier: Option<String>,
    /// Which handler its jobs run.
    pub actor_name: String,
    /// Tells the schedules of one actor apart.
    pub uid: Option<String>,
    /// The queue of its jobs.
    pub queue_name: String,
    /// What the handler gets.
    pub args: Value,
    /// One line for the administrator.
    pub description: Option<String>,
    /// The object it belongs to.
    pub rel_obj: Option<RelObj>,
    /// Five fields, in UTC. The administrator's choice is kept when the schedule exists.
    pub crontab: String,
    /// Does it wait? The administrator's choice is kept when the schedule exists.
    pub paused: bool,
}

impl NewSchedule {
    /// A schedule of the system.
    pub fn new(identifier: impl Into<String>, actor_name: impl Into<String>, crontab: impl Into<String>) -> Self {
        Self {
            identifier: Some(identifier.into()),
            actor_name: actor_name.into(),
            uid: None,
            queue_name: DEFAULT_QUEUE.to_owned(),
            args: Value::Object(serde_json::Map::new()),
            description: None,
            rel_obj: None,
            crontab: crontab.into(),
            paused: false,
        }
    }
}

/// A schedule as the tasks API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its id.
    pub id: Uuid,
    /// Name of a schedule of the system.
    pub identifier: Option<String>,
    /// `<actor>` or `<actor>:<uid>`.
    pub uid: String,
    /// Which handler its jobs run.
    pub actor_name: String,
    /// What the handler gets.
    pub args: Value,
    /// The object it belongs to.
    pub rel_obj: Option<RelObj>,
    /// Five fields, in UTC.
    pub crontab: String,
    /// Does it wait?
    pub paused: bool,
    /// When it sends its next job.
    pub next_run: DateTime<Utc>,
    /// One line for the administrator.
    pub description: Option<String>,
    /// Aggregated status of its newest job.
    pub last_task_status: Option<String>,
}

fn parse(crontab: &str) -> Result<Cron, String> {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(crontab)
        .map_err(|error| error.to_string())
}

/// The first time after `after` that fits; an error text for a crontab that is malformed or never fits.
pub fn next_run(crontab: &str, after: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    parse(crontab)?.find_next_occurrence(&after, false).map_err(|error| error.to_string())
}

fn next_or_invalid(crontab: &str, after: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
    next_run(crontab, after).map_err(|text| StoreError::Invalid(format!("crontab: {text}")))
}

/// The same input gives the same id on every node, so that nothing exists or is sent twice.
fn derived_id(parts: &[&str]) -> Uuid {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut bytes = [0_u8; 16];
    for (byte, hashed) in bytes.iter_mut().zip(digest.finalize()) {
        *byte = hashed;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Creates the schedule, or brings an existing one up to date but for crontab and pause. Returns its id.
pub async fn upsert(tx: &mut Tx, now: DateTime<Utc>, new: &NewSchedule) -> Result<Uuid, StoreError> {
    let next = next_or_invalid(&new.crontab, now)?;
    let uid = new.uid.as_deref().unwrap_or_default();
    let id = derived_id(&["schedule", &new.actor_name, uid]);
    let rel = new.rel_obj.as_ref();
    tx.write(
        "INSERT INTO schedule (id, identifier, actor_name, uid, queue_name, args, description, rel_app_label, \
         rel_model, rel_id, crontab, paused, next_run, created) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (id) DO UPDATE SET identifier = excluded.identifier, queue_name = excluded.queue_name, \
         args = excluded.args, description = excluded.description, rel_app_label = excluded.rel_app_label, \
         rel_model = excluded.rel_model, rel_id = excluded.rel_id",
        &[
            id.into(),
            Val::from(new.identifier.as_deref()),
            Val::from(&new.actor_name),
            uid.into(),
            Val::from(&new.queue_name),
            Val::from(&new.args),
            Val::from(new.description.as_deref()),
            Val::from(rel.map(|rel| rel.app_label.as_str())),
            Val::from(rel.map(|rel| rel.model.as_str())),
            Val::from(rel.map(|rel| rel.id.as_str())),
            Val::from(&new.crontab),
            new.paused.into(),
            next.into(),
            now.into(),
        ],
    )
    .await?;
    Ok(id)
}

/// Changes crontab, pause or both; what is None stays.
pub async fn update(
    tx: &mut Tx,
    id: Uuid,
    now: DateTime<Utc>,
    crontab: Option<&str>,
    paused: Option<bool>,
) -> Result<(), StoreError> {
    let next = crontab.map(|crontab| next_or_invalid(crontab, now)).transpose()?;
    let changed = tx
        .write(
            "UPDATE schedule SET crontab = COALESCE($2, crontab), next_run = COALESCE($3, next_run), \
             paused = COALESCE($4, paused) WHERE id = $1",
            &[id.into(), crontab.into(), next.into(), paused.into()],
        )
        .await?;
    if changed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

/// Removes one schedule; its jobs stay.
pub async fn remove(tx: &mut Tx, id: Uuid) -> Result<(), StoreError> {
    if tx.write("DELETE FROM schedule WHERE id = $1", &[id.into()]).await? == 0 {
        return Err(StoreError::NotFound);
    }
    Ok(())
}

/// Removes the schedules of an object that goes away.
pub async fn remove_of(tx: &mut Tx, object: &RelObj) -> Result<u64, StoreError> {
    tx.write(
        "DELETE FROM schedule WHERE rel_app_label = $1 AND rel_model = $2 AND rel_id = $3",
        &[Val::from(&object.app_label), Val::from(&object.model), Val::from(&object.id)],
    )
    .await
}

/// Enqueues the schedule's job now, paused or not. Returns the job's id.
pub async fn send(tx: &mut Tx, id: Uuid, now: DateTime<Utc>) -> Result<Uuid, StoreError> {
    tx.begin_write().await?;
    let sql = format!("SELECT {COLUMNS} FROM schedule WHERE id = $1");
    let row = tx.read_one(&sql, &[id.into()]).await?.ok_or(StoreError::NotFound)?;
    let job = derived_id(&["send", &id.to_string(), &now.timestamp_micros().to_string()]);
    match enqueue(tx, job, now, &job_of(&row)?).await {
        Ok(()) => Ok(job),
        other => other.map(|()| job),
    }
}

/// Enqueues what is due. Times missed while no worker ran count once.
pub(super) async fn tick(db: &Db, now: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM schedule WHERE next_run <= $1 AND paused = FALSE ORDER BY next_run");
    for row in db.read(&sql, &[now.into()]).await? {
        let (id, crontab, planned) = (row.uuid("id")?, row.text("crontab")?, row.time("next_run")?);
        let Ok(next) = next_run(&crontab, now) else {
            tracing::warn!(schedule = %id, "a schedule's crontab cannot be read");
            continue;
        };
        let mut tx = db.tx();
        // The condition lets one node win; the job's derived id is the second fence.
        let won = tx
            .write(
                "UPDATE schedule SET next_run = $3 WHERE id = $1 AND next_run = $2 AND paused = FALSE",
                &[id.into(), planned.into(), next.into()],
            )
            .await?;
        if won == 0 {
            tx.rollback().await?;
            continue;
        }
        let job = derived_id(&["tick", &id.to_string(), &planned.timestamp_micros().to_string()]);
        match enqueue(&mut tx, job, now, &job_of(&row)?).await {
            Ok(()) => tx.commit().await?,
            // This very time was sent before somebody set the crontab anew: move on without it.
            Err(StoreError::Conflict { .. }) => {
                tx.rollback().await?;
                skip(db, id, planned, next).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn skip(db: &Db, id: Uuid, planned: DateTime<Utc>, next: DateTime<Utc>) -> Result<(), StoreError> {
    let mut tx = db.tx();
    let sql = "UPDATE schedule SET next_run = $3 WHERE id = $1 AND next_run = $2";
    tx.write(sql, &[id.into(), planned.into(), next.into()]).await?;
    tx.commit().await
}

const COLUMNS: &str = "id, identifier, actor_name, uid, queue_name, args, description, rel_app_label, rel_model, \
                       rel_id, crontab, paused, next_run";

/// The status of the newest job of each schedule comes with it.
const LAST_STATUS: &str = "(SELECT aggregated_status FROM job WHERE schedule_id = schedule.id \
                           ORDER BY job.created DESC, job.id DESC LIMIT 1) AS last_task_status";

fn job_of(row: &Row) -> Result<NewJob, StoreError> {
    let uid = row.text("uid")?;
    Ok(NewJob {
        queue_name: row.text("queue_name")?,
        uid: if uid.is_empty() { None } else { Some(uid) },
        rel_obj: rel_obj(row)?,
        description: row.opt_text("description")?,
        schedule_id: Some(row.uuid("id")?),
        ..NewJob::new(row.text("actor_name")?, row.json("args")?)
    })
}

fn schedule(row: &Row) -> Result<Schedule, StoreError> {
    let actor_name = row.text("actor_name")?;
    Ok(Schedule {
        id: row.uuid("id")?,
        identifier: row.opt_text("identifier")?,
        uid: full_uid(&actor_name, &row.text("uid")?),
        actor_name,
        args: row.json("args")?,
        rel_obj: rel_obj(row)?,
        crontab: row.text("crontab")?,
        paused: row.bool("paused")?,
        next_run: row.time("next_run")?,
        description: row.opt_text("description")?,
        last_task_status: row.opt_text("last_task_status")?,
    })
}

/// Filters, ordering and page of the list of schedules; the fields are the API's query parameters.
#[derive(Clone, Debug, Default)]
pub struct ScheduleFilter {
    /// Exact name.
    pub actor_name: Option<String>,
    /// Waiting or not.
    pub paused: Option<bool>,
    /// Of the related object.
    pub rel_app_label: Option<String>,
    /// Of the related object.
    pub rel_model: Option<String>,
    /// Of the related object.
    pub rel_id: Option<String>,
    /// With or without a related object.
    pub rel_id_isnull: Option<bool>,
    /// Part of a name or of the description.
    pub search: Option<String>,
    /// Field names, each with a `-` for descending, separated by commas; unknown ones are ignored.
    pub ordering: Option<String>,
    /// From 1.
    pub page: u32,
    /// Rows of a page.
    pub page_size: u32,
}

const ORDERINGS: &[(&str, &str)] = &[
    ("id", "id"),
    ("identifier", "identifier"),
    ("uid", "(actor_name || ':' || uid)"),
    ("actor_name", "actor_name"),
    ("rel_obj_id", "rel_id"),
    ("crontab", "crontab"),
    ("paused", "paused"),
    ("next_run", "next_run"),
    ("description", "description"),
];

/// The schedules that match, next one first unless ordered otherwise.
pub async fn list(db: &Db, filter: &ScheduleFilter) -> Result<Page<Schedule>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.equals("actor_name", filter.actor_name.as_deref());
    conditions.equals("rel_app_label", filter.rel_app_label.as_deref());
    conditions.equals("rel_model", filter.rel_model.as_deref());
    conditions.equals("rel_id", filter.rel_id.as_deref());
    conditions.is_null("rel_id", filter.rel_id_isnull);
    if let Some(paused) = filter.paused {
        let parameter = conditions.value(paused);
        conditions.push(format!("paused = {parameter}"));
    }
    conditions.search(db, &["actor_name", "uid", "identifier", "description"], filter.search.as_deref());
    let matching = conditions.sql();
    let count = db.read_one(&format!("SELECT COUNT(*) AS total FROM schedule{matching}"), &conditions.vals).await?;
    let total = count.map_or(Ok(0), |row| row.int("total"))?;
    let order = order_by(filter.ordering.as_deref(), ORDERINGS, "next_run ASC");
    let window = window(&mut conditions, filter.page, filter.page_size);
    let sql = format!("SELECT {COLUMNS}, {LAST_STATUS} FROM schedule{matching}{order}{window}");
    let rows = db.read(&sql, &conditions.vals).await?;
    Ok(Page { total, items: rows.iter().map(schedule).collect::<Result<_, _>>()? })
}

/// The schedule of this id.
pub async fn find(db: &Db, id: Uuid) -> Result<Option<Schedule>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, {LAST_STATUS} FROM schedule WHERE id = $1");
    db.read_one(&sql, &[id.into()]).await?.map(|row| schedule(&row)).transpose()
}

/// All schedules, without the status of their jobs.
pub async fn all(tx: &mut Tx) -> Result<Vec<Schedule>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, NULL AS last_task_status FROM schedule ORDER BY actor_name, uid, id");
    tx.read(&sql, &[]).await?.iter().map(schedule).collect()
}
