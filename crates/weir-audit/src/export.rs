//! Exports: lists as files, made in the background with the rights of whoever asked.

use crate::{EXPORT, Severity, dispatch};
use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;
use weir_core::{ApiError, Backing, Map, Operations, Resource, ResourceType, TableDef};
use weir_events::{Event, Origin, action};
use weir_flow::App;
use weir_http::{Access, Call, Reply, Route};
use weir_identity::{Grants, accounts, user};
use weir_resource::{
    Actor, Condition, Hooks, ListQuery, Presenting, Site, Stored, Unit, Visible, present, present_one, store,
};
use weir_store::{
    Val,
    jobs::{self, JobCx, JobHandler, LogLevel, NewJob},
};

/// How long a file can be fetched.
const KEPT: TimeDelta = TimeDelta::days(7);
/// Rows read at once; each lot is a part of the file.
const LOT: i64 = 500;
/// Most rows of a file, and the size at which it ends.
const MOST: usize = 50_000;
const LARGEST: usize = 64 * 1024 * 1024;
/// Exports of one person that are not ready yet.
const OPEN: i64 = 5;
/// Parameters that say how a list is shown, not what is in it.
const DISPLAY: [&str; 4] = ["format", "ordering", "page", "page_size"];
const CSV: &str = "text/csv; charset=utf-8";
const JSON: &str = "application/json";

/// A list that somebody wants as a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DataExport {
    /// Who asked.
    #[schemars(extend("readOnly" = true, "format" = "int64"))]
    pub requested_by: i64,
    /// When.
    #[schemars(extend("readOnly" = true))]
    pub requested_on: DateTime<Utc>,
    /// Kind of the objects.
    #[schemars(extend("readOnly" = true, "writeOnly" = true))]
    pub model: String,
    /// The filters.
    #[serde(default)]
    pub query_params: Map,
    /// Type of the file.
    #[schemars(extend("readOnly" = true, "writeOnly" = true))]
    pub media_type: String,
    /// The file can be fetched.
    #[schemars(extend("readOnly" = true))]
    pub completed: bool,
    /// When it is removed.
    #[schemars(extend("readOnly" = true, "writeOnly" = true))]
    pub expires: DateTime<Utc>,
}

const TABLE: TableDef =
    TableDef { table: "data_export", pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" };

impl Resource for DataExport {
    const MODEL: &'static str = "authentik_reports.dataexport";
    const PATH: &'static str = "reports/exports";
    const SCHEMA: &'static str = "DataExport";
    const VERBOSE: &'static str = "Data Export";
    const PK: &'static str = "id";
    const PARAM: &'static str = "id";
    const SEARCH: &'static [&'static str] = &["model"];
    const ORDER: &'static str = "-requested_on";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("requested_by");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = Operations { create: false, update: false, destroy: true, used_by: false };
    const AUDITED: bool = false;
}

/// See [`DataExport`].
pub(crate) struct ExportHooks;

#[async_trait]
impl Hooks for ExportHooks {
    fn narrow(&self, site: &Site, _query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
        Ok(vec![Condition::new("expires > ?", vec![site.clock.now().into()])])
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let number = |row: &Stored| row.doc.get("requested_by").and_then(Value::as_i64).unwrap_or_default();
        let ids: Vec<i64> = rows.iter().map(number).collect();
        let people = accounts::find_many(&cx.site.db, &ids).await.map_err(store)?;
        let people: BTreeMap<i64, Value> =
            people.iter().map(|a| (a.id, user::partial(a, &cx.site.installation.id))).collect();
        for (row, answer) in rows.iter().zip(answers) {
            let person = people.get(&number(row)).cloned().unwrap_or_default();
            answer.insert("requested_by".to_owned(), person);
            answer.insert("content_type".to_owned(), content_type(cx, row.text("model")));
            let ready = row.doc.get("completed") == Some(&Value::Bool(true));
            let path = if ready { file_url(&cx.site.prefix, &row.pk) } else { String::new() };
            answer.insert("file_url".to_owned(), path.into());
        }
        Ok(())
    }
}

fn file_url(prefix: &str, id: &str) -> String {
    format!("{prefix}/api/v3/weir/exports/{id}/file/")
}

