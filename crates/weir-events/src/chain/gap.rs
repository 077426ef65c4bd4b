//! Signed records of places whose events are gone. Neighbouring ones become one, so that years of retention are one row.

use super::ChainKey;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use weir_core::Map;
use weir_store::{Row, StoreError, Tx, Val};

pub(super) const COLUMNS: &str = "first_seq, last_seq, hash_before, hash_after, reasons, changed, signature";

/// How many places are looked up in one statement.
const STEP: usize = 200;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gap {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) before: String,
    pub(super) after: String,
    /// As it is stored, so that the signature fits.
    pub(super) reasons: String,
    changed: i64,
    signature: String,
}

impl Gap {
    pub(super) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            first: row.int("first_seq")?,
            last: row.int("last_seq")?,
            before: row.text("hash_before")?,
            after: row.text("hash_after")?,
            reasons: row.text("reasons")?,
            changed: row.int("changed")?,
            signature: row.text("signature")?,
        })
    }

    fn parts(&self) -> [String; 7] {
        [
            "gap".to_owned(),
            self.first.to_string(),
            self.last.to_string(),
            self.before.clone(),
            self.after.clone(),
            self.reasons.clone(),
            self.changed.to_string(),
        ]
    }

    pub(super) fn is_signed(&self, key: &ChainKey) -> bool {
        key.verify(&self.parts(), &self.signature)
    }

    /// Takes in what follows it.
    fn join(mut self, next: Self) -> Self {
        let read = |text: &str| serde_json::from_str::<Map>(text).unwrap_or_default();
        let mut reasons = read(&self.reasons);
        for (reason, count) in read(&next.reasons) {
            let sum = reasons.get(&reason).and_then(Value::as_i64).unwrap_or(0) + count.as_i64().unwrap_or(0);
            reasons.insert(reason, sum.into());
        }
        self.reasons = Value::Object(reasons).to_string();
        self.last = next.last;
        self.after = next.after;
        self
    }
}

/// A sealed event that goes.
pub(super) struct Gone {
    pub(super) seq: i64,
    pub(super) hash: String,
}

/// Writes down that these go, in order of their places, for one reason.
pub(super) async fn record(
    tx: &mut Tx,
    key: &ChainKey,
    now: DateTime<Utc>,
    gone: &[Gone],
    reason: &str,
) -> Result<(), StoreError> {
    let mut runs: Vec<(i64, i64, String)> = Vec::new();
    for event in gone {
        match runs.last_mut() {
            Some((_, last, after)) if *last + 1 == event.seq => {
                *last = event.seq;
                after.clone_from(&event.hash);
            }
            _ => runs.push((event.seq, event.seq, event.hash.clone())),
        }
    }
    let (mut gaps, before) = neighbours(tx, &runs).await?;
    let known: Vec<i64> = gaps.keys().copied().collect();
    for (first, last, after) in runs {
        let count = last - first + 1;
        let own = Gap {
            first,
            last,
            before: before.get(&(first - 1)).cloned().unwrap_or_default(),
            after,
            reasons: Value::Object(Map::from_iter([(reason.to_owned(), count.into())])).to_string(),
            changed: 0,
            signature: String::new(),
        };
        let left = gaps.range(..first).next_back().filter(|(_, gap)| gap.last == first - 1).map(|(at, _)| *at);
        let mut merged = match left.and_then(|at| gaps.remove(&at)) {
            Some(left) => left.join(own),
            None => own,
        };
        if let Some(right) = gaps.remove(&(last + 1)) {
            merged = merged.join(right);
        }
        // An old signature must not stay on what has grown.
        merged.signature.clear();
        gaps.insert(merged.first, merged);
    }
    for part in known.chunks(STEP) {
        let marks: Vec<String> = (1..=part.len()).map(|i| format!("${i}")).collect();
        let vals: Vec<Val> = part.iter().map(|seq| Val::from(*seq)).collect();
        tx.write(&format!("DELETE FROM audit_gap WHERE first_seq IN ({})", marks.join(", ")), &vals).await?;
    }
    for mut gap in gaps.into_values() {
        if gap.signature.is_empty() {
            gap.changed = now.timestamp_micros();
            gap.signature = key.sign(&gap.parts());
        }
        let sql = format!("INSERT INTO audit_gap ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)");
        let vals: [Val; 7] = [
            gap.first.into(),
            gap.last.into(),
            gap.before.into(),
            gap.after.into(),
            gap.reasons.into(),
            gap.changed.into(),
            gap.signature.into(),
        ];
        tx.write(&sql, &vals).await?;
    }
    Ok(())
}

/// The gaps that touch these runs, and the hashes of the events before them.
async fn neighbours(
    tx: &mut Tx,
    runs: &[(i64, i64, String)],
) -> Result<(BTreeMap<i64, Gap>, BTreeMap<i64, String>), StoreError> {
    let (mut gaps, mut before) = (BTreeMap::new(), BTreeMap::new());
    for part in runs.chunks(STEP) {
        let marks = |from: usize| -> String {
            (from..from + part.len()).map(|i| format!("${i}")).collect::<Vec<_>>().join(", ")
        };
        let ends: Vec<Val> = part.iter().map(|(first, ..)| Val::from(first - 1)).collect();
        let starts = part.iter().map(|(_, last, _)| Val::from(last + 1));
        let both: Vec<Val> = ends.iter().cloned().chain(starts).collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM audit_gap WHERE last_seq IN ({}) OR first_seq IN ({})",
            marks(1),
            marks(1 + part.len())
        );
        for row in tx.read(&sql, &both).await? {
            let gap = Gap::of(&row)?;
            before.insert(gap.last, gap.after.clone());
            gaps.insert(gap.first, gap);
        }
        let sql = format!("SELECT seq, hash FROM audit_event WHERE seq IN ({})", marks(1));
        for row in tx.read(&sql, &ends).await? {
            before.insert(row.int("seq")?, row.text("hash")?);
        }
    }
    Ok((gaps, before))
}
