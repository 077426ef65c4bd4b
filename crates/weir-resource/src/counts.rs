//! Numbers of long lists: counting a million rows takes longer than reading a page of them.

use crate::{Unit, store};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use weir_core::{ApiError, ResourceType, TableDef};
use weir_store::Val;

/// Shorter lists are counted for each page.
const LONG: u64 = 50_000;
/// How old the number of a long list may be.
const LIFE: TimeDelta = TimeDelta::seconds(10);
/// Lists remembered at most; beyond it all are forgotten, which costs one count each.
const LISTS: usize = 256;

/// How many objects long lists had a moment ago, by the question asked.
#[derive(Default)]
pub(crate) struct Counts(Mutex<HashMap<String, (u64, DateTime<Utc>)>>);

impl Counts {
    /// What tells one list from another.
    pub(crate) fn key(sql: &str, vals: &[Val]) -> String {
        format!("{sql} {vals:?}")
    }

    /// The number, when the list is long and was counted lately.
    pub(crate) fn get(&self, key: &str, now: DateTime<Utc>) -> Option<u64> {
        let lists = self.lists();
        let (count, at) = lists.get(key)?;
        (*at <= now && now - *at < LIFE).then_some(*count)
    }

    /// Remembers the number of a long list.
    pub(crate) fn put(&self, key: String, count: u64, now: DateTime<Utc>) {
        let mut lists = self.lists();
        if count < LONG {
            lists.remove(&key);
            return;
        }
        if lists.len() >= LISTS {
            lists.clear();
        }
        lists.insert(key, (count, now));
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<String, (u64, DateTime<Utc>)>> {
        // Nothing under the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of objects of a list.
pub(crate) struct Count {
    /// The number.
    pub(crate) number: u64,
    /// It is not a lower bound, nor kept by other means than counting.
    pub(crate) is_exact: bool,
}

impl Unit<'_> {
    /// The number of matches, for the page that begins behind the first `skip` of them. Where the kind does not count in a
    /// way of its own, the number of a long list may be a few seconds old, as long as the page is in it.
    pub(crate) async fn count(
        &mut self,
        kind: &'static ResourceType,
        def: &'static TableDef,
        (where_sql, vals): (&str, &[Val]),
        skip: u64,
        size: u64,
    ) -> Result<Count, ApiError> {
        let counting = self.site.hooks.of(kind.model).iter().find_map(|hooks| hooks.counting());
        let number = match counting {
            Some(counting) if where_sql.is_empty() => self.number(counting.all, &[]).await?,
            Some(counting) => {
                let most = counting.most.max(skip.saturating_add(size).saturating_add(1));
                let mut vals = vals.to_vec();
                vals.push(i64::try_from(most).unwrap_or(i64::MAX).into());
                let (table, limit) = (def.table, vals.len());
                let sql =
                    format!("SELECT COUNT(*) AS n FROM (SELECT 1 FROM {table}{where_sql} LIMIT ${limit}) AS matching");
                self.number(&sql, &vals).await?
            }
            None => {
                let sql = format!("SELECT COUNT(*) AS n FROM {}{where_sql}", def.table);
                let (key, now) = (Counts::key(&sql, vals), self.site.clock.now());
                match self.site.counts.get(&key, now).filter(|known| skip < *known) {
                    Some(known) => known,
                    None => {
                        let number = self.number(&sql, vals).await?;
                        self.site.counts.put(key, number, now);
                        number
                    }
                }
            }
        };
        Ok(Count { number, is_exact: counting.is_none() })
    }

    async fn number(&mut self, sql: &str, vals: &[Val]) -> Result<u64, ApiError> {
        let row = self.tx.read_one(sql, vals).await.map_err(store)?;
        let number = row.map_or(Ok(0), |row| row.int("n")).map_err(store)?;
        Ok(u64::try_from(number).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_lists_are_remembered_and_only_for_a_moment() {
        let (counts, now) = (Counts::default(), DateTime::UNIX_EPOCH);
        counts.put("short".to_owned(), LONG - 1, now);
        counts.put("long".to_owned(), LONG, now);
        assert_eq!(counts.get("short", now), None);
        assert_eq!(counts.get("long", now + LIFE - TimeDelta::milliseconds(1)), Some(LONG));
        assert_eq!(counts.get("long", now + LIFE), None);
        counts.put("long".to_owned(), 1, now);
        assert_eq!(counts.get("long", now), None, "it has become short");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (counts, now) = (Counts::default(), DateTime::UNIX_EPOCH);
        for list in 0..2 * LISTS {
            counts.put(format!("list {list}"), LONG, now);
        }
        assert!(counts.lists().len() <= LISTS);
    }
}