fn content_type(cx: &Presenting<'_>, model: &str) -> Value {
    let (app, name) = model.split_once('.').unwrap_or_default();
    let plural = cx.site.registry.find(model).map(|kind| kind.verbose_name_plural()).unwrap_or_default();
    // The same on every node and after every restart.
    let id = model.bytes().fold(7_u32, |number, byte| number.wrapping_mul(31).wrapping_add(u32::from(byte))) >> 1;
    json!({
        "id": id, "app_label": app, "model": name, "verbose_name_plural": plural, "fully_qualified_model": model,
    })
}

/// The operations.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("core_users_export_create", Access::ByKind, |call| ask(call, "authentik_core.user")),
        Route::new("events_events_export_create", Access::ByKind, |call| ask(call, "authentik_events.event")),
        Route::new("weir_exports_file_retrieve", Access::SignedIn, file),
    ]
}

/// Notes an export and its task.
async fn ask(call: Call, model: &'static str) -> Result<Reply, ApiError> {
    let app = Arc::clone(&call.app);
    let kind = find(&app.site.registry, model)?;
    call.visible(kind)?.ok_or_else(ApiError::forbidden)?;
    let query = call.list_query();
    let mut unit = Unit::new(&app.site, call.actor());
    // Wrong filters are told now, not in the background.
    unit.list_after(kind, &query, &Visible::Some { owner: 0, keys: Vec::new() }, None, 1).await?;
    let media_type = match call.request.parameter("format") {
        None | Some("" | "csv") => CSV,
        Some("json") => JSON,
        Some(_) => return Err(ApiError::field("format", "Must be csv or json.")),
    };
    let me = call.user()?.id;
    let sql = "SELECT COUNT(*) AS n FROM data_export WHERE requested_by = $1 AND NOT completed AND expires > $2";
    let now = app.site.clock.now();
    let open = unit.tx.read_one(sql, &[me.into(), now.into()]).await.map_err(store)?;
    if open.map_or(Ok(0), |row| row.int("n")).map_err(store)? >= OPEN {
        return Err(ApiError::general(format!("{OPEN} exports are being made for you. Wait for one of them.")));
    }
    let mut parameters = Map::new();
    for (name, value) in query.parameters.iter().filter(|(_, value)| !value.is_empty()) {
        match parameters.get_mut(name) {
            Some(Value::Array(values)) => values.push(value.clone().into()),
            Some(first) => *first = json!([first, value]),
            None => drop(parameters.insert(name.clone(), value.clone().into())),
        }
    }
    let time = |time: DateTime<Utc>| Value::from(time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
    let fields = Map::from_iter([
        ("requested_by".to_owned(), me.into()),
        ("requested_on".to_owned(), time(now)),
        ("model".to_owned(), model.into()),
        ("query_params".to_owned(), Value::Object(parameters)),
        ("media_type".to_owned(), media_type.into()),
        ("completed".to_owned(), false.into()),
        ("expires".to_owned(), time(now + KEPT)),
    ]);
    let made = unit.make(find(&app.site.registry, DataExport::MODEL)?, fields, Vec::new()).await?;
    let mut job = NewJob::new(EXPORT, json!({"export": made.pk}));
    job.uid = Some(made.pk.clone());
    job.description = Some(format!("Export {}", kind.verbose_name_plural()));
    jobs::enqueue(&mut unit.tx, app.site.random.uuid(), now, &job).await.map_err(store)?;
    unit.commit().await?;
    let base_url = call.request.base_url();
    let shown = present_one(&call.presenting(&call.snapshot, &base_url), &made).await?;
    Ok(Reply::created(&Value::Object(shown)))
}

fn find(registry: &weir_core::Registry, model: &str) -> Result<&'static ResourceType, ApiError> {
    registry.find(model).ok_or_else(|| ApiError::Internal(anyhow::anyhow!("{model} is not served")))
}

