//! What all devices have in common.

use super::{DeviceKind, Throttle};
use crate::{Reader, reader::marks};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_store::{Row, StoreError, Tx, Val};

/// One device, whatever its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRow {
    /// Its kind.
    pub kind: DeviceKind,
    /// Its key as text; unique within the kind only.
    pub pk: String,
    /// Whose it is.
    pub user_id: i64,
    /// Name for people.
    pub name: String,
    /// Its owner has shown that it works.
    pub confirmed: bool,
    /// When it was set up.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub last_updated: DateTime<Utc>,
    /// When it last proved something.
    pub last_used: Option<DateTime<Utc>>,
    /// The stage that reaches it (Duo, mail, SMS, endpoint).
    pub stage: Option<Uuid>,
    /// Wrong answers so far.
    pub throttle: Throttle,
    /// Mail address, telephone number (or its hash), Duo's user, aaguid or host; empty for the others.
    pub detail: String,
    /// Known type of a security key or passkey, by its aaguid.
    pub device_type: Option<String>,
}

impl DeviceRow {
    /// The key as a number; 0 for endpoints, whose keys are UUIDs.
    pub fn id(&self) -> i64 {
        self.pk.parse().unwrap_or_default()
    }

    /// The device as it stands in events and in `auth_method_args.mfa_devices`.
    pub fn summary(&self) -> Value {
        let (app, model) = self.kind.model().split_once('.').unwrap_or_default();
        let pk =
            if self.kind == DeviceKind::Endpoint { Value::from(self.pk.replace('-', "")) } else { self.id().into() };
        json!({"app": app, "model_name": model, "pk": pk, "name": self.name})
    }

    fn columns(kind: DeviceKind) -> String {
        format!(
            "'{word}' AS kind, CAST(id AS TEXT) AS pk, \"user\", name, confirmed, created, last_updated, last_used, \
             failures, failed_at, {stage} AS stage, {detail} AS detail, {device_type} AS device_type",
            word = kind.word(),
            stage = kind.stage(),
            detail = kind.detail(),
            device_type = kind.device_type()
        )
    }

    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let word = row.text("kind")?;
        let kind = DeviceKind::parse(&word)
            .ok_or_else(|| StoreError::Internal(anyhow::anyhow!("{word} is no kind of device")))?;
        Ok(Self {
            kind,
            pk: row.text("pk")?,
            user_id: row.int("user")?,
            name: row.text("name")?,
            confirmed: row.bool("confirmed")?,
            created: row.time("created")?,
            last_updated: row.time("last_updated")?,
            last_used: row.opt_time("last_used")?,
            stage: row.opt_uuid("stage")?,
            throttle: Throttle { failures: row.int("failures")?, failed_at: row.opt_time("failed_at")? },
            detail: row.text("detail")?,
            device_type: row.opt_text("device_type")?,
        })
    }
}

/// Devices of these kinds that fulfil a condition, in one statement; within a kind the oldest first.
async fn select(
    mut reader: impl Reader,
    kinds: &[DeviceKind],
    condition: &str,
    vals: &[Val],
) -> Result<Vec<DeviceRow>, StoreError> {
    let parts: Vec<String> = kinds
        .iter()
        .map(|kind| format!("SELECT {} FROM {} WHERE {condition}", DeviceRow::columns(*kind), kind.table()))
        .collect();
    let sql = format!("{} ORDER BY kind, created, pk", parts.join(" UNION ALL "));
    reader.read(&sql, vals).await?.iter().map(DeviceRow::from_row).collect()
}

/// The confirmed devices of a user over all kinds, in one statement.
pub async fn confirmed_of_user(reader: impl Reader, user_id: i64) -> Result<Vec<DeviceRow>, StoreError> {
    select(reader, &DeviceKind::ALL, "\"user\" = $1 AND confirmed = TRUE", &[user_id.into()]).await
}

/// All devices of these users, unconfirmed ones included.
pub async fn of_users(reader: impl Reader, users: &[i64]) -> Result<Vec<DeviceRow>, StoreError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let vals: Vec<Val> = users.iter().map(|id| Val::from(*id)).collect();
    select(reader, &DeviceKind::ALL, &format!("\"user\" IN ({})", marks(1, vals.len())), &vals).await
}

/// A device by its key, as text.
pub async fn find(reader: impl Reader, kind: DeviceKind, pk: &str) -> Result<Option<DeviceRow>, StoreError> {
    let key = match kind {
        DeviceKind::Endpoint => Val::from(pk),
        _ => match pk.parse::<i64>() {
            Ok(id) => Val::from(id),
            Err(_) => return Ok(None),
        },
    };
    Ok(select(reader, &[kind], "id = $1", &[key]).await?.into_iter().next())
}

/// Whether a user has a confirmed device, of this kind or of any.
pub async fn has_confirmed(
    mut reader: impl Reader,
    user_id: i64,
    kind: Option<DeviceKind>,
) -> Result<bool, StoreError> {
    let kinds: Vec<DeviceKind> = DeviceKind::ALL.into_iter().filter(|k| kind.is_none_or(|kind| *k == kind)).collect();
    let parts: Vec<String> = kinds
        .iter()
        .map(|kind| format!("SELECT 1 AS found FROM {} WHERE \"user\" = $1 AND confirmed = TRUE", kind.table()))
        .collect();
    let sql = format!("{} LIMIT 1", parts.join(" UNION ALL "));
    Ok(reader.read_one(&sql, &[user_id.into()]).await?.is_some())
}

/// Notes that a device proved something. Not a change of the device, so the audit trail says nothing.
pub async fn touch(tx: &mut Tx, device: &DeviceRow, now: DateTime<Utc>) -> Result<(), StoreError> {
    let key = match device.kind {
        DeviceKind::Endpoint => Val::from(&device.pk),
        _ => Val::from(device.id()),
    };
    let sql = format!("UPDATE {} SET last_used = $1 WHERE id = $2", device.kind.table());
    tx.write(&sql, &[now.into(), key]).await?;
    Ok(())
}
