//! Removal for a reason: retention, budget, a person's wish, an administrator's hand.

use super::{ChainKey, Head, SIZE, gap, seal};
use chrono::{DateTime, Utc};
use weir_store::{Db, Durability, Row, StoreError, Tx, Val};

/// Why an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its time is over.
    Expired,
    /// The trail has outgrown its budget.
    Budget,
    /// The person it is about was deleted.
    Forgotten,
    /// Somebody with the permission deleted it.
    Deleted,
    /// Somebody with the permission changed it; it stands at a later place now.
    Changed,
}

impl Reason {
    /// How the record of a gap names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Budget => "budget",
            Self::Forgotten => "forgotten",
            Self::Deleted => "deleted",
            Self::Changed => "changed",
        }
    }
}

/// Removes up to `limit` sealed events that meet a condition; returns how many. `condition` uses `$1` and so on for `vals`.
/// Which go first follows from the reason.
///
/// # Errors
/// Those of the store.
pub async fn remove(
    tx: &mut Tx,
    key: &ChainKey,
    now: DateTime<Utc>,
    (condition, vals): (&str, &[Val]),
    limit: i64,
    reason: Reason,
) -> Result<u64, StoreError> {
    tx.lock_events().await?;
    // The order is that of the index the condition has, so that a database never walks the chain to find nothing.
    let first = match reason {
        Reason::Expired => "expires",
        Reason::Forgotten => "created",
        Reason::Budget | Reason::Deleted | Reason::Changed => "seq",
    };
    let sql = format!(
        "SELECT id, seq, hash, {SIZE} AS size FROM audit_event WHERE id IN (SELECT id FROM audit_event \
         WHERE seq IS NOT NULL AND {condition} ORDER BY {first} LIMIT ${}) ORDER BY seq{}",
        vals.len() + 1,
        tx.dialect().for_update()
    );
    let vals: Vec<Val> = vals.iter().cloned().chain([limit.into()]).collect();
    let rows = tx.read(&sql, &vals).await?;
    take_out(tx, key, now, &rows, reason).await?;
    let ids = rows.iter().map(|row| row.text("id").map(Val::from)).collect::<Result<Vec<_>, _>>()?;
    for part in ids.chunks(500) {
        let marks: Vec<String> = (1..=part.len()).map(|i| format!("${i}")).collect();
        tx.write(&format!("DELETE FROM audit_event WHERE id IN ({})", marks.join(", ")), part).await?;
    }
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

/// Removes everything that meets a condition, in transactions of a few hundred, waiting events sealed first.
///
/// # Errors
/// Those of the store.
pub async fn remove_all(
    db: &Db,
    key: &ChainKey,
    now: DateTime<Utc>,
    condition: (&str, &[Val]),
    reason: Reason,
) -> Result<u64, StoreError> {
    let mut count = 0;
    loop {
        let mut tx = db.tx();
        tx.set_durability(Durability::Relaxed);
        // Only what has a place can leave a gap.
        while seal(&mut tx, key).await?.is_some_and(|sealed| sealed.is_full()) {}
        let removed = remove(&mut tx, key, now, condition, super::BATCH, reason).await?;
        tx.commit().await?;
        count += removed;
        if removed == 0 {
            return Ok(count);
        }
    }
}

/// Brings the trail back to its budget, oldest first; returns how many went. Zero means no bound.
///
/// # Errors
/// Those of the store.
pub async fn enforce(
    db: &Db,
    key: &ChainKey,
    now: DateTime<Utc>,
    (most, largest): (i64, i64),
) -> Result<u64, StoreError> {
    let mut count = 0;
    loop {
        let mut tx = db.tx();
        tx.set_durability(Durability::Relaxed);
        tx.lock_events().await?;
        let head = Head::read(&mut tx).await?;
        let rows = if most > 0 { head.kept - most } else { 0 };
        let average = (head.size / head.kept.max(1)).max(1);
        let over = if largest > 0 { head.size - largest } else { 0 };
        let wanted = rows.max((over + average - 1) / average).min(super::BATCH);
        if wanted <= 0 {
            tx.rollback().await?;
            return Ok(count);
        }
        let removed = remove(&mut tx, key, now, ("1 = 1", &[]), wanted, Reason::Budget).await?;
        tx.commit().await?;
        count += removed;
        if removed == 0 {
            return Ok(count);
        }
    }
}

/// Takes one event out of the chain before it is changed or deleted by hand, in the same transaction. What changes gets a
/// new place afterwards.
///
/// # Errors
/// Those of the store.
pub async fn reopen(
    tx: &mut Tx,
    key: &ChainKey,
    now: DateTime<Utc>,
    id: &str,
    reason: Reason,
) -> Result<(), StoreError> {
    while seal(tx, key).await?.is_some_and(|sealed| sealed.is_full()) {}
    let sql = format!("SELECT id, seq, hash, {SIZE} AS size FROM audit_event WHERE id = $1 AND seq IS NOT NULL");
    let rows = tx.read(&sql, &[id.into()]).await?;
    take_out(tx, key, now, &rows, reason).await?;
    tx.write("UPDATE audit_event SET seq = NULL, hash = NULL WHERE id = $1", &[id.into()]).await?;
    Ok(())
}

async fn take_out(
    tx: &mut Tx,
    key: &ChainKey,
    now: DateTime<Utc>,
    rows: &[Row],
    reason: Reason,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let (mut gone, mut size) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        gone.push(gap::Gone { seq: row.int("seq")?, hash: row.text("hash")? });
        size += row.int("size")?;
    }
    gap::record(tx, key, now, &gone, reason.as_str()).await?;
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let sql = "UPDATE audit_chain SET kept = kept - $1, size = size - $2 WHERE id = 1";
    tx.write(sql, &[count.into(), size.into()]).await?;
    Ok(())
}
