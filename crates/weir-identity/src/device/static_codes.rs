//! Codes on paper: each opens once.

use super::{ADMIN, DeviceKind, DeviceRow, own, table};
use crate::{Reader, reader::marks};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use subtle::ConstantTimeEq as _;
use weir_core::{ApiError, Backing, Map, Operations, Reach, Resource, TableDef, View};
use weir_events::Event;
use weir_resource::{Hooks, Presenting, Stored, Unit, store};
use weir_store::{StoreError, Tx, Val};

/// Codes on paper.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StaticDevice {
    /// Name by which its owner knows the device.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Whose it is.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub user: Option<i64>,
}

const TABLE: TableDef = table(DeviceKind::Static);

impl Resource for StaticDevice {
    const MODEL: &'static str = DeviceKind::Static.model();
    const PATH: &'static str = "authenticators/admin/static";
    const SCHEMA: &'static str = "StaticDevice";
    const VERBOSE: &'static str = DeviceKind::Static.verbose_name();
    const PARAM: &'static str = "id";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = ADMIN;
    const REACH: Reach = Reach::Permitted;
    const VIEWS: &'static [View] = &[own("authenticators/static", true)];
}

/// Keeps codes.
///
/// # Errors
/// Those of the store.
pub async fn create(unit: &mut Unit<'_>, user_id: i64, name: &str, codes: &[String]) -> Result<DeviceRow, ApiError> {
    let device = super::create(unit, DeviceKind::Static, (user_id, name), Map::new(), Vec::new()).await?;
    for code in codes {
        let sql = "INSERT INTO identity_device_static_code (device_id, code) VALUES ($1, $2)";
        unit.tx.write(sql, &[device.id().into(), code.into()]).await.map_err(store)?;
    }
    Ok(device)
}

/// The unused codes of devices, by device, in the order they were made.
pub async fn codes_of(mut reader: impl Reader, devices: &[i64]) -> Result<BTreeMap<i64, Vec<String>>, StoreError> {
    let mut found: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    if devices.is_empty() {
        return Ok(found);
    }
    let vals: Vec<Val> = devices.iter().map(|id| Val::from(*id)).collect();
    let sql = format!(
        "SELECT device_id, code FROM identity_device_static_code WHERE device_id IN ({}) ORDER BY id",
        marks(1, vals.len())
    );
    for row in reader.read(&sql, &vals).await? {
        found.entry(row.int("device_id")?).or_default().push(row.text("code")?);
    }
    Ok(found)
}

/// Uses a code up; whether it was one of the device's. Of many callers with the same code one gets true.
pub async fn take(tx: &mut Tx, device: &DeviceRow, code: &str) -> Result<bool, StoreError> {
    let sql = "SELECT id, code FROM identity_device_static_code WHERE device_id = $1 ORDER BY id";
    let mut found = None;
    // All are compared, so that time does not tell how many letters were right.
    for row in tx.read(sql, &[device.id().into()]).await? {
        let kept = row.text("code")?;
        let same = kept.len() == code.len() && bool::from(kept.as_bytes().ct_eq(code.as_bytes()));
        if same && found.is_none() && !code.is_empty() {
            found = Some(row.int("id")?);
        }
    }
    let Some(id) = found else { return Ok(false) };
    Ok(tx.write("DELETE FROM identity_device_static_code WHERE id = $1", &[id.into()]).await? > 0)
}

/// Written when codes are removed; other software looks for this action.
const REMOVED: &str = "custom_static_authenticator_disable";

/// Rules of codes.
pub(super) struct StaticHooks;

#[async_trait]
impl Hooks for StaticHooks {
    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        let owner = old.doc.get("user").and_then(Value::as_i64).unwrap_or_default();
        let username = crate::accounts::find(&mut unit.tx, owner).await.map_err(store)?.map(|a| a.username);
        let context = json!({
            "message": "The codes of a static device were removed.",
            "affected_user": username,
            "device": {
                "app": old.kind.app_label(), "model_name": old.kind.model_name(), "pk": old.int_pk(), "name": old.name(),
            },
        });
        unit.event(Event::new(REMOVED, old.kind.app_label(), context)).await
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let ids: Vec<i64> = rows.iter().map(Stored::int_pk).collect();
        let mut codes = codes_of(&cx.site.db, &ids).await.map_err(store)?;
        for (row, answer) in rows.iter().zip(answers) {
            let unused = codes.remove(&row.int_pk()).unwrap_or_default();
            let shown: Vec<Value> = unused.into_iter().map(|code| json!({"token": code})).collect();
            answer.insert("token_set".to_owned(), shown.into());
        }
        Ok(())
    }
}
