//! Takes over what Fleet tells: devices, what is known of them, who uses them, which group they belong to.

use super::{FleetConnector, client::Hosts, host};
use crate::endpoints::{DeviceAccessGroup, DeviceUserBinding, EndpointDevice, agent};
use anyhow::{Context as _, Result, anyhow};
use async_trait::async_trait;
use http::HeaderMap;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;
use weir_core::{ApiError, Map, Resource};
use weir_flow::App;
use weir_identity::kind;
use weir_policy::{NotificationWebhookMapping, PolicyCx, RequestInfo, expression::Environment, outbound::add_headers};
use weir_resource::{Actor, Unit, store};
use weir_store::{
    Val,
    jobs::{JobCx, JobHandler, LogLevel},
};

/// Actor of the task.
pub const FLEET_SYNC: &str = "fleet_sync";
/// The longest name of an object that we make.
const LONGEST_NAME: usize = 200;

/// Asks one Fleet server for everything it knows.
pub struct Synchronize(pub Arc<App>);

#[async_trait]
impl JobHandler for Synchronize {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let app = &*self.0;
        let key = cx.args().get("connector").and_then(Value::as_str).unwrap_or_default().parse::<Uuid>()?;
        let snapshot = app.site.snapshot();
        let connector = snapshot.get::<FleetConnector>(key).filter(|connector| connector.enabled);
        let Some(connector) = connector else {
            cx.log(LogLevel::Info, "The connector is gone or turned off.", Value::Null);
            return Ok(());
        };
        let headers = headers(app, &connector).await?;
        let run = Run { app, key, connector: &connector };
        let mut hosts = Hosts::new(&app.outbound, &connector.url, &connector.token.0, headers)?;
        let mut told = Told::default();
        while let Some(page) = hosts.next().await? {
            run.take(&page, &mut told).await?;
        }
        let forgotten = run.forget().await?;
        for email in &told.ambiguous {
            let text = "Several users have this e-mail address; none of them is bound to a device.";
            cx.log(LogLevel::Warning, text, json!({"email": email}));
        }
        let result = json!({
            "hosts": told.hosts, "unreadable": told.unreadable, "new_devices": told.devices,
            "bindings_made": told.bound, "bindings_ended": told.unbound, "forgotten": forgotten,
        });
        let level = if told.unreadable > 0 { LogLevel::Warning } else { LogLevel::Info };
        cx.log(level, "Fleet's hosts are taken over.", result.clone());
        cx.set_result(result);
        Ok(())
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(2 * 3600)
    }

    fn waits_for_others(&self) -> bool {
        true
    }
}

/// What the mapping of the connector gives.
async fn headers(app: &App, connector: &FleetConnector) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let Some(mapping) = &connector.headers_mapping else { return Ok(headers) };
    let snapshot = app.site.snapshot();
    let mapping = snapshot.get::<NotificationWebhookMapping>(mapping.uuid()).context("The mapping is gone.")?;
    let (mut events, http) = (Vec::new(), RequestInfo::default());
    let given = {
        let mut tx = app.site.db.tx();
        let mut cx = PolicyCx {
            site: &app.site,
            snapshot: &snapshot,
            tx: &mut tx,
            kinds: &app.policies,
            events: &mut events,
            depth: 0,
        };
        let env = Environment { name: &mapping.name, user: None, http: &http, variables: Map::new() };
        app.expressions.evaluate(&mut cx, &mapping.expression.0, env).await
    };
    if !events.is_empty() {
        let mut unit = Unit::new(&app.site, Actor::system());
        for event in events {
            unit.event(event).await?;
        }
        unit.commit().await?;
    }
    let given = given.with_context(|| format!("The mapping {} failed", mapping.name))?;
    add_headers(&mut headers, &given).map_err(|text| anyhow!(text))?;
    Ok(headers)
}

/// What a run did.
#[derive(Default)]
struct Told {
    hosts: usize,
    unreadable: usize,
    devices: usize,
    bound: usize,
    unbound: usize,
    ambiguous: BTreeSet<String>,
}

struct Run<'a> {
    app: &'a App,
    key: Uuid,
    connector: &'a FleetConnector,
}

