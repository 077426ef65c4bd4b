//! The audit trail as a kind of object, with its filters.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use weir_core::{ApiError, Backing, Map, Resource, ResourceType, TableDef};
use weir_events::{
    Subject,
    chain::{self, Reason},
    cleanse,
    query::Query,
};
use weir_resource::{Condition, Counting, HookSet, Hooks, ListQuery, Site, Stored, Unit, store};
use weir_store::{Dialect, Val, escape_like};

/// Every action of the contract, with what it tells.
pub const ACTIONS: [(&str, &str); 38] = [
    ("login", "A person signed in"),
    ("login_failed", "Signing in failed"),
    ("logout", "A person signed out"),
    ("user_write", "A flow wrote a user"),
    ("user_offboarded", "A user was offboarded"),
    ("suspicious_request", "A request looked like an attack"),
    ("password_set", "A password was set"),
    ("secret_view", "A secret was read"),
    ("secret_rotate", "A secret was replaced"),
    ("invitation_used", "An invitation was used"),
    ("authorize_application", "A person let an application act for them"),
    ("source_linked", "An account was linked to a source"),
    ("impersonation_started", "Somebody began to act as another user"),
    ("impersonation_ended", "Somebody stopped acting as another user"),
    ("flow_execution", "A flow ran"),
    ("policy_execution", "A policy ran"),
    ("policy_exception", "A policy failed"),
    ("property_mapping_exception", "A property mapping failed"),
    ("system_task_execution", "A background task ran"),
    ("system_task_exception", "A background task failed"),
    ("system_exception", "Something failed unexpectedly"),
    ("configuration_error", "The configuration contradicts itself"),
    ("configuration_warning", "The configuration deserves a look"),
    ("model_created", "An object was created"),
    ("model_updated", "An object was changed"),
    ("model_deleted", "An object was deleted"),
    ("email_sent", "A mail was sent"),
    ("update_available", "There is a newer version"),
    ("export_ready", "An export can be fetched"),
    ("review_initiated", "A review began"),
    ("review_overdue", "A review is overdue"),
    ("review_attested", "A review was attested"),
    ("review_completed", "A review was completed"),
    ("access_request_created", "Somebody asked for access"),
    ("access_request_approved", "Access was granted"),
    ("access_request_denied", "Access was denied"),
    ("access_request_revoked", "Access was taken away"),
    ("custom_", "An event of an expression or a client"),
];

/// An entry of the audit trail.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Who acted.
    #[serde(default)]
    pub user: Map,
    /// What happened.
    #[schemars(schema_with = "action_schema")]
    pub action: String,
    /// The part of the program that tells it.
    #[schemars(length(min = 1))]
    pub app: String,
    /// Details.
    #[serde(default)]
    pub context: Map,
    /// Address of the client.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub client_ip: Option<String>,
    /// When it happened.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub created: Option<DateTime<Utc>>,
    /// When it is forgotten; the system setting when left out.
    #[serde(default = "unset")]
    pub expires: DateTime<Utc>,
    /// The brand of the request.
    #[serde(default)]
    pub brand: Map,
}

fn action_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "enum": ACTIONS.map(|(name, _)| name).to_vec()})
}

fn unset() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

const TABLE: TableDef =
    TableDef { table: "audit_event", pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" };

impl Resource for Event {
    const MODEL: &'static str = "authentik_events.event";
    const PATH: &'static str = "events/events";
    const SCHEMA: &'static str = "Event";
    const VERBOSE: &'static str = "Event";
    const PARAM: &'static str = "event_uuid";
    const SEARCH: &'static [&'static str] = &["user", "action", "app", "context", "client_ip"];
    const ORDER: &'static str = "-created";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: weir_core::Operations =
        weir_core::Operations { create: true, update: true, destroy: true, used_by: false };
    const AUDITED: bool = false;
}

/// How many there are: those with a place, which the chain knows, and the few that wait for one.
const COUNT_ALL: &str = "SELECT (SELECT COALESCE(MAX(kept), 0) FROM audit_chain) \
                         + (SELECT COUNT(*) FROM audit_event WHERE seq IS NULL) AS n";

/// The kinds that this crate defines.
pub fn resources() -> Vec<ResourceType> {
    vec![ResourceType::of::<Event>()]
}

/// Their special behaviour.
pub fn hooks(set: &mut HookSet) {
    set.add(Event::MODEL, Arc::new(EventHooks));
}

/// See [`Event`].
pub struct EventHooks;

fn text(time: DateTime<Utc>) -> Value {
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true).into()
}

