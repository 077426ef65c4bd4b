//! Authenticator apps: time-based codes (RFC 6238).

use super::{ADMIN, DeviceKind, DeviceRow, own, table};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{ApiError, Backing, Map, Operations, Reach, Resource, TableDef, View};
use weir_crypto::totp;
use weir_resource::Unit;
use weir_store::{StoreError, Tx};

/// An authenticator app.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TotpDevice {
    /// Name by which its owner knows the device.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Whose it is.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub user: Option<i64>,
}

const TABLE: TableDef = table(DeviceKind::Totp);

impl Resource for TotpDevice {
    const MODEL: &'static str = DeviceKind::Totp.model();
    const PATH: &'static str = "authenticators/admin/totp";
    const SCHEMA: &'static str = "TOTPDevice";
    const VERBOSE: &'static str = DeviceKind::Totp.verbose_name();
    const PARAM: &'static str = "id";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = ADMIN;
    const REACH: Reach = Reach::Permitted;
    const VIEWS: &'static [View] = &[own("authenticators/totp", true)];
}

/// Steps around the expected one whose codes are taken.
const TOLERANCE: i64 = 1;

/// An authenticator app to keep.
#[derive(Clone)]
pub struct NewTotp {
    /// Whose it is.
    pub user_id: i64,
    /// Name for people.
    pub name: String,
    /// The shared secret.
    pub secret: Vec<u8>,
    /// Length of the codes.
    pub digits: u32,
    /// The step whose code its owner has just shown; it is used up.
    pub used_step: i64,
    /// Steps by which the device's clock is ahead, as that code told.
    pub drift: i64,
}

/// A step found by a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The step.
    pub step: i64,
    /// Steps by which the device's clock is ahead.
    pub drift: i64,
}

/// Looks for a code around the step that the device's clock should show.
pub fn find_step(secret: &[u8], digits: u32, code: &str, now: DateTime<Utc>, drift: i64) -> Option<Match> {
    let here = totp::step_at(now.timestamp());
    let centre = here.saturating_add(drift);
    let steps = centre.saturating_sub(TOLERANCE)..=centre.saturating_add(TOLERANCE);
    totp::matching_step(secret, digits, code, steps).map(|step| Match { step, drift: step.saturating_sub(here) })
}

/// Keeps an authenticator app.
///
/// # Errors
/// Those of the store.
pub async fn create(unit: &mut Unit<'_>, new: NewTotp) -> Result<DeviceRow, ApiError> {
    let columns = vec![
        ("secret", totp::to_base32(&new.secret).into()),
        ("digits", new.digits.into()),
        ("drift", new.drift.into()),
        ("last_step", new.used_step.into()),
    ];
    super::create(unit, DeviceKind::Totp, (new.user_id, &new.name), Map::new(), columns).await
}

/// Uses up the step of a code; whether the code was right. No step is taken twice, nor one older than the last, whatever
/// the clock says.
pub async fn take(tx: &mut Tx, device: &DeviceRow, code: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "SELECT secret, digits, drift FROM identity_device_totp WHERE id = $1 AND confirmed = TRUE";
    let Some(row) = tx.read_one(sql, &[device.id().into()]).await? else { return Ok(false) };
    let secret = totp::from_base32(&row.text("secret")?).unwrap_or_default();
    let digits = u32::try_from(row.int("digits")?).unwrap_or(6);
    let Some(found) = find_step(&secret, digits, code, now, row.int("drift")?) else { return Ok(false) };
    let sql = "UPDATE identity_device_totp SET last_step = $1, drift = $2 WHERE id = $3 AND last_step < $1";
    Ok(tx.write(sql, &[found.step.into(), found.drift.into(), device.id().into()]).await? > 0)
}