impl Run<'_> {
    /// Takes over the hosts of a page, in one transaction.
    async fn take(&self, page: &[Value], told: &mut Told) -> Result<(), ApiError> {
        let hosts: Vec<host::Host> = page.iter().filter_map(host::read).collect();
        told.hosts += page.len();
        told.unreadable += page.len() - hosts.len();
        let mut unit = Unit::new(&self.app.site, Actor::system());
        // First of all, so that no device is made twice.
        unit.lock_configuration().await?;
        if unit.snapshot.get::<FleetConnector>(self.key).is_none() {
            // Deleted meanwhile, and with it what hangs on it.
            return unit.rollback().await;
        }
        let users = self.users(&mut unit, &hosts, &mut told.ambiguous).await?;
        for host in &hosts {
            let known = unit.snapshot.by_unique(EndpointDevice::MODEL, "identifier", &host.identifier);
            told.devices += usize::from(known.is_none());
            let device = agent::device(&mut unit, &host.identifier, &host.name, None).await?;
            let id = Uuid::parse_str(&device).map_err(anyhow::Error::new)?;
            if self.connector.map_teams_access_group {
                self.join(&mut unit, id, host).await?;
            }
            agent::keep_told(&mut unit, &device, self.key, &host.facts).await?;
            let people = host.people.iter().filter_map(|(email, is_own)| Some((*users.get(email)?, *is_own))).collect();
            self.bind(&mut unit, id, people, told).await?;
        }
        unit.commit().await
    }

    /// The users behind the addresses of a page.
    async fn users(
        &self,
        unit: &mut Unit<'_>,
        hosts: &[host::Host],
        ambiguous: &mut BTreeSet<String>,
    ) -> Result<BTreeMap<String, i64>, ApiError> {
        let mut found = BTreeMap::new();
        if !self.connector.map_users {
            return Ok(found);
        }
        let emails: BTreeSet<&str> =
            hosts.iter().flat_map(|host| &host.people).map(|(email, _)| email.as_str()).collect();
        let emails: Vec<&str> = emails.into_iter().collect();
        for part in emails.chunks(500) {
            let marks: Vec<String> = (1..=part.len()).map(|i| format!("${i}")).collect();
            let sql = format!(
                "SELECT id, email_lower FROM identity_user WHERE email_lower IN ({}) ORDER BY id",
                marks.join(", ")
            );
            let vals: Vec<Val> = part.iter().map(|email| Val::from(*email)).collect();
            for row in unit.tx.read(&sql, &vals).await.map_err(store)? {
                let email = row.text("email_lower").map_err(store)?;
                if found.insert(email.clone(), row.int("id").map_err(store)?).is_some() {
                    ambiguous.insert(email);
                }
            }
        }
        // An address that several claim says nothing of any of them.
        found.retain(|email, _| !ambiguous.contains(email));
        Ok(found)
    }

    /// Makes this connector's bindings of a device those to these people.
    async fn bind(
        &self,
        unit: &mut Unit<'_>,
        device: Uuid,
        mut people: BTreeMap<i64, bool>,
        told: &mut Told,
    ) -> Result<(), ApiError> {
        let bindings = kind::<DeviceUserBinding>(unit.site)?;
        for (id, binding) in unit.snapshot.referring_by::<DeviceUserBinding>(device, "target") {
            let wanted = binding.user.as_ref().and_then(|user| people.remove(user.pk()));
            let is_ours = binding.connector.as_ref().is_some_and(|connector| connector.uuid() == self.key);
            match wanted {
                _ if !is_ours => {}
                None => {
                    unit.delete(bindings, &id.to_string()).await?;
                    told.unbound += 1;
                }
                Some(is_own) if is_own != binding.is_primary => {
                    let changed = Map::from_iter([("is_primary".to_owned(), is_own.into())]);
                    unit.set(bindings, &id.to_string(), changed).await?;
                }
                Some(_) => {}
            }
        }
        for (user, is_own) in people {
            let fields = [
                ("user", json!(user)),
                ("target", json!(device)),
                ("order", json!(0)),
                ("is_primary", json!(is_own)),
                ("connector", json!(self.key)),
            ];
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            unit.make(bindings, fields, Vec::new()).await?;
            told.bound += 1;
        }
        Ok(())
    }

    /// Puts a device into the group of its team. A group that somebody chose for it stays.
    async fn join(&self, unit: &mut Unit<'_>, device: Uuid, host: &host::Host) -> Result<(), ApiError> {
        let groups = kind::<DeviceAccessGroup>(unit.site)?;
        let now = unit.snapshot.get::<EndpointDevice>(device).and_then(|device| device.access_group.clone());
        let name_now = now.as_ref().and_then(|group| unit.snapshot.find(group.uuid())).map(|group| group.name());
        let team = host.team.as_ref().map(|team| team.chars().take(LONGEST_NAME).collect::<String>());
        if name_now == team {
            return Ok(());
        }
        if let Some(name) = &name_now {
            // Ours is the group of the team that Fleet told before.
            let sql = "SELECT facts FROM endpoint_connection WHERE device = $1 AND connector = $2";
            let row = unit.tx.read_one(sql, &[device.into(), self.key.into()]).await.map_err(store)?;
            let before = row.map(|row| row.opt_json("facts")).transpose().map_err(store)?.flatten();
            if before.as_ref().and_then(host::team_of) != Some(name.as_str()) {
                return Ok(());
            }
        }
        let group = match &team {
            None => Value::Null,
            Some(team) => match unit.snapshot.by_unique(groups.model, "name", team) {
                Some(group) => group.pk().into(),
                None => {
                    let body = Map::from_iter([("name".to_owned(), team.as_str().into())]);
                    unit.create(groups, &body, None).await?.pk.into()
                }
            },
        };
        let devices = kind::<EndpointDevice>(unit.site)?;
        unit.set(devices, &device.to_string(), Map::from_iter([("access_group".to_owned(), group)])).await?;
        Ok(())
    }

    /// Lets go of devices of which Fleet has not told for so long that nothing it said counts any more: their bindings
    /// and connections end, they themselves stay.
    async fn forget(&self) -> Result<usize, ApiError> {
        let site = &*self.app.site;
        let sql = "SELECT id, device FROM endpoint_connection WHERE connector = $1 AND facts_expire <= $2";
        let gone = site.db.read(sql, &[self.key.into(), site.clock.now().into()]).await.map_err(store)?;
        if gone.is_empty() {
            return Ok(0);
        }
        let mut unit = Unit::new(site, Actor::system());
        unit.lock_configuration().await?;
        let mut told = Told::default();
        for row in &gone {
            self.bind(&mut unit, row.uuid("device").map_err(store)?, BTreeMap::new(), &mut told).await?;
            let vals = [row.text("id").map_err(store)?.into()];
            unit.tx.write("DELETE FROM endpoint_connection WHERE id = $1", &vals).await.map_err(store)?;
        }
        unit.commit().await?;
        Ok(gone.len())
    }
}