#[async_trait]
impl Hooks for EventHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let now = unit.site.clock.now();
        if let Some(old) = old {
            reopen(unit, old, Reason::Changed).await?;
        } else {
            new.insert("created".to_owned(), text(now));
        }
        let given = new.get("expires").and_then(Value::as_str).and_then(weir_core::validate::parse_time);
        if given.is_none_or(|time| time == unset()) {
            let before = old.and_then(|o| o.doc.get("expires")).cloned();
            let end = before.unwrap_or_else(|| text(now + unit.snapshot.settings.retention()));
            new.insert("expires".to_owned(), end);
        }
        if let Some(context) = new.get_mut("context") {
            *context = cleanse(context.take());
        }
        if let Some(action) = old.map(|o| o.text("action"))
            && !ACTIONS.iter().any(|(known, _)| *known == action)
            && new.get("action").and_then(Value::as_str) == Some(action)
        {
            return Err(ApiError::field("action", "Events of expressions cannot be changed."));
        }
        Ok(())
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        reopen(unit, old, Reason::Deleted).await
    }

    fn search(&self, site: &Site, text: &str) -> Result<Option<Condition>, ApiError> {
        Ok(search(site.db.dialect(), text))
    }

    fn columns(&self, _site: &Site, _old: Option<&Stored>, new: &Map) -> Vec<(&'static str, Val)> {
        let user = new.get("user");
        let id = user.and_then(|u| u.get("pk")).and_then(Value::as_i64).filter(|id| *id > 0);
        let name = user.and_then(|u| u.get("username")).and_then(Value::as_str).unwrap_or_default();
        let subject = new.get("context").and_then(Value::as_object).map(Subject::of).unwrap_or_default();
        vec![
            ("user_id", Val::Int(id)),
            ("username", name.into()),
            ("object_pk", subject.object_pk.into()),
            ("application", subject.application.into()),
        ]
    }

    fn counting(&self) -> Option<Counting> {
        Some(Counting { all: COUNT_ALL, most: 10_000 })
    }

    fn filter(&self, site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        Ok(filter(site.db.dialect(), name, value))
    }

    fn narrow(&self, _site: &Site, query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
        narrow(query)
    }

    async fn present(
        &self,
        _cx: &weir_resource::Presenting<'_>,
        _rows: &[Stored],
        answers: &mut [Map],
    ) -> Result<(), ApiError> {
        // `custom_` stands for all actions of expressions; which one is told by the context.
        for answer in answers {
            let action = answer.get("action").and_then(Value::as_str).unwrap_or_default().to_owned();
            if action.starts_with("custom_") && action != "custom_" {
                answer.insert("action".to_owned(), "custom_".into());
                if let Some(Value::Object(context)) = answer.get_mut("context") {
                    context.entry("custom_action").or_insert(action.into());
                }
            }
        }
        Ok(())
    }
}

/// Takes an event out of the chain before somebody lays hands on it.
async fn reopen(unit: &mut Unit<'_>, old: &Stored, reason: Reason) -> Result<(), ApiError> {
    let (key, now) = (unit.site.installation.chain_key(), unit.site.clock.now());
    chain::reopen(&mut unit.tx, &key, now, &old.pk, reason).await.map_err(store)
}

/// The condition of a text in the search language; none when it is plain words.
pub(super) fn search(dialect: Dialect, text: &str) -> Option<Condition> {
    let (sql, vals) = Query::parse(text).ok()?.to_sql(dialect);
    Some(Condition::new(sql, vals))
}

/// The condition of one query parameter; none when it is no filter of events.
pub(super) fn filter(dialect: Dialect, name: &str, value: &str) -> Option<Condition> {
    let like =
        |column: &str| Condition::new(dialect.like_ci(column, "?"), vec![format!("%{}%", escape_like(value)).into()]);
    let in_json = |column: &str, path: &[&str], value: &str| {
        let expression = dialect.json_text(column, "?");
        let path = dialect.json_path(path);
        let mut vals: Vec<Val> = expression.matches('?').map(|_| path.clone()).collect();
        vals.push(value.into());
        Condition::new(format!("({expression}) = ?"), vals)
    };
    Some(match name {
        "action" => like("action"),
        "username" => Condition::new("username = ?", vec![value.into()]),
        "client_ip" => Condition::new("client_ip = ?", vec![value.into()]),
        "brand_name" => in_json("brand", &["name"], value),
        "context_model_pk" => Condition::new("object_pk = ?", vec![value.replace('-', "").into()]),
        "context_model_name" => in_json("context", &["model", "model_name"], value),
        "context_model_app" => in_json("context", &["model", "app"], value),
        "context_authorized_app" => Condition::new("application = ?", vec![value.replace('-', "").into()]),
        "context_device" => in_json("context", &["device", "pk"], &value.replace('-', "")),
        _ => return None,
    })
}

/// The filter `actions`, which may be repeated.
pub(super) fn narrow(query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
    let wanted: Vec<&str> =
        query.parameters.iter().filter(|(n, v)| n == "actions" && !v.is_empty()).map(|(_, v)| v.as_str()).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(bad) = wanted.iter().find(|w| !ACTIONS.iter().any(|(known, _)| known == *w)) {
        let shown: String = bad.chars().take(200).collect();
        return Err(ApiError::field(
            "actions",
            format!("Select a valid choice. {shown} is not one of the available choices."),
        ));
    }
    let marks = vec!["?"; wanted.len()].join(", ");
    // What finds few events shall find them by its own index, also where the database has no statistics yet.
    const NARROW: [&str; 4] = ["client_ip", "context_authorized_app", "context_model_pk", "username"];
    let column = if NARROW.iter().any(|name| query.find(name).is_some()) { "(action || '')" } else { "action" };
    let mut sql = format!("{column} IN ({marks})");
    if wanted.contains(&"custom_") {
        sql = format!("({sql} OR action LIKE 'custom\\_%' ESCAPE '\\')");
    }
    Ok(vec![Condition::new(sql, wanted.into_iter().map(Val::from).collect())])
}
