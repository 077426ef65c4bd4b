//! Walks the chain from its beginning and finds the first place that does not fit.

use super::{COLUMNS, ChainKey, Head, gap, gap::Gap, hash};
use crate::Subject;
use chrono::TimeDelta;
use std::{collections::VecDeque, fmt};
use weir_store::{Db, Row, StoreError, Tx};

/// Events looked at while the chain is held.
const PAGE: usize = 2000;
/// How much earlier than its predecessor an event may have happened: transactions end in another order than they begin.
const SLACK: TimeDelta = TimeDelta::hours(1);

/// A place and its hash that somebody wrote down elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The place.
    pub seq: i64,
    /// What its hash was.
    pub hash: String,
}

/// What a sound chain holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Last place.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
    /// Events that were checked.
    pub checked: u64,
    /// Places that were given up for a recorded reason.
    pub removed: u64,
    /// Events that wait for their place.
    pub waiting: u64,
}

/// The first place that does not fit, and the event there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The content is not what was sealed here, or the event stood elsewhere.
    Changed(i64, String),
    /// Nothing stands here, and no removal was recorded.
    Missing(i64),
    /// An event stands where none was sealed.
    Inserted(i64, String),
    /// An event tells a time long before its place in the chain.
    Backdated(i64, String),
    /// The record of a removal was not written by this installation, or does not continue the chain.
    Gap(i64, i64),
    /// The signed end is another one.
    End(i64),
    /// The chain does not lead through the place that was written down.
    Anchor(i64),
    /// The place that was written down was given up for a recorded reason, so that it proves nothing any more.
    AnchorGone(i64),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(seq, id) => write!(f, "the event {id} at place {seq} was changed or put elsewhere"),
            Self::Missing(seq) => write!(f, "the event at place {seq} is missing"),
            Self::Inserted(seq, id) => write!(f, "the event {id} at place {seq} was put in"),
            Self::Backdated(seq, id) => {
                write!(f, "the event {id} at place {seq} claims a time long before those in front of it")
            }
            Self::Gap(first, last) => write!(f, "the record that {first} to {last} were removed is not genuine"),
            Self::End(seq) => write!(f, "the end of the chain at place {seq} is not the one that was signed"),
            Self::Anchor(seq) => write!(f, "place {seq} is not the one that was written down"),
            Self::AnchorGone(seq) => {
                write!(f, "place {seq}, which was written down, was removed for a recorded reason; expect a later one")
            }
        }
    }
}

struct Walk<'a> {
    key: &'a ChainKey,
    expected: Option<&'a Anchor>,
    found: Found,
    latest: i64,
}

/// Checks the whole chain. The inner error is the first place that does not fit.
///
/// # Errors
/// Those of the store.
pub async fn verify(db: &Db, key: &ChainKey, expected: Option<&Anchor>) -> Result<Result<Found, Broken>, StoreError> {
    let mut walk = Walk { key, expected, found: Found::default(), latest: i64::MIN };
    if let Some(row) = db.read_one("SELECT id, seq FROM audit_event WHERE seq < 1 ORDER BY seq LIMIT 1", &[]).await? {
        return Ok(Err(Broken::Inserted(row.int("seq")?, row.text("id")?)));
    }
    loop {
        // Held for a page only: whoever writes events never waits long.
        let mut tx = db.tx();
        tx.lock_events().await?;
        let done = walk.page(&mut tx).await?;
        tx.rollback().await?;
        match done {
            Err(broken) => return Ok(Err(broken)),
            Ok(true) => break,
            Ok(false) => {}
        }
    }
    let sql = "SELECT COUNT(*) AS n FROM audit_event WHERE seq IS NULL";
    let waiting = db.read_one(sql, &[]).await?.map_or(Ok(0), |row| row.int("n"))?;
    walk.found.waiting = u64::try_from(waiting).unwrap_or_default();
    Ok(Ok(walk.found))
}

/// Whether the columns for lists are what the details say: an event must not hide from those who look for it.
fn tells_its_subject(row: &Row) -> Result<bool, StoreError> {
    let context = row.json("context")?;
    let subject = context.as_object().map(Subject::of).unwrap_or_default();
    Ok(row.opt_text("object_pk")? == subject.object_pk && row.opt_text("application")? == subject.application)
}

