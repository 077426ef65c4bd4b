//! Mail addresses that codes are sent to.

use super::{ADMIN, DeviceKind, DeviceRow, own, table};
use crate::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_core::{ApiError, Backing, Map, Operations, Reach, Resource, TableDef, View};
use weir_resource::{Unit, store};
use weir_store::StoreError;

/// A mail address that codes are sent to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EmailDevice {
    /// Name by which its owner knows the device.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// The address.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "format" = "email"))]
    pub email: String,
    /// Whose it is.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub user: Option<i64>,
}

const TABLE: TableDef = table(DeviceKind::Email);

impl Resource for EmailDevice {
    const MODEL: &'static str = DeviceKind::Email.model();
    const PATH: &'static str = "authenticators/admin/email";
    const SCHEMA: &'static str = "EmailDevice";
    const VERBOSE: &'static str = DeviceKind::Email.verbose_name();
    const PARAM: &'static str = "id";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = ADMIN;
    const REACH: Reach = Reach::Permitted;
    const VIEWS: &'static [View] = &[own("authenticators/email", true)];
}

/// Makes a device of a mail address.
///
/// # Errors
/// 400 on `email` when the stage knows the address already, whoever's it is; those of the store.
pub async fn create(
    unit: &mut Unit<'_>,
    (user_id, name): (i64, &str),
    stage: Uuid,
    email: &str,
) -> Result<DeviceRow, ApiError> {
    let known = || ApiError::field("email", "Invalid email");
    if is_taken(&mut unit.tx, stage, email).await.map_err(store)? {
        return Err(known());
    }
    let fields = Map::from_iter([("email".to_owned(), email.into())]);
    let once = vec![("stage", stage.into())];
    super::create_once(unit, DeviceKind::Email, (user_id, name), (fields, Vec::new()), once, known).await
}

/// Whether a device of the stage has this address, in whatever case: it is one mailbox.
pub async fn is_taken(mut reader: impl Reader, stage: Uuid, email: &str) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM identity_device_email WHERE stage = $1 AND lower(email) = $2";
    Ok(reader.read_one(sql, &[stage.into(), email.to_lowercase().into()]).await?.is_some())
}

/// Whether a user has a device of the stage.
pub async fn has(mut reader: impl Reader, stage: Uuid, user_id: i64) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM identity_device_email WHERE stage = $1 AND \"user\" = $2 AND confirmed = TRUE";
    Ok(reader.read_one(sql, &[stage.into(), user_id.into()]).await?.is_some())
}
