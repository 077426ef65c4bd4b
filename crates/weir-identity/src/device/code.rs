//! Codes that were sent to a device (mail, SMS): the newest one counts, once, until it expires.

use super::{DeviceKind, DeviceRow};
use crate::digest;
use chrono::{DateTime, Utc};
use weir_store::{StoreError, Tx};

/// What is kept of a code. It says nothing about the code of another device.
fn kept(device: &DeviceRow, code: &str) -> String {
    digest(&format!("{} {} {code}", device.kind.word(), device.pk))
}

fn has_codes(kind: DeviceKind) -> bool {
    matches!(kind, DeviceKind::Email | DeviceKind::Sms)
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
