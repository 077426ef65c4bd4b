//! Reading side: what the tasks API shows.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Job, JobState, LogLevel, LogLine, RelObj, full_uid};
use crate::{Db, Row, StoreError, Val, escape_like};

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// How many match in all.
    pub total: i64,
    /// Those of the page asked for.
    pub items: Vec<T>,
}

/// Filters, ordering and page of the list of jobs; the fields are the API's query parameters.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Exact name.
    pub actor_name: Option<String>,
    /// Exact name.
    pub queue_name: Option<String>,
    /// Exact state.
    pub state: Option<String>,
    /// Any of these; all when empty.
    pub aggregated_status: Vec<String>,
    /// Of the related object.
    pub rel_app_label: Option<String>,
    /// Of the related object.
    pub rel_model: Option<String>,
    /// Of the related object.
    pub rel_id: Option<String>,
    /// With or without a related object.
    pub rel_id_isnull: Option<bool>,
    /// Part of a name, state or uid.
    pub search: Option<String>,
    /// Field names, each with a `-` for descending, separated by commas; unknown ones are ignored.
    pub ordering: Option<String>,
    /// From 1.
    pub page: u32,
    /// Rows of a page.
    pub page_size: u32,
}

/// Collects conditions with their parameters.
#[derive(Default)]
pub(super) struct Conditions {
    parts: Vec<String>,
    pub(super) vals: Vec<Val>,
}

impl Conditions {
    /// A placeholder for this value.
    pub(super) fn value(&mut self, value: impl Into<Val>) -> String {
        self.vals.push(value.into());
        format!("${}", self.vals.len())
    }

    pub(super) fn equals(&mut self, column: &str, value: Option<&str>) {
        if let Some(value) = value {
            let parameter = self.value(value);
            self.parts.push(format!("{column} = {parameter}"));
        }
    }

    pub(super) fn is_null(&mut self, column: &str, value: Option<bool>) {
        if let Some(is_null) = value {
            self.parts.push(format!("{column} IS {}NULL", if is_null { "" } else { "NOT " }));
        }
    }

    pub(super) fn push(&mut self, condition: String) {
        self.parts.push(condition);
    }

    pub(super) fn search(&mut self, db: &Db, columns: &[&str], text: Option<&str>) {
        for word in text.unwrap_or_default().split_whitespace() {
            let parameter = self.value(format!("%{}%", escape_like(word)));
            let parts: Vec<String> = columns.iter().map(|column| db.dialect().like_ci(column, &parameter)).collect();
            self.parts.push(format!("({})", parts.join(" OR ")));
        }
    }

    pub(super) fn sql(&self) -> String {
        if self.parts.is_empty() { String::new() } else { format!(" WHERE {}", self.parts.join(" AND ")) }
    }
}

/// An ORDER BY list out of the allowed `(name, column)` pairs, always ending in the key.
pub(super) fn order_by(ordering: Option<&str>, allowed: &[(&str, &str)], default: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut named = Vec::new();
    for name in ordering.unwrap_or_default().split(',').map(str::trim) {
        let (name, direction) = name.strip_prefix('-').map_or((name, "ASC"), |name| (name, "DESC"));
        if let Some((_, column)) = allowed.iter().find(|(known, _)| *known == name)
            && !named.contains(&name)
        {
            named.push(name);
            parts.push(format!("{column} {direction}"));
        }
    }
    if parts.is_empty() {
        parts.push(default.to_owned());
    }
    format!(" ORDER BY {}, id", parts.join(", "))
}

pub(super) fn window(conditions: &mut Conditions, page: u32, page_size: u32) -> String {
    let size = i64::from(page_size.max(1));
    let offset = i64::from(page.max(1) - 1) * size;
    let (size, offset) = (conditions.value(size), conditions.value(offset));
    format!(" LIMIT {size} OFFSET {offset}")
}

const COLUMNS: &str = "id, queue_name, actor_name, uid, args, description, rel_app_label, rel_model, rel_id, state, \
                       aggregated_status, eta, attempts, run, progress, result, created, mtime";

const ORDERINGS: &[(&str, &str)] = &[
    ("message_id", "id"),
    ("queue_name", "queue_name"),
    ("actor_name", "actor_name"),
    ("state", "state"),
    ("mtime", "mtime"),
    ("created", "created"),
    ("retries", "attempts"),
    ("eta", "eta"),
    ("uid", "(actor_name || ':' || uid)"),
    ("rel_obj_id", "rel_id"),
    ("aggregated_status", "aggregated_status"),
    ("description", "description"),
];

