//! What is known of devices through their agents: connections, facts, sign-ins that wait.

use super::{AgentConnector, EndpointDevice};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Map, Random};
use weir_identity::{Reader, digest, kind};
use weir_resource::{Snapshot, Stored, Unit, store};
use weir_store::{Db, Row, StoreError, Tx, Val};

/// How long the link of a sign-in can be opened, and the sign-in be used.
const SIGN_IN: TimeDelta = TimeDelta::minutes(5);
/// Length of the keys of agents: over 350 bits.
const KEY_LENGTH: usize = 60;

/// A device as a connector knows it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Key of the connection.
    pub id: String,
    /// Key of the device.
    pub device: String,
    /// Key of the connector.
    pub connector: String,
    /// When the agent last told facts.
    pub created: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
    facts: Value,
}

impl Known {
    /// Whether the facts still count.
    pub fn is_current(&self, now: DateTime<Utc>) -> bool {
        self.created.is_some() && self.expires.is_none_or(|end| end > now)
    }

    /// The contract's `DeviceFactSnapshot`.
    pub fn snapshot(&self, vendor: &str) -> Value {
        let text = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
        json!({
            "data": self.facts,
            "connection": self.id,
            "created": text(self.created),
            "expires": text(self.expires),
            "vendor": vendor,
        })
    }
}

/// The connections of these devices, oldest first.
///
/// # Errors
/// Those of the store.
pub async fn connections(db: &Db, devices: &[&str]) -> Result<Vec<Known>, ApiError> {
    let mut found = Vec::new();
    for part in devices.chunks(500) {
        let marks: Vec<String> = (1..=part.len()).map(|i| format!("${i}")).collect();
        let sql = format!(
            "SELECT id, device, connector, facts, facts_created, facts_expire FROM endpoint_connection \
             WHERE device IN ({}) ORDER BY created, id",
            marks.join(", ")
        );
        let vals: Vec<Val> = part.iter().map(|id| Val::from(*id)).collect();
        for row in db.read(&sql, &vals).await.map_err(store)? {
            found.push(known(&row).map_err(store)?);
        }
    }
    Ok(found)
}

fn known(row: &Row) -> Result<Known, StoreError> {
    Ok(Known {
        id: row.text("id")?,
        device: row.text("device")?,
        connector: row.text("connector")?,
        created: row.opt_time("facts_created")?,
        expires: row.opt_time("facts_expire")?,
        facts: row.opt_json("facts")?.unwrap_or_else(|| json!({})),
    })
}

/// Devices, and how many of them told nothing that still counts.
///
/// # Errors
/// Those of the store.
pub async fn silent(db: &Db, snapshot: &Snapshot, now: DateTime<Utc>) -> Result<(usize, usize), ApiError> {
    let devices: Vec<String> = snapshot.all::<EndpointDevice>().iter().map(|(id, _)| id.to_string()).collect();
    let keys: Vec<&str> = devices.iter().map(String::as_str).collect();
    let known = connections(db, &keys).await?;
    let heard = |device: &&String| known.iter().any(|k| k.device == **device && k.is_current(now));
    Ok((devices.len(), devices.iter().filter(|device| !heard(device)).count()))
}

/// An agent that proved itself by its token.
pub struct Agent {
    /// Key of the connection.
    pub connection: String,
    /// Key of the device.
    pub device_id: Uuid,
    /// The connector.
    pub connector: Arc<AgentConnector>,
}

