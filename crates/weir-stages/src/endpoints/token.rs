//! Tokens by which agents enrol their devices.

use super::{AgentConnector, DeviceAccessGroup, device};
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Backing, Map, Ref, Resource, TableDef, resource::UuidKeyed};
use weir_events::{Event, action};
use weir_identity::digest;
use weir_resource::{Condition, Hooks, Presenting, Site, Stored, Unit, present_one, store};
use weir_store::Val;

/// A key that lets agents enrol devices.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EnrollmentToken {
    /// Group that new devices join.
    #[serde(default)]
    pub device_group: Option<Ref<DeviceAccessGroup>>,
    /// The connector that devices are enrolled with.
    pub connector: Ref<AgentConnector>,
    /// Name of the token.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Whether it stops working at all.
    #[serde(default = "yes")]
    pub expiring: bool,
    /// When it does; chosen by the settings when left out.
    #[serde(default)]
    pub expires: Option<DateTime<Utc>>,
}

fn yes() -> bool {
    true
}

const TABLE: TableDef =
    TableDef { table: "endpoint_enrollment_token", pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" };

impl UuidKeyed for EnrollmentToken {}
impl Resource for EnrollmentToken {
    const MODEL: &'static str = "authentik_endpoints_connectors_agent.enrollmenttoken";
    const PATH: &'static str = "endpoints/agents/enrollment_tokens";
    const SCHEMA: &'static str = "EnrollmentToken";
    const VERBOSE: &'static str = "Enrollment Token";
    const PK: &'static str = "token_uuid";
    const PARAM: &'static str = "token_uuid";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const PERMISSIONS: &'static [&'static str] = &["view_enrollment_token_key"];
    const BACKING: Backing = Backing::Table(&TABLE);
}

/// See [`EnrollmentToken`].
pub struct EnrollmentTokenHooks;

#[async_trait]
impl Hooks for EnrollmentTokenHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let expiring = new.get("expiring").and_then(Value::as_bool).unwrap_or(true);
        let end = match (expiring, device::end(new)) {
            (false, _) => None,
            (true, Some(end)) => Some(end),
            (true, None) => Some(unit.site.clock.now() + unit.snapshot.settings.default_token_duration.delta()),
        };
        new.insert("expires".to_owned(), end.map(|end| end.to_rfc3339_opts(SecondsFormat::Micros, true)).into());
        Ok(())
    }

    fn columns(&self, site: &Site, old: Option<&Stored>, _new: &Map) -> Vec<(&'static str, Val)> {
        if old.is_some() {
            return Vec::new();
        }
        let key = site.random.text(60);
        vec![("key_digest", digest(&key).into()), ("key", key.into()), ("created", site.clock.now().into())]
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let group = Uuid::parse_str(row.text("device_group")).ok().and_then(|id| cx.snapshot.find(id));
            let shown = match group {
                Some(group) => Value::Object(present_one(cx, &Stored::of(group)).await?),
                None => Value::Null,
            };
            answer.insert("device_group_obj".to_owned(), shown);
        }
        Ok(())
    }

    fn filter(&self, _site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        if name != "token_uuid" {
            return Ok(None);
        }
        let id = Uuid::parse_str(value).map_err(|_| ApiError::field(name, "Enter a valid UUID."))?;
        Ok(Some(Condition::new("id = ?", vec![id.to_string().into()])))
    }
}

/// The key of a token; that it was read is put on record.
///
/// # Errors
/// 404 when it is gone; those of the store.
pub async fn view_key(unit: &mut Unit<'_>, token: &Stored) -> Result<String, ApiError> {
    let sql = "SELECT key FROM endpoint_enrollment_token WHERE id = $1";
    let row = unit.tx.read_one(sql, &[token.pk.clone().into()]).await.map_err(store)?;
    let key = row.ok_or_else(ApiError::not_found)?.text("key").map_err(store)?;
    let model = json!({
        "app": token.kind.app_label(), "model_name": token.kind.model_name(), "pk": token.pk.replace('-', ""),
        "name": token.name(),
    });
    unit.event(Event::new(action::SECRET_VIEW, token.kind.app_label(), json!({"secret": model}))).await?;
    Ok(key)
}
