//! Telephone numbers that codes are sent to.

use super::{ADMIN, DeviceKind, DeviceRow, own, table};
use crate::{Reader, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_core::{ApiError, Backing, Map, Operations, Reach, Resource, TableDef, View};
use weir_resource::{Unit, store};
use weir_store::StoreError;

/// A telephone number that codes are sent to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SmsDevice {
    /// Name by which its owner knows the device.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// The number, or its hash where the stage only verifies numbers.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub phone_number: String,
    /// Whose it is.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub user: Option<i64>,
}

const TABLE: TableDef = table(DeviceKind::Sms);

impl Resource for SmsDevice {
    const MODEL: &'static str = DeviceKind::Sms.model();
    const PATH: &'static str = "authenticators/admin/sms";
    const SCHEMA: &'static str = "SMSDevice";
    const VERBOSE: &'static str = DeviceKind::Sms.verbose_name();
    const PARAM: &'static str = "id";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = ADMIN;
    const REACH: Reach = Reach::Permitted;
    const VIEWS: &'static [View] = &[own("authenticators/sms", true)];
}

/// What a number that is kept as hash begins with.
pub const HASH_PREFIX: &str = "hash:";

/// A number as stages keep it that only verify.
pub fn hashed_number(number: &str) -> String {
    format!("{HASH_PREFIX}{}", digest(number))
}

/// Makes a device of a telephone number; `number` is what is kept ([`hashed_number`] where the stage only verifies).
///
/// # Errors
/// 400 on `phone_number` when the stage knows the number already, whoever's it is; those of the store.
pub async fn create(
    unit: &mut Unit<'_>,
    (user_id, name): (i64, &str),
    stage: Uuid,
    number: &str,
) -> Result<DeviceRow, ApiError> {
    let known = || ApiError::field("phone_number", "Invalid phone number");
    if is_taken(&mut unit.tx, stage, number).await.map_err(store)? {
        return Err(known());
    }
    let fields = Map::from_iter([("phone_number".to_owned(), number.into())]);
    let once = vec![("stage", stage.into())];
    super::create_once(unit, DeviceKind::Sms, (user_id, name), (fields, Vec::new()), once, known).await
}

/// Whether a device of the stage has this number, or its hash.
pub async fn is_taken(mut reader: impl Reader, stage: Uuid, number: &str) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM identity_device_sms WHERE stage = $1 AND (phone_number = $2 OR phone_number = $3)";
    Ok(reader.read_one(sql, &[stage.into(), number.into(), hashed_number(number).into()]).await?.is_some())
}