/// The agent of a token; none when the token is unknown, its connector off or its device past its end.
///
/// # Errors
/// Those of the store.
pub async fn authenticate(
    mut reader: impl Reader,
    snapshot: &Snapshot,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Option<Agent>, StoreError> {
    if key.is_empty() || key.len() > 1024 {
        return Ok(None);
    }
    let sql = "SELECT id, device, connector FROM endpoint_connection WHERE token_digest = $1";
    let Some(row) = reader.read_one(sql, &[digest(key).into()]).await? else { return Ok(None) };
    let (device_id, connector) = (row.uuid("device")?, row.uuid("connector")?);
    let connector = snapshot.get::<AgentConnector>(connector).filter(|connector| connector.enabled);
    let device = snapshot.get::<EndpointDevice>(device_id).filter(|device| device.is_current(now));
    let connection = row.text("id")?;
    Ok(connector.zip(device).map(|(connector, _)| Agent { connection, device_id, connector }))
}

/// Enrols a device by the key of an enrolment token; the agent's new token. A device that is enrolled again gets a new
/// one, and the old one ends. None when the key is unknown, past its end, or its connector off.
///
/// # Errors
/// Those of the store.
pub async fn enrol(unit: &mut Unit<'_>, key: &str, serial: &str, name: &str) -> Result<Option<String>, ApiError> {
    // First of all, so that two devices of one serial number are not made at once.
    unit.lock_configuration().await?;
    let now = unit.site.clock.now();
    let sql = "SELECT connector, device_group, expiring, expires FROM endpoint_enrollment_token WHERE key_digest = $1";
    let Some(row) = unit.tx.read_one(sql, &[digest(key).into()]).await.map_err(store)? else { return Ok(None) };
    let is_over =
        row.bool("expiring").map_err(store)? && row.opt_time("expires").map_err(store)?.is_none_or(|end| end <= now);
    let connector = row.uuid("connector").map_err(store)?;
    let is_on = unit.snapshot.get::<AgentConnector>(connector).is_some_and(|connector| connector.enabled);
    if is_over || !is_on {
        return Ok(None);
    }
    let group = row.opt_text("device_group").map_err(store)?;
    let device = device(unit, serial, name, group).await?;
    let token = unit.site.random.text(KEY_LENGTH);
    let sql = "INSERT INTO endpoint_connection (id, device, connector, token_key, token_digest, created) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (device, connector) DO UPDATE SET \
               token_key = excluded.token_key, token_digest = excluded.token_digest";
    let vals = [
        unit.site.random.uuid().into(),
        device.into(),
        connector.into(),
        (&token).into(),
        digest(&token).into(),
        now.into(),
    ];
    unit.tx.write(sql, &vals).await.map_err(store)?;
    Ok(Some(token))
}

/// Key of the device of this serial number, made when there is none.
pub(super) async fn device(
    unit: &mut Unit<'_>,
    serial: &str,
    name: &str,
    group: Option<String>,
) -> Result<String, ApiError> {
    let devices = kind::<EndpointDevice>(unit.site)?;
    if let Some(object) = unit.snapshot.by_unique(devices.model, "identifier", serial) {
        return Ok(object.id.to_string());
    }
    let body = Map::from_iter([("name".to_owned(), Value::from(name)), ("access_group".to_owned(), group.into())]);
    let made: Stored = unit.create(devices, &body, None).await?;
    unit.set(devices, &made.pk, Map::from_iter([("identifier".to_owned(), Value::from(serial))])).await?;
    Ok(made.pk)
}

/// Keeps what an agent tells.
///
/// # Errors
/// Those of the store.
pub async fn keep_facts(tx: &mut Tx, agent: &Agent, facts: &Value, now: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = "UPDATE endpoint_connection SET facts = $1, facts_created = $2, facts_expire = $3 WHERE id = $4";
    let end = now + agent.connector.snapshot_expiry.delta();
    let vals = [facts.to_string().into(), now.into(), end.into(), (&agent.connection).into()];
    tx.write(sql, &vals).await.map(|_| ())
}

/// How long counts what a connector without agents was told.
const TOLD: TimeDelta = TimeDelta::days(1);

/// Keeps what a connector without agents was told of a device; nobody has the key of such a connection.
///
/// # Errors
/// Those of the store.
pub(super) async fn keep_told(
    unit: &mut Unit<'_>,
    device: &str,
    connector: Uuid,
    facts: &Value,
) -> Result<(), ApiError> {
    let (now, token) = (unit.site.clock.now(), unit.site.random.text(KEY_LENGTH));
    let sql = "INSERT INTO endpoint_connection \
               (id, device, connector, token_key, token_digest, facts, facts_created, facts_expire, created) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7) ON CONFLICT (device, connector) DO UPDATE SET \
               facts = excluded.facts, facts_created = excluded.facts_created, facts_expire = excluded.facts_expire";
    let vals = [
        unit.site.random.uuid().into(),
        device.into(),
        connector.into(),
        (&token).into(),
        digest(&token).into(),
        facts.to_string().into(),
        now.into(),
        (now + TOLD).into(),
    ];
    unit.tx.write(sql, &vals).await.map_err(store)?;
    Ok(())
}

/// Begins a sign-in on an agent's device; the key of its link.
///
/// # Errors
/// Those of the store.
pub async fn begin_sign_in(
    tx: &mut Tx,
    random: &dyn Random,
    agent: &Agent,
    now: DateTime<Utc>,
) -> Result<String, StoreError> {
    let key = random.text(KEY_LENGTH);
    tx.write("DELETE FROM endpoint_sign_in WHERE expires <= $1", &[now.into()]).await?;
    let sql = "INSERT INTO endpoint_sign_in (id, link_digest, connection, expires) VALUES ($1, $2, $3, $4)";
    let vals = [random.uuid().into(), digest(&key).into(), (&agent.connection).into(), (now + SIGN_IN).into()];
    tx.write(sql, &vals).await?;
    Ok(key)
}

/// A sign-in that a browser goes on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Its key, as the plan keeps it.
    pub id: Uuid,
    /// The device it is for.
    pub device: Uuid,
    /// The device's connector.
    pub connector: Uuid,
    /// Digest of the agent's token.
    pub token_digest: String,
}

