//! Numbers about events: per time, per user, per application.

use super::events::{ACTIONS, filter, narrow, search};
use crate::{Access, Call, Reply, Route};
use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use weir_core::{ApiError, Map, duration};
use weir_resource::{Condition, search_words, store};
use weir_store::{Row, StoreError, Val, escape_like};

/// Numbers over all events take the right to see them all.
const VIEW: Access = Access::Global("authentik_events.view_event");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("events_events_actions_list", Access::SignedIn, actions),
        Route::new("events_events_volume_list", VIEW, volume),
        Route::new("events_events_stats_retrieve", VIEW, stats),
        Route::new("events_events_top_per_user_list", VIEW, top_per_user),
    ]
}

async fn actions(_: Call) -> Result<Reply, ApiError> {
    let list: Vec<Value> = ACTIONS
        .iter()
        .map(|(name, help)| {
            json!({
                "name": name,
                "description": help,
                "component": name,
                "model_name": "",
                "requires_enterprise": false,
                "deprecated": false,
            })
        })
        .collect();
    Ok(Reply::ok(&list))
}

/// The filters and the search of the list, as a request names them.
async fn asked(call: &Call) -> Result<Vec<Condition>, ApiError> {
    let dialect = call.app.site.db.dialect();
    let query = call.list_query();
    let mut conditions: Vec<Condition> = Vec::new();
    for (name, value) in query.last_of_each() {
        match name {
            "action" => conditions.push(action(call, value).await?),
            _ => conditions.extend(filter(dialect, name, value)),
        }
    }
    conditions.extend(narrow(&query)?);
    let text = call.request.parameter("search").unwrap_or_default();
    let asked = search(dialect, text);
    let words = if asked.is_some() { "" } else { text };
    conditions.extend(asked);
    for word in search_words(words)? {
        let any: Vec<String> =
            ["\"user\"", "action", "app", "context", "client_ip"].map(|c| dialect.like_ci(c, "?")).to_vec();
        let pattern = Val::from(format!("%{}%", escape_like(&word)));
        conditions.push(Condition::new(format!("({})", any.join(" OR ")), vec![pattern; any.len()]));
    }
    Ok(conditions)
}

/// Conditions with numbered placeholders; the text begins with `WHERE` when there are any.
struct Selection {
    sql: String,
    vals: Vec<Val>,
}

impl Selection {
    fn new<'c>(conditions: impl IntoIterator<Item = &'c Condition>) -> Self {
        let mut selection = Self { sql: String::new(), vals: Vec::new() };
        for condition in conditions {
            selection.sql.push_str(if selection.sql.is_empty() { " WHERE " } else { " AND " });
            let mut pieces = condition.sql.split('?');
            selection.sql.push_str(pieces.next().unwrap_or_default());
            for (piece, val) in pieces.zip(&condition.vals) {
                selection.vals.push(val.clone());
                selection.sql.push_str(&format!("${}{piece}", selection.vals.len()));
            }
        }
        selection
    }

    async fn read(&self, call: &Call, sql: &str) -> Result<Vec<Row>, ApiError> {
        call.app.site.db.read(sql, &self.vals).await.map_err(store)
    }
}

/// The values of an indexed column, as the table `known`: from one to the next in the index, past all events of each.
fn known(column: &str) -> String {
    format!(
        "WITH RECURSIVE known ({column}) AS (SELECT MIN({column}) FROM audit_event UNION ALL SELECT (SELECT MIN({column}) \
         FROM audit_event WHERE {column} > known.{column}) FROM known WHERE known.{column} IS NOT NULL)"
    )
}

/// Events whose action contains a text. Reports look at very many events, and comparing the text with each one's action
/// costs more than all the rest, so the few actions there are get compared first.
async fn action(call: &Call, part: &str) -> Result<Condition, ApiError> {
    let db = &call.app.site.db;
    let sql = format!("{} SELECT action FROM known WHERE {}", known("action"), db.dialect().like_ci("action", "$1"));
    let rows = db.read(&sql, &[format!("%{}%", escape_like(part)).into()]).await.map_err(store)?;
    let known: Result<Vec<Val>, StoreError> = rows.iter().map(|row| Ok(row.text("action")?.into())).collect();
    let known = known.map_err(store)?;
    if known.is_empty() {
        return Ok(Condition::new("1 = 0", known));
    }
    Ok(Condition::new(format!("action IN ({})", vec!["?"; known.len()].join(", ")), known))
}

/// Longest history that is looked at.
const MAX_DAYS: i64 = 365;

