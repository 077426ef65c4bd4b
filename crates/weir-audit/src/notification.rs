//! Notifications on this site: everybody sees their own.

use crate::event::SealedEvent;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use weir_core::{ApiError, Backing, Map, Operations, Reach, Resource, TableDef};
use weir_resource::{Condition, Hooks, ListQuery, Presenting, Site, Stored, store};

/// Something that a person should know.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// Whose it is.
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub user: i64,
    /// How urgent it is.
    #[schemars(extend("readOnly" = true, "enum" = ["notice", "warning", "alert"]))]
    pub severity: String,
    /// What it says.
    #[schemars(extend("readOnly" = true))]
    pub body: String,
    /// Where more is told.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub hyperlink: Option<String>,
    /// How that is called.
    #[serde(default)]
    pub hyperlink_label: Option<String>,
    /// When it was made.
    #[schemars(extend("readOnly" = true))]
    pub created: DateTime<Utc>,
    /// When it is forgotten.
    #[schemars(extend("readOnly" = true, "writeOnly" = true))]
    pub expires: DateTime<Utc>,
    /// Key of the event that it tells of.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true))]
    pub event_id: Option<String>,
    /// The person has seen it.
    #[serde(default)]
    pub seen: bool,
}

const TABLE: TableDef =
    TableDef { table: "event_notification", pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" };

impl Resource for Notification {
    const MODEL: &'static str = "authentik_events.notification";
    const PATH: &'static str = "events/notifications";
    const SCHEMA: &'static str = "Notification";
    const VERBOSE: &'static str = "Notification";
    const SEARCH: &'static [&'static str] = &["body"];
    const ORDER: &'static str = "-created";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = Operations { create: false, update: true, destroy: true, used_by: true };
    const REACH: Reach = Reach::Own;
    const AUDITED: bool = false;
}

/// See [`Notification`].
pub(crate) struct NotificationHooks;

#[async_trait]
impl Hooks for NotificationHooks {
    fn narrow(&self, site: &Site, _query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
        Ok(vec![Condition::new("expires > ?", vec![site.clock.now().into()])])
    }

    fn filter(&self, _site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        let condition = |sql: &str, value: weir_store::Val| Some(Condition::new(sql, vec![value]));
        Ok(match name {
            "event" => condition("event_id = ?", value.into()),
            // One's own are the only ones there are; a number that is none finds nothing.
            "user" => condition("\"user\" = ?", value.parse::<i64>().unwrap_or(-1).into()),
            _ => None,
        })
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let ids: Vec<&str> = rows.iter().map(|row| row.text("event_id")).filter(|id| !id.is_empty()).collect();
        let events = SealedEvent::many(&cx.site.db, &ids).await.map_err(store)?;
        let events: BTreeMap<String, Map> =
            events.into_iter().map(|event| (event.text("pk").to_owned(), shown(event.fields))).collect();
        for (row, answer) in rows.iter().zip(answers) {
            // It may be gone by now.
            if let Some(event) = events.get(row.text("event_id")) {
                answer.insert("event".to_owned(), Value::Object(event.clone()));
            }
        }
        Ok(())
    }
}

/// As the list of events shows it.
fn shown(mut event: Map) -> Map {
    let action = event.get("action").and_then(Value::as_str).unwrap_or_default().to_owned();
    if action.starts_with("custom_") && action != "custom_" {
        event.insert("action".to_owned(), "custom_".into());
        if let Some(Value::Object(context)) = event.get_mut("context") {
            context.entry("custom_action").or_insert(action.into());
        }
    }
    event
}