impl Walk<'_> {
    /// Whether the end was reached.
    async fn page(&mut self, tx: &mut Tx) -> Result<Result<bool, Broken>, StoreError> {
        let (next, page) = (self.found.seq + 1, i64::try_from(PAGE).unwrap_or(i64::MAX));
        let sql = format!("SELECT {COLUMNS}, seq, hash FROM audit_event WHERE seq >= $1 ORDER BY seq LIMIT $2");
        let rows = tx.read(&sql, &[next.into(), page.into()]).await?;
        let sql = format!("SELECT {} FROM audit_gap WHERE last_seq >= $1 ORDER BY first_seq LIMIT $2", gap::COLUMNS);
        let gaps = tx.read(&sql, &[next.into(), page.into()]).await?;
        let is_last = rows.len() < PAGE && gaps.len() < PAGE;
        let mut gaps = gaps.iter().map(Gap::of).collect::<Result<VecDeque<_>, _>>()?;
        let mut rows = VecDeque::from(rows);
        let head = Head::read(tx).await?;
        loop {
            let next = self.found.seq + 1;
            if gaps.front().is_some_and(|gap| gap.first <= next)
                && let Some(gap) = gaps.pop_front()
            {
                if let Err(broken) = self.gap(tx, &gap).await? {
                    return Ok(Err(broken));
                }
                continue;
            }
            let Some(row) = rows.pop_front() else { break };
            if let Err(broken) = self.event(&head, &row)? {
                return Ok(Err(broken));
            }
        }
        if !is_last {
            return Ok(Ok(false));
        }
        Ok(self.end(&head))
    }

    fn end(&self, head: &Head) -> Result<bool, Broken> {
        if self.found.seq < head.seq {
            return Err(Broken::Missing(self.found.seq + 1));
        }
        if self.found.hash != head.hash || self.found.seq != head.seq || !head.is_signed(self.key) {
            return Err(Broken::End(self.found.seq));
        }
        match self.expected {
            Some(anchor) if anchor.seq > self.found.seq => Err(Broken::Anchor(anchor.seq)),
            _ => Ok(true),
        }
    }

    fn event(&mut self, head: &Head, row: &Row) -> Result<Result<(), Broken>, StoreError> {
        let (seq, id, next) = (row.int("seq")?, row.text("id")?, self.found.seq + 1);
        if seq > head.seq {
            return Ok(Err(Broken::Inserted(seq, id)));
        }
        if seq != next {
            return Ok(Err(Broken::Missing(next)));
        }
        let expected = hash(&self.found.hash, seq, row)?;
        if row.opt_text("hash")?.as_deref() != Some(expected.as_str()) || !tells_its_subject(row)? {
            return Ok(Err(Broken::Changed(seq, id)));
        }
        let created = row.int("created")?;
        if created < self.latest.saturating_sub(SLACK.num_microseconds().unwrap_or_default()) {
            return Ok(Err(Broken::Backdated(seq, id)));
        }
        self.latest = self.latest.max(created);
        self.found.checked += 1;
        Ok(self.step(seq, expected))
    }

    async fn gap(&mut self, tx: &mut Tx, gap: &Gap) -> Result<Result<(), Broken>, StoreError> {
        let next = self.found.seq + 1;
        let broken = Broken::Gap(gap.first, gap.last);
        // One that begins earlier has grown since we passed its beginning.
        if !gap.is_signed(self.key) || gap.last < next || (gap.first == next && gap.before != self.found.hash) {
            return Ok(Err(broken));
        }
        let sql = "SELECT id, seq FROM audit_event WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT 1";
        if let Some(row) = tx.read_one(sql, &[gap.first.into(), gap.last.into()]).await? {
            return Ok(Err(Broken::Inserted(row.int("seq")?, row.text("id")?)));
        }
        // Whoever has the key can also write a gap.
        if let Some(anchor) = self.expected.filter(|anchor| (next..gap.last).contains(&anchor.seq)) {
            return Ok(Err(Broken::AnchorGone(anchor.seq)));
        }
        self.found.removed += u64::try_from(gap.last - gap.first + 1).unwrap_or_default();
        Ok(self.step(gap.last, gap.after.clone()))
    }

    fn step(&mut self, seq: i64, hash: String) -> Result<(), Broken> {
        if let Some(anchor) = self.expected.filter(|anchor| anchor.seq == seq)
            && anchor.hash != hash
        {
            return Err(Broken::Anchor(seq));
        }
        (self.found.seq, self.found.hash) = (seq, hash);
        Ok(())
    }
}