async fn find_sign_in(tx: &mut Tx, id: Uuid, now: DateTime<Utc>) -> Result<Option<SignIn>, StoreError> {
    let sql = "SELECT s.id, c.device, c.connector, c.token_digest FROM endpoint_sign_in s \
               JOIN endpoint_connection c ON c.id = s.connection WHERE s.id = $1 AND s.expires > $2";
    let row = tx.read_one(sql, &[id.into(), now.into()]).await?;
    row.map(|row| {
        Ok(SignIn {
            id: row.uuid("id")?,
            device: row.uuid("device")?,
            connector: row.uuid("connector")?,
            token_digest: row.text("token_digest")?,
        })
    })
    .transpose()
}

/// Opens the link of a sign-in: of two browsers one gets it.
///
/// # Errors
/// Those of the store.
pub async fn open_sign_in(tx: &mut Tx, key: &str, now: DateTime<Utc>) -> Result<Option<SignIn>, StoreError> {
    let sql = "UPDATE endpoint_sign_in SET link_digest = NULL WHERE link_digest = $1 AND expires > $2 RETURNING id";
    let rows = tx.write_returning(sql, &[digest(key).into(), now.into()]).await?;
    match rows.first() {
        Some(row) => find_sign_in(tx, row.uuid("id")?, now).await,
        None => Ok(None),
    }
}

/// The sign-in of a running plan; none when its time is over.
///
/// # Errors
/// Those of the store.
pub async fn running_sign_in(tx: &mut Tx, id: &str, now: DateTime<Utc>) -> Result<Option<SignIn>, StoreError> {
    match Uuid::parse_str(id) {
        Ok(id) => find_sign_in(tx, id, now).await,
        Err(_) => Ok(None),
    }
}

/// Ends a sign-in: of two that would, one does.
///
/// # Errors
/// Those of the store.
pub async fn end_sign_in(tx: &mut Tx, id: Uuid) -> Result<bool, StoreError> {
    let ended = tx.write("DELETE FROM endpoint_sign_in WHERE id = $1", &[id.into()]).await?;
    Ok(ended > 0)
}

/// Whether a link waits to be opened, and its connector.
///
/// # Errors
/// Those of the store.
pub async fn waiting_link(mut reader: impl Reader, key: &str, now: DateTime<Utc>) -> Result<Option<Uuid>, StoreError> {
    let sql = "SELECT c.connector FROM endpoint_sign_in s JOIN endpoint_connection c ON c.id = s.connection \
               WHERE s.link_digest = $1 AND s.expires > $2";
    let row = reader.read_one(sql, &[digest(key).into(), now.into()]).await?;
    row.map(|row| row.uuid("connector")).transpose()
}

/// The key of the agent on a device that calls itself so, and the device, when the connector knows it.
///
/// # Errors
/// Those of the store.
pub async fn find_key(
    tx: &mut Tx,
    snapshot: &Snapshot,
    connector: Uuid,
    device: &str,
    now: DateTime<Utc>,
) -> Result<Option<(Uuid, String)>, StoreError> {
    use weir_core::Resource as _;
    let found = snapshot.by_unique(EndpointDevice::MODEL, "identifier", device).map(|object| object.id);
    let Some(id) = found.or_else(|| Uuid::parse_str(device).ok()) else { return Ok(None) };
    if !snapshot.get::<EndpointDevice>(id).is_some_and(|device| device.is_current(now)) {
        return Ok(None);
    }
    let sql = "SELECT token_key FROM endpoint_connection WHERE device = $1 AND connector = $2";
    let row = tx.read_one(sql, &[id.into(), connector.into()]).await?;
    row.map(|row| Ok((id, row.text("token_key")?))).transpose()
}
