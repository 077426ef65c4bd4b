//! Codes that were sent to a device (mail, SMS): the newest one counts, once, until it expires.

use super::{DeviceKind, DeviceRow};
use crate::digest;
use chrono::{DateTime, TimeDelta, Utc};
use weir_core::Random;
use weir_store::{StoreError, Tx};

/// What is kept of a code. It says nothing about the code of another device.
fn kept(device: &DeviceRow, code: &str) -> String {
    digest(&format!("{} {} {code}", device.kind.word(), device.pk))
}

/// A new code: six digits.
pub fn new_code(random: &dyn Random) -> String {
    let mut bytes = [0u8; 8];
    random.fill(&mut bytes);
    // The remainder of so large a number favours none of the million codes by more than a billionth.
    format!("{:06}", u64::from_be_bytes(bytes) % 1_000_000)
}

fn has_codes(kind: DeviceKind) -> bool {
    matches!(kind, DeviceKind::Email | DeviceKind::Sms)
}

/// Stands in the place of a code while that is being sent.
const BEING_SENT: &str = "being sent";
/// How long sending may take; should the server die meanwhile, the next code can be sent after that.
const SENDING: TimeDelta = TimeDelta::seconds(40);

/// Notes that a code is about to be sent; the one before is worthless from now on. Of many callers at once one gets true,
/// so that a person is not flooded. To be committed before sending, and followed by [`set_code`] or [`forget_code`].
pub async fn begin_code(tx: &mut Tx, device: &DeviceRow, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if !has_codes(device.kind) {
        return Ok(false);
    }
    let sql = format!(
        "UPDATE {} SET code_digest = $1, code_expires = $2 WHERE id = $3 \
         AND (code_digest IS NULL OR code_digest <> $4 OR code_expires <= $5)",
        device.kind.table()
    );
    let vals = [BEING_SENT.into(), (now + SENDING).into(), device.id().into(), BEING_SENT.into(), now.into()];
    Ok(tx.write(&sql, &vals).await? > 0)
}

/// Puts a new code in the place of the one before.
pub async fn set_code(tx: &mut Tx, device: &DeviceRow, code: &str, expires: DateTime<Utc>) -> Result<(), StoreError> {
    if !has_codes(device.kind) {
        return Err(StoreError::Internal(anyhow::anyhow!("no code is sent to devices of kind {}", device.kind.word())));
    }
    let sql = format!("UPDATE {} SET code_digest = $1, code_expires = $2 WHERE id = $3", device.kind.table());
    tx.write(&sql, &[kept(device, code).into(), expires.into(), device.id().into()]).await?;
    Ok(())
}

/// Uses a code up; whether it was the right one. Of many callers with the same code one gets true.
pub async fn take_code(tx: &mut Tx, device: &DeviceRow, code: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if !has_codes(device.kind) {
        return Ok(false);
    }
    let sql = format!(
        "UPDATE {} SET code_digest = NULL, code_expires = NULL WHERE id = $1 AND code_digest = $2 AND code_expires > $3",
        device.kind.table()
    );
    Ok(tx.write(&sql, &[device.id().into(), kept(device, code).into(), now.into()]).await? > 0)
}

/// Makes the code that is on its way worthless.
pub async fn forget_code(tx: &mut Tx, device: &DeviceRow) -> Result<(), StoreError> {
    if has_codes(device.kind) {
        let sql = format!("UPDATE {} SET code_digest = NULL, code_expires = NULL WHERE id = $1", device.kind.table());
        tx.write(&sql, &[device.id().into()]).await?;
    }
    Ok(())
}
