//! Background work: tasks with their logs, schedules, workers.

use crate::{Access, Call, Reply, Route, error};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_resource::{Page, Unit, search_words, store};
use weir_store::jobs::{
    self, Job, JobFilter, JobState, LogLine, RelObj,
    schedules::{self, Schedule, ScheduleFilter},
};

const VIEW: Access = Access::Global("authentik_rbac.view_system_tasks");
const RUN: Access = Access::Global("authentik_rbac.run_system_tasks");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("tasks_tasks_list", VIEW, list),
        Route::new("tasks_tasks_retrieve", VIEW, retrieve),
        Route::new("tasks_tasks_retry_create", Access::ByKind, retry),
        Route::new("tasks_tasks_status_retrieve", VIEW, status),
        Route::new("tasks_workers_list", VIEW, workers),
        Route::new("tasks_schedules_list", VIEW, schedule_list),
        Route::new("tasks_schedules_retrieve", VIEW, schedule_retrieve),
        Route::new("tasks_schedules_update", RUN, schedule_update),
        Route::new("tasks_schedules_partial_update", RUN, schedule_partial_update),
        Route::new("tasks_schedules_send_create", RUN, schedule_send),
    ]
}

/// States and outcomes by which tasks are counted.
const COUNTED: [&str; 10] =
    ["queued", "consumed", "preprocess", "running", "postprocess", "rejected", "done", "info", "warning", "error"];

fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

fn log(line: &LogLine) -> Value {
    json!({
        "timestamp": time(line.timestamp),
        "log_level": line.level.as_str(),
        "logger": line.logger,
        "event": line.event,
        "attributes": if line.attributes.is_object() { line.attributes.clone() } else { json!({}) },
    })
}

fn rel(object: Option<&RelObj>) -> (&str, &str, Option<&str>) {
    object.map_or(("", "", None), |o| (o.app_label.as_str(), o.model.as_str(), Some(o.id.as_str())))
}

fn shown(job: &Job) -> Map {
    let (app, model, id) = rel(job.rel_obj.as_ref());
    let value = json!({
        "message_id": job.id,
        "queue_name": job.queue_name,
        "actor_name": job.actor_name,
        "state": job.state.as_str(),
        "mtime": time(job.mtime),
        "retries": job.retries,
        "eta": job.eta.map(time),
        "rel_obj_app_label": app,
        "rel_obj_model": model,
        "rel_obj_id": id,
        "uid": job.uid,
        "logs": job.logs.iter().map(log).collect::<Vec<_>>(),
        "previous_logs": job.previous_logs.iter().map(log).collect::<Vec<_>>(),
        "aggregated_status": job.aggregated_status,
        "description": job.description,
    });
    value.as_object().cloned().unwrap_or_default()
}

fn shown_schedule(schedule: &Schedule) -> Map {
    let (app, model, id) = rel(schedule.rel_obj.as_ref());
    let value = json!({
        "id": schedule.id,
        "identifier": schedule.identifier,
        "uid": schedule.uid,
        "actor_name": schedule.actor_name,
        "rel_obj_app_label": app,
        "rel_obj_model": model,
        "rel_obj_id": id,
        "crontab": schedule.crontab,
        "paused": schedule.paused,
        "next_run": time(schedule.next_run),
        "description": schedule.description,
        "last_task_status": schedule.last_task_status,
    });
    value.as_object().cloned().unwrap_or_default()
}

/// A text parameter that filters exactly.
fn wanted(call: &Call, name: &str) -> Option<String> {
    call.request.parameter(name).filter(|v| !v.is_empty()).map(str::to_owned)
}

fn numbers(call: &Call) -> Result<(u64, u64), ApiError> {
    let (page, size) = call.list_query().page(&call.snapshot)?;
    // Further pages cannot exist, and must not overflow the store's numbers.
    if page > 1_000_000_000 { Err(no_page()) } else { Ok((page, size)) }
}

fn no_page() -> ApiError {
    ApiError::NotFound("Invalid page.".to_owned())
}

fn page(current: u64, size: u64, total: i64, results: Vec<Map>) -> Result<Reply, ApiError> {
    let count = u64::try_from(total).unwrap_or_default();
    if current > 1 && (current - 1).saturating_mul(size) >= count {
        return Err(no_page());
    }
    Ok(Reply::ok(&Page { rows: Vec::new(), count, current, size }.body(results)))
}

fn choice(name: &str, value: &str) -> ApiError {
    let shown: String = value.chars().take(200).collect();
    ApiError::field(name, format!("Select a valid choice. {shown} is not one of the available choices."))
}

async fn list(call: Call) -> Result<Reply, ApiError> {
    let (current, size) = numbers(&call)?;
    let state = wanted(&call, "state");
    if let Some(bad) = state.as_ref().filter(|s| JobState::parse(s).is_none()) {
        return Err(choice("state", bad));
    }
    let statuses = call.values("aggregated_status");
    if let Some(bad) = statuses.iter().find(|s| !COUNTED.contains(s) && JobState::parse(s).is_none()) {
        return Err(choice("aggregated_status", bad));
    }
    let filter = JobFilter {
        actor_name: wanted(&call, "actor_name"),
        queue_name: wanted(&call, "queue_name"),
        state,
        aggregated_status: statuses.into_iter().map(str::to_owned).collect(),
        rel_app_label: wanted(&call, "rel_obj_content_type__app_label"),
        rel_model: wanted(&call, "rel_obj_content_type__model"),
        rel_id: wanted(&call, "rel_obj_id"),
        rel_id_isnull: call.flag("rel_obj_id__isnull")?,
        search: search(&call)?,
        ordering: wanted(&call, "ordering"),
        page: u32::try_from(current).unwrap_or(u32::MAX),
        page_size: u32::try_from(size).unwrap_or(u32::MAX),
    };
    let found = jobs::list(&call.app.site.db, &filter).await.map_err(store)?;
    page(current, size, found.total, found.items.iter().map(shown).collect())
}