/// The file, for whoever asked for it or may see all exports, and may still see objects of its kind.
async fn file(call: Call) -> Result<Reply, ApiError> {
    let id = Uuid::parse_str(call.param(0)).map_err(|_| ApiError::not_found())?;
    let db = &call.app.site.db;
    let sql = "SELECT requested_by, model, media_type FROM data_export WHERE id = $1 AND completed AND expires > $2";
    let now = call.app.site.clock.now();
    let row = db.read_one(sql, &[id.into(), now.into()]).await.map_err(store)?.ok_or_else(ApiError::not_found)?;
    let is_theirs = row.int("requested_by").map_err(store)? == call.user()?.id;
    let kind = find(&call.app.site.registry, &row.text("model").map_err(store)?)?;
    let may_view = |permission: &str| call.grants.may(permission, None);
    let is_open = may_view("authentik_reports.view_dataexport") && may_view(&kind.permission("view"));
    if !is_open && !is_theirs {
        return Err(ApiError::not_found());
    }
    call.visible(kind)?.ok_or_else(ApiError::forbidden)?;
    let sql = "SELECT content FROM data_export_part WHERE export = $1 ORDER BY part";
    let mut content = String::new();
    for part in db.read(sql, &[id.into()]).await.map_err(store)? {
        content.push_str(&part.text("content").map_err(store)?);
    }
    let is_json = row.text("media_type").map_err(store)? == JSON;
    let (media_type, ending) = if is_json { (JSON, "json") } else { (CSV, "csv") };
    let disposition = format!("attachment; filename=\"{}.{ending}\"", kind.model_name());
    let header = reqwest::header::CONTENT_DISPOSITION;
    Ok(Reply::bytes(media_type, content.into_bytes()).with(header, &disposition))
}

/// Handler of [`EXPORT`].
pub struct Export(pub Arc<App>);

#[async_trait]
impl JobHandler for Export {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let id = cx.args().get("export").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
        let Some(id) = id else { bail!("No export was named.") };
        match make(&self.0, id).await? {
            Some(made) => {
                let level = if made.cut { LogLevel::Warning } else { LogLevel::Info };
                let more = if made.cut { "; there were more" } else { "" };
                cx.log(level, format!("Wrote {} rows{more}", made.rows), Value::Null);
            }
            None => cx.log(LogLevel::Info, "The export is gone, or was made before.", Value::Null),
        }
        Ok(())
    }

    fn time_limit(&self) -> std::time::Duration {
        std::time::Duration::from_secs(3600)
    }
}

/// What was written.
pub(crate) struct Made {
    pub(crate) rows: usize,
    pub(crate) cut: bool,
}

/// Makes the file; none when there is nothing to do.
pub(crate) async fn make(engine: &App, id: Uuid) -> Result<Option<Made>> {
    let site = &engine.site;
    let sql = "SELECT requested_by, model, query_params, media_type FROM data_export WHERE id = $1 AND NOT completed";
    let Some(row) = site.db.read_one(sql, &[id.into()]).await? else { return Ok(None) };
    let (me, model) = (row.int("requested_by")?, row.text("model")?);
    let Some(account) = accounts::find(&site.db, me).await? else { return Ok(None) };
    let kind = site.registry.find(&model).with_context(|| format!("{model} is not served"))?;
    let mut unit = Unit::new(site, Actor::system());
    let grants = Grants::load(&mut unit.tx, me).await?;
    // The rights of this moment: somebody who lost them since gets nothing.
    let visible = grants.visible(kind, me).filter(|_| account.is_active);
    let Some(visible) = visible else { bail!("{} may not see these objects any more.", account.username) };
    let mut query = ListQuery::default();
    for (name, value) in row.json("query_params")?.as_object().into_iter().flatten() {
        let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        query.parameters.extend(values.iter().filter_map(|v| Some((name.clone(), v.as_str()?.to_owned()))));
    }
    query.parameters.retain(|(name, _)| !DISPLAY.contains(&name.as_str()));
    clear(engine, id).await?;
    let json = row.text("media_type")? == JSON;
    let (mut made, mut size, mut last, mut part) = (Made { rows: 0, cut: false }, 0, None, 0_i64);
    let snapshot = site.snapshot();
    loop {
        let lot = unit.list_after(kind, &query, &visible, last.as_ref(), LOT).await?;
        let cx = Presenting {
            site,
            snapshot: &snapshot,
            query: &query.parameters,
            user_id: Some(me),
            session: None,
            base_url: snapshot.settings.base_url.trim(),
            operation: "",
        };
        let answers = present(&cx, &lot).await?;
        let mut text = if part == 0 { start(json, kind) } else { String::new() };
        for answer in &answers {
            text.push_str(&line(json, made.rows == 0, kind, answer));
            made.rows += 1;
        }
        size += text.len();
        let is_last = lot.len() < usize::try_from(LOT).unwrap_or(usize::MAX);
        made.cut = !is_last && (made.rows >= MOST || size >= LARGEST);
        if (is_last || made.cut) && json {
            text.push_str("\n]\n");
        }
        write(engine, id, part, &text).await?;
        if is_last || made.cut {
            break;
        }
        part += 1;
        last = lot.into_iter().next_back();
    }
    finish(engine, (id, part + 1), &account, kind, &made).await?;
    Ok(Some(made))
}

