//! After n wrong answers in a row a device refuses everything, the right answer too, for factor·2^(n−1) seconds. What was
//! refused so is neither looked at nor counted. Kept in the device's row, so it holds on all nodes and after a restart.

use super::{DeviceKind, DeviceRow};
use chrono::{DateTime, TimeDelta, Utc};
use weir_store::{StoreError, Tx};

/// The wait doubles this often at most: twelve days with factor 1. Whoever knows a password could otherwise lock the
/// owner out for good.
const MOST_DOUBLINGS: i64 = 20;

/// Wrong answers in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Throttle {
    /// How many.
    pub failures: i64,
    /// When the last one came.
    pub failed_at: Option<DateTime<Utc>>,
}

impl Throttle {
    /// Until when the device refuses everything; none when it is open. A factor of 0 switches this off.
    pub fn closed_until(&self, factor: f64) -> Option<DateTime<Utc>> {
        let failed_at = self.failed_at.filter(|_| self.failures > 0 && factor > 0.0)?;
        let doublings = i32::try_from((self.failures - 1).min(MOST_DOUBLINGS)).unwrap_or(0);
        // A factor out of all proportion must not overflow: ten years are as good as for ever.
        let seconds = (factor * 2f64.powi(doublings)).min(10.0 * 365.0 * 86_400.0);
        #[expect(clippy::cast_possible_truncation, reason = "bounded on the line above")]
        let micros = (seconds * 1e6).ceil() as i64;
        Some(failed_at + TimeDelta::microseconds(micros))
    }

    /// Whether the device refuses everything at this instant.
    pub fn is_closed(&self, factor: f64, now: DateTime<Utc>) -> bool {
        self.closed_until(factor).is_some_and(|until| now < until)
    }
}

/// Reads a device for judging an answer. Until the transaction ends nobody else can do that or change it: on SQLite this
/// opens the one write transaction, on PostgreSQL it locks the row. Lock several devices in the order of
/// [`DeviceKind::ALL`] and of their keys. None when the device is gone or not confirmed.
pub async fn lock(tx: &mut Tx, kind: DeviceKind, id: i64) -> Result<Option<DeviceRow>, StoreError> {
    tx.begin_write().await?;
    let lock = tx.dialect().for_update();
    if !lock.is_empty() {
        let sql = format!("SELECT id FROM {} WHERE id = $1{lock}", kind.table());
        tx.read(&sql, &[id.into()]).await?;
    }
    // A statement of its own: it sees what was committed while the lock was waited for.
    Ok(super::find(&mut *tx, kind, &id.to_string()).await?.filter(|device| device.confirmed))
}

/// Counts a wrong answer of a locked device.
pub async fn fail(tx: &mut Tx, device: &DeviceRow, now: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = format!("UPDATE {} SET failures = failures + 1, failed_at = $1 WHERE id = $2", device.kind.table());
    tx.write(&sql, &[now.into(), device.id().into()]).await?;
    Ok(())
}

/// Notes a right answer of a locked device: the counter starts anew, the device was used now.
pub async fn succeed(tx: &mut Tx, device: &DeviceRow, now: DateTime<Utc>) -> Result<(), StoreError> {
    let sql =
        format!("UPDATE {} SET failures = 0, failed_at = NULL, last_used = $1 WHERE id = $2", device.kind.table());
    tx.write(&sql, &[now.into(), device.id().into()]).await?;
    Ok(())
}
