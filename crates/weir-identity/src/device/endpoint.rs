//! Managed browsers that Google vouched for.

use super::{ADMIN, DeviceKind, DeviceRow, own, table};
use crate::accounts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Backing, Map, Operations, Reach, Resource, TableDef, View};
use weir_resource::{Unit, store};

/// A managed browser that Google vouched for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndpointDevice {
    /// Name by which its owner knows the device.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Whose it is.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub user: Option<i64>,
}

const TABLE: TableDef = table(DeviceKind::Endpoint);

impl Resource for EndpointDevice {
    const MODEL: &'static str = DeviceKind::Endpoint.model();
    const PATH: &'static str = "authenticators/admin/endpoint";
    const SCHEMA: &'static str = "GoogleEndpointDevice";
    const VERBOSE: &'static str = DeviceKind::Endpoint.verbose_name();
    const PARAM: &'static str = "uuid";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = ADMIN;
    const REACH: Reach = Reach::Permitted;
    const VIEWS: &'static [View] = &[own("authenticators/endpoint", false)];
    const KEY_IS_CHOSEN: bool = true;
}

/// Notes that a managed browser was seen with this user: makes its device, or brings it up to date. `host` is the name
/// that Google gives it.
///
/// # Errors
/// Those of the store.
pub async fn seen(
    unit: &mut Unit<'_>,
    (user_id, name): (i64, &str),
    stage: Uuid,
    host: &str,
    attributes: &Map,
) -> Result<DeviceRow, ApiError> {
    let now = unit.site.clock.now();
    // One device for each user and host: who signs in from the same browser twice at once waits for the other.
    accounts::lock(&mut unit.tx, user_id).await.map_err(store)?;
    let text = Value::Object(attributes.clone()).to_string();
    let sql = "SELECT id FROM identity_device_endpoint WHERE host_identifier = $1 AND \"user\" = $2";
    let known = unit.tx.read_one(sql, &[host.into(), user_id.into()]).await.map_err(store)?;
    let device = match known {
        Some(row) => {
            let pk = row.text("id").map_err(store)?;
            let sql = "UPDATE identity_device_endpoint SET attributes = $1, stage = $2, confirmed = TRUE WHERE id = $3";
            unit.tx.write(sql, &[text.into(), stage.into(), (&pk).into()]).await.map_err(store)?;
            let found = super::find(&mut unit.tx, DeviceKind::Endpoint, &pk).await.map_err(store)?;
            found.ok_or_else(ApiError::not_found)?
        }
        None => {
            let columns = vec![("host_identifier", host.into()), ("attributes", text.into()), ("stage", stage.into())];
            super::create(unit, DeviceKind::Endpoint, (user_id, name), Map::new(), columns).await?
        }
    };
    super::touch(&mut unit.tx, &device, now).await.map_err(store)?;
    Ok(DeviceRow { last_used: Some(now), stage: Some(stage), ..device })
}
