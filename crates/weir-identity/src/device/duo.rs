//! Accounts at Duo, which asks their owner by itself.

use super::{ADMIN, DeviceKind, DeviceRow, own, table};
use crate::Reader;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_core::{ApiError, Backing, Map, Operations, Reach, Resource, TableDef, View};
use weir_resource::{Unit, store};
use weir_store::{StoreError, Tx};

/// An account at Duo.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DuoDevice {
    /// Name by which its owner knows the device.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Whose it is.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub user: Option<i64>,
}

const TABLE: TableDef = table(DeviceKind::Duo);

impl Resource for DuoDevice {
    const MODEL: &'static str = DeviceKind::Duo.model();
    const PATH: &'static str = "authenticators/admin/duo";
    const SCHEMA: &'static str = "DuoDevice";
    const VERBOSE: &'static str = DeviceKind::Duo.verbose_name();
    const PARAM: &'static str = "id";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = ADMIN;
    const REACH: Reach = Reach::Permitted;
    const VIEWS: &'static [View] = &[own("authenticators/duo", true)];
}

/// Makes a device of an account at Duo.
///
/// # Errors
/// 400 (general) when the account is bound to the stage already, whoever's it is; those of the store.
pub async fn create(
    unit: &mut Unit<'_>,
    (user_id, name): (i64, &str),
    stage: Uuid,
    duo_user_id: &str,
) -> Result<DeviceRow, ApiError> {
    let known = || ApiError::general("Device with Credential ID already exists.");
    if find_by_account(&mut unit.tx, stage, duo_user_id).await.map_err(store)?.is_some() {
        return Err(known());
    }
    let once = vec![("stage", stage.into()), ("duo_user_id", duo_user_id.into())];
    super::create_once(unit, DeviceKind::Duo, (user_id, name), (Map::new(), Vec::new()), once, known).await
}

/// A question that nobody waits for any more, because the server died, blocks the next one this long.
const LONGEST_PUSH: TimeDelta = TimeDelta::seconds(35);

/// Notes that Duo is about to ask the person; false while another request waits for their decision. To be committed
/// before asking, and followed by [`end_push`]. The time stands in the column that other kinds count failures by.
pub async fn begin_push(tx: &mut Tx, device: &DeviceRow, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "UPDATE identity_device_duo SET failed_at = $1 WHERE id = $2 AND (failed_at IS NULL OR failed_at <= $3)";
    Ok(tx.write(sql, &[now.into(), device.id().into(), (now - LONGEST_PUSH).into()]).await? > 0)
}

/// Notes that the person has decided.
pub async fn end_push(tx: &mut Tx, device: &DeviceRow) -> Result<(), StoreError> {
    tx.write("UPDATE identity_device_duo SET failed_at = NULL WHERE id = $1", &[device.id().into()]).await?;
    Ok(())
}

/// The device of a stage that is bound to this account at Duo.
pub async fn find_by_account(
    mut reader: impl Reader,
    stage: Uuid,
    duo_user_id: &str,
) -> Result<Option<DeviceRow>, StoreError> {
    let sql = "SELECT id FROM identity_device_duo WHERE stage = $1 AND duo_user_id = $2";
    let Some(row) = reader.read_one(sql, &[stage.into(), duo_user_id.into()]).await? else { return Ok(None) };
    super::find(reader, DeviceKind::Duo, &row.int("id")?.to_string()).await
}