async fn clear(engine: &App, id: Uuid) -> Result<()> {
    let mut tx = engine.site.db.tx();
    tx.write("DELETE FROM data_export_part WHERE export = $1", &[id.into()]).await?;
    Ok(tx.commit().await?)
}

async fn write(engine: &App, id: Uuid, part: i64, text: &str) -> Result<()> {
    let mut tx = engine.site.db.tx();
    let sql = "INSERT INTO data_export_part (export, part, content) VALUES ($1, $2, $3)";
    tx.write(sql, &[id.into(), part.into(), text.into()]).await?;
    Ok(tx.commit().await?)
}

async fn finish(
    engine: &App,
    (id, parts): (Uuid, i64),
    account: &accounts::Account,
    kind: &ResourceType,
    made: &Made,
) -> Result<()> {
    let origin = Origin {
        user: account.event_user(),
        user_id: Some(account.id),
        username: account.username.clone(),
        ..Origin::system()
    };
    let mut unit = Unit::new(&engine.site, Actor { origin, ..Actor::system() });
    // A worker that was given up and goes on all the same must not call a file whole that another one began anew.
    let sql = "UPDATE data_export SET completed = TRUE WHERE id = $1 AND NOT completed \
               AND (SELECT COUNT(*) FROM data_export_part WHERE export = $1) = $2";
    if unit.tx.write(sql, &[id.into(), parts.into()]).await? == 0 {
        unit.rollback().await?;
        bail!("The export was begun anew, or is gone.");
    }
    let text = format!("Your export of {} can be fetched: {} rows.", kind.verbose_name_plural(), made.rows);
    let pk = id.simple().to_string();
    let export = json!({"app": "authentik_reports", "model_name": "dataexport", "pk": pk, "name": kind.verbose_name});
    let context = json!({"message": text, "export": export, "rows": made.rows, "truncated": made.cut});
    unit.event(Event::new(action::EXPORT_READY, "authentik_reports", context)).await?;
    dispatch::keep(&mut unit, account.id, Severity::Notice, &text, None).await?;
    let sql = "UPDATE event_notification SET hyperlink = $1, hyperlink_label = $2 \
               WHERE \"user\" = $3 AND body = $4 AND hyperlink IS NULL";
    let link: [Val; 4] =
        [file_url(&engine.site.prefix, &id.to_string()).into(), "Fetch".into(), account.id.into(), text.into()];
    unit.tx.write(sql, &link).await?;
    Ok(unit.commit().await?)
}

/// Names of the columns of a CSV file: the key, then the fields that may be shown.
fn columns(kind: &ResourceType) -> impl Iterator<Item = &str> {
    std::iter::once(kind.pk).chain(kind.fields.iter().filter(|f| !f.write_only).map(|f| f.name.as_str()))
}

fn start(json: bool, kind: &ResourceType) -> String {
    if json { "[\n".to_owned() } else { columns(kind).collect::<Vec<_>>().join(",") + "\r\n" }
}

fn line(json: bool, first: bool, kind: &ResourceType, answer: &Map) -> String {
    if json {
        return format!("{}{}", if first { "" } else { ",\n" }, Value::Object(answer.clone()));
    }
    let cells: Vec<String> = columns(kind).map(|name| cell(answer.get(name).unwrap_or(&Value::Null))).collect();
    cells.join(",") + "\r\n"
}

/// A value as a cell. Programs that calculate must not take it for a formula.
pub(crate) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains(['"', ',', '\n', '\r', ';']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
