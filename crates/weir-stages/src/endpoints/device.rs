//! Devices and the groups they belong to.

use super::{FleetConnector, GoogleChromeConnector, agent, chrome, config::connector_obj, fleet};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map, Operations, Ref, Resource, resource::UuidKeyed, validate};
use weir_resource::{Hooks, Keep, ListQuery, Presenting, Stored, policy_target_uuid, present_one};

/// A group of devices; policies bound to it say who may use them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceAccessGroup {
    /// Name of the group.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Free attributes.
    #[serde(default)]
    pub attributes: Map,
}

impl UuidKeyed for DeviceAccessGroup {}
impl Resource for DeviceAccessGroup {
    const MODEL: &'static str = "authentik_endpoints.deviceaccessgroup";
    const PATH: &'static str = "endpoints/device_access_groups";
    const SCHEMA: &'static str = "DeviceAccessGroup";
    const VERBOSE: &'static str = "Device access group";
    const PK: &'static str = "pbm_uuid";
    const PARAM: &'static str = "pbm_uuid";
    const POLICY_TARGET: bool = true;
}

/// A device that somebody works on. Agents enrol them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndpointDevice {
    /// Name of the device.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What the device calls itself, e.g. its serial number. Set by the server and not shown.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true))]
    pub identifier: Option<String>,
    /// The group it belongs to.
    #[serde(default)]
    pub access_group: Option<Ref<DeviceAccessGroup>>,
    /// Whether the device stops counting at all.
    #[serde(default)]
    pub expiring: bool,
    /// When it does.
    #[serde(default)]
    pub expires: Option<DateTime<Utc>>,
    /// Free attributes.
    #[serde(default)]
    pub attributes: Map,
}

impl UuidKeyed for EndpointDevice {}
impl Resource for EndpointDevice {
    const MODEL: &'static str = "authentik_endpoints.device";
    const PATH: &'static str = "endpoints/devices";
    const SCHEMA: &'static str = "EndpointDevice";
    const VERBOSE: &'static str = "Device";
    const PK: &'static str = "device_uuid";
    const PARAM: &'static str = "device_uuid";
    const KEY_IS_CHOSEN: bool = true;
    const POLICY_TARGET: bool = true;
    const UNIQUE: &'static [&'static [&'static str]] = &[&["identifier"]];
    const OPERATIONS: Operations = Operations { create: false, ..Operations::ALL };
}

impl EndpointDevice {
    /// Whether the device still counts.
    pub fn is_current(&self, now: DateTime<Utc>) -> bool {
        !self.expiring || self.expires.is_some_and(|end| end > now)
    }
}

/// See [`DeviceAccessGroup`].
pub struct GroupHooks;

#[async_trait]
impl Hooks for GroupHooks {
    async fn present(&self, _cx: &Presenting<'_>, _rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for answer in answers {
            answer.shift_remove("policybindingmodel_ptr_id");
        }
        Ok(())
    }
}

/// See [`EndpointDevice`].
pub struct DeviceHooks;

/// The operation whose answer has more than the others'.
const DETAILS: &str = "endpoints_devices_retrieve";

#[async_trait]
impl Hooks for DeviceHooks {
    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let keys: Vec<&str> = rows.iter().map(|row| row.pk.as_str()).collect();
        let known = agent::connections(&cx.site.db, &keys).await?;
        for (row, answer) in rows.iter().zip(answers) {
            answer.shift_remove("policybindingmodel_ptr_id");
            let id = Uuid::parse_str(&row.pk).map_err(anyhow::Error::new)?;
            answer.insert("pbm_uuid".to_owned(), policy_target_uuid(id).to_string().into());
            if let Some(group) = Uuid::parse_str(row.text("access_group")).ok().and_then(|id| cx.snapshot.find(id)) {
                let shown = present_one(cx, &Stored::of(group)).await?;
                answer.insert("access_group_obj".to_owned(), Value::Object(shown));
            }
            let own: Vec<&agent::Known> = known.iter().filter(|known| known.device == row.pk).collect();
            let now = cx.site.clock.now();
            let latest = own.iter().filter(|known| known.is_current(now)).max_by_key(|known| known.created);
            let merged = latest.map_or(Value::Null, |known| known.snapshot("goauthentik.io/@merged"));
            answer.insert("facts".to_owned(), merged);
            if cx.operation != DETAILS {
                continue;
            }
            let mut shown = Vec::new();
            for known in &own {
                let latest = known.created.map_or(Value::Null, |_| known.snapshot(vendor(cx, known)));
                shown.push(json!({
                    "device": known.device,
                    "connector": known.connector,
                    "connector_obj": connector_obj(cx, &known.connector).await?,
                    "latest_snapshot": latest,
                }));
            }
            answer.insert("connections_obj".to_owned(), shown.into());
            let ids: Vec<&str> = own.iter().map(|known| known.id.as_str()).collect();
            answer.insert("connections".to_owned(), json!(ids));
            let bound = cx.snapshot.referring(&row.pk).filter(|(_, field)| *field == "target");
            let policies: Vec<String> =
                bound.filter_map(|(o, _)| o.doc.get("policy")?.as_str().map(str::to_owned)).collect();
            answer.insert("policies".to_owned(), json!(policies));
        }
        Ok(())
    }

    fn keep(&self, query: &ListQuery) -> Result<Option<Keep>, ApiError> {
        let wanted = query.find("identifier").map(str::to_owned);
        Ok(Some(Keep::new(&["identifier"], move |doc| {
            wanted.as_deref().is_none_or(|wanted| doc.get("identifier").and_then(Value::as_str) == Some(wanted))
        })))
    }
}

/// Who told what is known by this connection.
fn vendor(cx: &Presenting<'_>, known: &agent::Known) -> &'static str {
    let connector = Uuid::parse_str(&known.connector).ok().and_then(|id| cx.snapshot.find(id));
    match connector {
        Some(object) if object.kind.model == GoogleChromeConnector::MODEL => chrome::VENDOR,
        Some(object) if object.kind.model == FleetConnector::MODEL => fleet::VENDOR,
        _ => "goauthentik.io/platform",
    }
}

/// The end of a document, if it has one that can be read.
pub(super) fn end(doc: &Map) -> Option<DateTime<Utc>> {
    doc.get("expires").and_then(Value::as_str).and_then(validate::parse_time)
}
