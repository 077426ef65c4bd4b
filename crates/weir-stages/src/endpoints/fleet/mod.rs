//! The connector to Fleet, which knows devices by its own agents: what it is, and the schedule that follows it.
//!
//! [`client`] asks Fleet's interface, [`host`] reads its answers, [`sync`] brings them into the tables of devices.

mod client;
mod host;
mod sync;

pub use sync::{FLEET_SYNC, Synchronize};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{ApiError, Family, Map, Ref, Resource, Secret, resource::UuidKeyed};
use weir_policy::NotificationWebhookMapping;
use weir_resource::{Hooks, Stored, Unit, store};
use weir_store::jobs::{
    self, NewJob, RelObj,
    schedules::{self, NewSchedule},
};

/// Who told the facts.
pub(super) const VENDOR: &str = "fleetdm.com";
/// How often a failed sync is tried again before the schedule does.
const RETRIES: u32 = 2;

fn yes() -> bool {
    true
}

/// Takes over the devices that Fleet knows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FleetConnector {
    /// Name of the connector.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Whether Fleet is asked.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Address of the Fleet server.
    #[schemars(length(min = 1, max = 200), extend("format" = "uri"))]
    pub url: String,
    /// Token of a user of Fleet's interface who may see hosts.
    #[schemars(length(min = 1))]
    pub token: Secret,
    /// Gives further headers of each call, as a dictionary.
    #[serde(default)]
    pub headers_mapping: Option<Ref<NotificationWebhookMapping>>,
    /// Binds people to the devices for which Fleet names their e-mail address.
    #[serde(default = "yes")]
    pub map_users: bool,
    /// Puts devices into access groups with the names of Fleet's teams.
    #[serde(default)]
    pub map_teams_access_group: bool,
}

impl UuidKeyed for FleetConnector {}
impl Resource for FleetConnector {
    const MODEL: &'static str = "authentik_endpoints_connectors_fleet.fleetconnector";
    const PATH: &'static str = "endpoints/fleet/connectors";
    const SCHEMA: &'static str = "FleetConnector";
    const VERBOSE: &'static str = "Fleet Connector";
    const COMPONENT: &'static str = "ak-endpoints-connector-fleet-form";
    const FAMILY: Option<Family> = Some(Family::Connector);
    const PK: &'static str = "connector_uuid";
    const PARAM: &'static str = "connector_uuid";
    const KEY_IS_CHOSEN: bool = true;
}

/// See [`FleetConnector`].
pub(super) struct FleetHooks;

fn rel(connector: &Stored) -> RelObj {
    RelObj::new(connector.kind.app_label(), connector.kind.model_name(), connector.pk.clone())
}

#[async_trait]
impl Hooks for FleetHooks {
    async fn prepare(&self, _unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let text = |field: &str| new.get(field).and_then(Value::as_str).unwrap_or_default();
        client::address(text("url"), &[]).map_err(|text| ApiError::field("url", text))?;
        client::authorization(text("token")).map_err(|text| ApiError::field("token", text))?;
        Ok(())
    }

    async fn written(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        let now = unit.site.clock.now();
        let mut byte = [0_u8; 1];
        unit.site.random.fill(&mut byte);
        let minute = byte.first().copied().unwrap_or_default() % 60;
        let description = Some(format!("Take over the devices of {}", new.name()));
        let args = json!({"connector": new.pk});
        let schedule = NewSchedule {
            identifier: None,
            uid: Some(new.pk.clone()),
            args: args.clone(),
            description: description.clone(),
            rel_obj: Some(rel(new)),
            ..NewSchedule::new(FLEET_SYNC, FLEET_SYNC, format!("{minute} * * * *"))
        };
        schedules::upsert(&mut unit.tx, now, &schedule).await.map_err(store)?;
        if new.doc.get("enabled") != Some(&Value::Bool(true)) {
            return Ok(());
        }
        let mut job = NewJob::new(FLEET_SYNC, args);
        job.uid = Some(new.pk.clone());
        job.rel_obj = Some(rel(new));
        job.description = description;
        job.max_retries = RETRIES;
        jobs::enqueue(&mut unit.tx, unit.site.random.uuid(), now, &job).await.map_err(store)
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        schedules::remove_of(&mut unit.tx, &rel(old)).await.map_err(store)?;
        Ok(())
    }
}