async fn volume(call: Call) -> Result<Reply, ApiError> {
    let days = call.number("history_days")?.unwrap_or(7).clamp(1, MAX_DAYS);
    let since = call.app.site.clock.now() - TimeDelta::days(days);
    let step = if days <= 3 {
        TimeDelta::hours(1)
    } else if days <= 14 {
        TimeDelta::hours(6)
    } else {
        TimeDelta::days(1)
    };
    let step = step.num_microseconds().unwrap_or(i64::MAX);
    let mut conditions = asked(&call).await?;
    conditions.push(Condition::new("created >= ?", vec![since.into()]));
    let selection = Selection::new(&conditions);
    let sql = format!(
        "SELECT action, slot, COUNT(*) AS n FROM (SELECT CASE WHEN action LIKE 'custom\\_%' ESCAPE '\\' \
         THEN 'custom_' ELSE action END AS action, created / {step} AS slot FROM audit_event{}) AS e \
         GROUP BY action, slot ORDER BY slot, action",
        selection.sql
    );
    let rows = selection.read(&call, &sql).await?;
    let read = |row: &Row| {
        let time = DateTime::from_timestamp_micros(row.int("slot")?.saturating_mul(step)).unwrap_or_default();
        let time = time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        Ok(json!({"action": row.text("action")?, "time": time, "count": row.int("n")?}))
    };
    let list: Result<Vec<Value>, StoreError> = rows.iter().map(read).collect();
    Ok(Reply::ok(&list.map_err(store)?))
}

async fn stats(call: Call) -> Result<Reply, ApiError> {
    let steps: Vec<&str> = call.values("count_steps").into_iter().flat_map(|list| list.split(',')).collect();
    let now = call.app.site.clock.now();
    let conditions = asked(&call).await?;
    let mut counts = Map::new();
    for step in steps.iter().take(20) {
        // A step that is no span of time counts nothing; the contract does not restrict the texts.
        let since = duration::parse(step).map_or(now, |span| now - span);
        let recent = Condition::new("created >= ?", vec![since.into()]);
        let selection = Selection::new(conditions.iter().chain([&recent]));
        let rows = selection.read(&call, &format!("SELECT COUNT(*) AS n FROM audit_event{}", selection.sql)).await?;
        let count = rows.first().map_or(Ok(0), |row| row.int("n")).map_err(store)?;
        counts.insert((*step).to_owned(), count.into());
    }
    let selection = Selection::new(&conditions);
    let sql = if selection.sql.is_empty() {
        format!("{} SELECT COUNT(user_id) AS n FROM known", known("user_id"))
    } else {
        format!("SELECT COUNT(DISTINCT user_id) AS n FROM audit_event{}", selection.sql)
    };
    let rows = selection.read(&call, &sql).await?;
    let unique = rows.first().map_or(Ok(0), |row| row.int("n")).map_err(store)?;
    Ok(Reply::ok(&json!({"unique_users": unique, "count_step": counts})))
}

async fn top_per_user(call: Call) -> Result<Reply, ApiError> {
    let top = call.number("top_n")?.unwrap_or(15).clamp(1, 100);
    let names_one =
        call.request.parameter("action").is_some_and(|a| !a.is_empty()) || !call.values("actions").is_empty();
    let mut conditions = asked(&call).await?;
    conditions.push(Condition::new("application IS NOT NULL", Vec::new()));
    if !names_one {
        conditions.push(Condition::new("action = ?", vec!["login".into()]));
    }
    let selection = Selection::new(&conditions);
    // What an application is called is told by the last event about it.
    let sql = format!(
        "SELECT top.n, top.users, (SELECT e.context FROM audit_event e WHERE e.application = top.application \
         ORDER BY e.created DESC LIMIT 1) AS context FROM \
         (SELECT application, COUNT(*) AS n, COUNT(DISTINCT user_id) AS users FROM audit_event{} \
         GROUP BY application ORDER BY n DESC, application LIMIT {top}) AS top ORDER BY top.n DESC, top.application",
        selection.sql
    );
    let rows = selection.read(&call, &sql).await?;
    let read = |row: &Row| {
        let context = row.json("context")?;
        let application = context.get("authorized_application").cloned().unwrap_or_else(|| json!({}));
        Ok(json!({"application": application, "counted_events": row.int("n")?, "unique_users": row.int("users")?}))
    };
    let list: Result<Vec<Value>, StoreError> = rows.iter().map(read).collect();
    Ok(Reply::ok(&list.map_err(store)?))
}