/// The jobs that match, newest change first unless ordered otherwise.
pub async fn list(db: &Db, filter: &JobFilter) -> Result<Page<Job>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.equals("actor_name", filter.actor_name.as_deref());
    conditions.equals("queue_name", filter.queue_name.as_deref());
    conditions.equals("state", filter.state.as_deref());
    conditions.equals("rel_app_label", filter.rel_app_label.as_deref());
    conditions.equals("rel_model", filter.rel_model.as_deref());
    conditions.equals("rel_id", filter.rel_id.as_deref());
    conditions.is_null("rel_id", filter.rel_id_isnull);
    if !filter.aggregated_status.is_empty() {
        let parameters: Vec<String> = filter.aggregated_status.iter().map(|status| conditions.value(status)).collect();
        conditions.push(format!("aggregated_status IN ({})", parameters.join(", ")));
    }
    let searched = ["queue_name", "actor_name", "state", "uid", "aggregated_status"];
    conditions.search(db, &searched, filter.search.as_deref());
    let matching = conditions.sql();
    let count = db.read_one(&format!("SELECT COUNT(*) AS total FROM job{matching}"), &conditions.vals).await?;
    let total = count.map_or(Ok(0), |row| row.int("total"))?;
    let order = order_by(filter.ordering.as_deref(), ORDERINGS, "mtime DESC");
    let window = window(&mut conditions, filter.page, filter.page_size);
    let rows = db.read(&format!("SELECT {COLUMNS} FROM job{matching}{order}{window}"), &conditions.vals).await?;
    Ok(Page { total, items: with_logs(db, &rows).await? })
}

/// The job of this id.
pub async fn find(db: &Db, id: Uuid) -> Result<Option<Job>, StoreError> {
    let rows = db.read(&format!("SELECT {COLUMNS} FROM job WHERE id = $1"), &[id.into()]).await?;
    Ok(with_logs(db, &rows).await?.into_iter().next())
}

async fn with_logs(db: &Db, rows: &[Row]) -> Result<Vec<Job>, StoreError> {
    let mut logs: BTreeMap<(Uuid, i64), Vec<LogLine>> = BTreeMap::new();
    // Both databases bound the number of parameters.
    for chunk in rows.chunks(500) {
        let mut conditions = Conditions::default();
        let parameters =
            chunk.iter().map(|row| Ok(conditions.value(row.text("id")?))).collect::<Result<Vec<_>, StoreError>>()?;
        let sql = format!(
            "SELECT job_id, run, created, level, logger, event, attributes FROM job_log \
             WHERE job_id IN ({}) ORDER BY id",
            parameters.join(", ")
        );
        for row in db.read(&sql, &conditions.vals).await? {
            logs.entry((row.uuid("job_id")?, row.int("run")?)).or_default().push(LogLine {
                timestamp: row.time("created")?,
                level: LogLevel::parse(&row.text("level")?),
                logger: row.text("logger")?,
                event: row.text("event")?,
                attributes: row.json("attributes")?,
            });
        }
    }
    rows.iter()
        .map(|row| {
            let (id, run) = (row.uuid("id")?, row.int("run")?);
            let mut job = job(row)?;
            job.logs = logs.remove(&(id, run)).unwrap_or_default();
            job.previous_logs = logs.remove(&(id, run - 1)).unwrap_or_default();
            Ok(job)
        })
        .collect()
}

fn job(row: &Row) -> Result<Job, StoreError> {
    let actor_name = row.text("actor_name")?;
    let state = row.text("state")?;
    Ok(Job {
        id: row.uuid("id")?,
        queue_name: row.text("queue_name")?,
        uid: full_uid(&actor_name, &row.text("uid")?),
        actor_name,
        args: row.json("args")?,
        description: row.opt_text("description")?,
        rel_obj: rel_obj(row)?,
        state: JobState::parse(&state)
            .ok_or_else(|| StoreError::Internal(anyhow::anyhow!("job in unknown state {state}")))?,
        aggregated_status: row.text("aggregated_status")?,
        eta: row.opt_time("eta")?,
        retries: (row.int("attempts")? - 1).max(0),
        progress: row.opt_float("progress")?,
        result: row.opt_json("result")?,
        created: row.time("created")?,
        mtime: row.time("mtime")?,
        logs: Vec::new(),
        previous_logs: Vec::new(),
    })
}

pub(super) fn rel_obj(row: &Row) -> Result<Option<RelObj>, StoreError> {
    Ok(match (row.opt_text("rel_app_label")?, row.opt_text("rel_model")?, row.opt_text("rel_id")?) {
        (Some(app_label), Some(model), Some(id)) => Some(RelObj { app_label, model, id }),
        _ => None,
    })
}

/// How many jobs have each aggregated status; those without any are missing.
pub async fn status_counts(db: &Db) -> Result<BTreeMap<String, i64>, StoreError> {
    let sql = "SELECT aggregated_status, COUNT(*) AS total FROM job GROUP BY aggregated_status";
    db.read(sql, &[]).await?.iter().map(|row| Ok((row.text("aggregated_status")?, row.int("total")?))).collect()
}

/// A process that works on jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its name: host, process and start.
    pub id: String,
    /// The program's version.
    pub version: String,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When it was last heard of.
    pub heartbeat: DateTime<Utc>,
}

/// The workers heard of within the last minute.
pub async fn workers(db: &Db, now: DateTime<Utc>) -> Result<Vec<Worker>, StoreError> {
    let sql = "SELECT id, version, started, heartbeat FROM worker WHERE heartbeat >= $1 ORDER BY id";
    let rows = db.read(sql, &[(now - TimeDelta::seconds(60)).into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(Worker {
                id: row.text("id")?,
                version: row.text("version")?,
                started: row.time("started")?,
                heartbeat: row.time("heartbeat")?,
            })
        })
        .collect()
}