fn key(call: &Call, what: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(call.param(0)).map_err(|_| error::no_object(what))
}

async fn retrieve(call: Call) -> Result<Reply, ApiError> {
    let id = key(&call, "Task")?;
    let job = jobs::find(&call.app.site.db, id).await.map_err(store)?.ok_or_else(|| error::no_object("Task"))?;
    Ok(Reply::ok(&shown(&job)))
}

async fn retry(call: Call) -> Result<Reply, ApiError> {
    if !call.grants.may("authentik_tasks.retry_task", None) {
        call.require("authentik_rbac.run_system_tasks")?;
    }
    let id = key(&call, "Task")?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    let again = jobs::retry(&mut unit.tx, id, call.app.site.clock.now()).await.map_err(store)?;
    if !again {
        return Err(ApiError::general("Only tasks that ended can be started again."));
    }
    unit.commit().await?;
    Ok(Reply::none())
}

async fn status(call: Call) -> Result<Reply, ApiError> {
    let counts = jobs::status_counts(&call.app.site.db).await.map_err(store)?;
    let all: Map = COUNTED.iter().map(|s| ((*s).to_owned(), counts.get(*s).copied().unwrap_or(0).into())).collect();
    Ok(Reply::ok(&all))
}

async fn workers(call: Call) -> Result<Reply, ApiError> {
    let found = jobs::workers(&call.app.site.db, call.app.site.clock.now()).await.map_err(store)?;
    let shown: Vec<Value> = found
        .iter()
        .map(|worker| {
            let matching = worker.version == weir_contract::VERSION || worker.version == env!("CARGO_PKG_VERSION");
            json!({"worker_id": worker.id, "version": worker.version, "version_matching": matching})
        })
        .collect();
    Ok(Reply::ok(&shown))
}

/// The words that are searched.
fn search(call: &Call) -> Result<Option<String>, ApiError> {
    let words = search_words(call.request.parameter("search").unwrap_or_default())?;
    Ok((!words.is_empty()).then(|| words.join(" ")))
}

async fn schedule_list(call: Call) -> Result<Reply, ApiError> {
    let (current, size) = numbers(&call)?;
    let filter = ScheduleFilter {
        actor_name: wanted(&call, "actor_name"),
        paused: call.flag("paused")?,
        rel_app_label: wanted(&call, "rel_obj_content_type__app_label"),
        rel_model: wanted(&call, "rel_obj_content_type__model"),
        rel_id: wanted(&call, "rel_obj_id"),
        rel_id_isnull: call.flag("rel_obj_id__isnull")?,
        search: search(&call)?,
        ordering: wanted(&call, "ordering"),
        page: u32::try_from(current).unwrap_or(u32::MAX),
        page_size: u32::try_from(size).unwrap_or(u32::MAX),
    };
    let found = schedules::list(&call.app.site.db, &filter).await.map_err(store)?;
    page(current, size, found.total, found.items.iter().map(shown_schedule).collect())
}

async fn schedule(call: &Call) -> Result<Schedule, ApiError> {
    let id = key(call, "Schedule")?;
    schedules::find(&call.app.site.db, id).await.map_err(store)?.ok_or_else(|| error::no_object("Schedule"))
}

async fn schedule_retrieve(call: Call) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&shown_schedule(&schedule(&call).await?)))
}

/// A whole schedule.
#[derive(Deserialize, JsonSchema)]
struct ScheduleBody {
    /// Five fields, in UTC.
    #[schemars(length(min = 1))]
    crontab: String,
    /// Does it wait?
    #[serde(default)]
    #[schemars(with = "bool")]
    paused: Option<bool>,
}

/// A part of a schedule.
#[derive(Deserialize, JsonSchema)]
struct SchedulePatch {
    /// Five fields, in UTC.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1))]
    crontab: Option<String>,
    /// Does it wait?
    #[serde(default)]
    #[schemars(with = "bool")]
    paused: Option<bool>,
}

async fn schedule_update(mut call: Call) -> Result<Reply, ApiError> {
    let known = schedule(&call).await?;
    let body: ScheduleBody = call.typed().await?;
    change(&call, &known, Some(&body.crontab), body.paused).await
}

async fn schedule_partial_update(mut call: Call) -> Result<Reply, ApiError> {
    let known = schedule(&call).await?;
    let body: SchedulePatch = call.typed().await?;
    change(&call, &known, body.crontab.as_deref(), body.paused).await
}

async fn change(call: &Call, known: &Schedule, crontab: Option<&str>, paused: Option<bool>) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    weir_blueprints::schedules::change(&mut unit, known, crontab, paused).await?;
    unit.commit().await?;
    Ok(Reply::ok(&shown_schedule(&schedule(call).await?)))
}

async fn schedule_send(call: Call) -> Result<Reply, ApiError> {
    let known = schedule(&call).await?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    schedules::send(&mut unit.tx, known.id, call.app.site.clock.now()).await.map_err(store)?;
    unit.commit().await?;
    Ok(Reply::none())
}
