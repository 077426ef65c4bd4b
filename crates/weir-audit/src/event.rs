//! Events as rules, mappings and transports see them.

use serde_json::{Value, json};
use weir_core::Map;
use weir_policy::RequestInfo;
use weir_store::{Db, Row, StoreError};

/// Longest text of a notification, characters.
const LONGEST: usize = 4096;

/// An event with the fields of the interface.
#[derive(Clone, Debug)]
pub(crate) struct SealedEvent {
    /// The fields.
    pub(crate) fields: Map,
    /// Key of its user.
    pub(crate) user_id: Option<i64>,
    /// Its place; none while it waits for one.
    pub(crate) seq: Option<i64>,
}

const COLUMNS: &str = "seq, id, \"user\", user_id, action, app, context, client_ip, brand, created, expires";

impl SealedEvent {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let time = |name: &str| -> Result<Value, StoreError> {
            Ok(row.time(name)?.to_rfc3339_opts(chrono::SecondsFormat::Micros, true).into())
        };
        let fields = json!({
            "pk": row.text("id")?,
            "user": row.json("user")?,
            "action": row.text("action")?,
            "app": row.text("app")?,
            "context": row.json("context")?,
            "client_ip": row.opt_text("client_ip")?,
            "brand": row.json("brand")?,
            "created": time("created")?,
            "expires": time("expires")?,
        });
        let fields = fields.as_object().cloned().unwrap_or_default();
        Ok(Self { fields, user_id: row.opt_int("user_id")?, seq: row.opt_int("seq")? })
    }

    /// The events of a stretch of the chain.
    pub(crate) async fn between(db: &Db, first: i64, last: i64) -> Result<Vec<Self>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM audit_event WHERE seq >= $1 AND seq <= $2 ORDER BY seq");
        db.read(&sql, &[first.into(), last.into()]).await?.iter().map(Self::of).collect()
    }

    /// One event; none when it is gone.
    pub(crate) async fn find(db: &Db, id: &str) -> Result<Option<Self>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM audit_event WHERE id = $1");
        db.read_one(&sql, &[id.into()]).await?.map(|row| Self::of(&row)).transpose()
    }

    /// Some events by key.
    pub(crate) async fn many(db: &Db, ids: &[&str]) -> Result<Vec<Self>, StoreError> {
        let mut found = Vec::new();
        for part in ids.chunks(200) {
            let marks: Vec<String> = (1..=part.len()).map(|i| format!("${i}")).collect();
            let sql = format!("SELECT {COLUMNS} FROM audit_event WHERE id IN ({})", marks.join(", "));
            let vals: Vec<weir_store::Val> = part.iter().map(|id| weir_store::Val::from(*id)).collect();
            for row in db.read(&sql, &vals).await? {
                found.push(Self::of(&row)?);
            }
        }
        Ok(found)
    }

    /// The event of a try-out, which nobody wrote down.
    pub(crate) fn trial(user: &Value, name: &str) -> Self {
        let fields = json!({
            "pk": null, "user": user, "action": "custom_", "app": "authentik_events", "client_ip": null, "brand": {},
            "context": {"message": format!("Test Notification from transport {name}")},
        });
        Self { fields: fields.as_object().cloned().unwrap_or_default(), user_id: None, seq: None }
    }

    /// A text field, empty when absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A part of its details.
    pub(crate) fn context(&self, name: &str) -> Option<&Value> {
        self.fields.get("context")?.get(name)
    }

    /// A part of its user.
    pub(crate) fn user(&self, name: &str) -> &str {
        self.fields.get("user").and_then(|u| u.get(name)?.as_str()).unwrap_or_default()
    }

    /// What a notification says.
    pub(crate) fn body(&self) -> String {
        let text = match self.context("message").and_then(Value::as_str) {
            Some(message) => message.to_owned(),
            None => {
                let context = self.fields.get("context").map(Value::to_string).unwrap_or_default();
                format!("{}: {context}", self.text("action"))
            }
        };
        text.chars().take(LONGEST).collect()
    }

    /// The request that the event tells of, for policies.
    pub(crate) fn request(&self) -> RequestInfo {
        let http = self.context("http_request").cloned().unwrap_or_default();
        let text = |name: &str| http.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let ip = self.text("client_ip");
        RequestInfo {
            method: text("method"),
            path: text("path"),
            user_agent: text("user_agent"),
            request_id: text("request_id"),
            client_ip: if ip.is_empty() { "255.255.255.255".to_owned() } else { ip.to_owned() },
            user: self.user_id,
            ..RequestInfo::default()
        }
    }
}
