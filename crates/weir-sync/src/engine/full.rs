//! The full sync: what is there already is found, everything that may be in scope is made pending page by page and
//! delivered, and what left the scope is removed.

use super::{Engine, Run};
use crate::{
    connection,
    journal::Journal,
    provider,
    state::{self, Change, Model},
    wire::Failure,
};
use chrono::TimeDelta;
use serde_json::json;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use uuid::Uuid;
use weir_core::ApiError;
use weir_resource::store;
use weir_store::{Durability, jobs::LogLevel};

/// How long a full sync that says nothing counts as on its way.
pub(super) const LEASE: TimeDelta = TimeDelta::hours(1);

/// How a full sync ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullEnd {
    /// There is no such provider, or no application names it.
    NoProvider,
    /// Another one is on its way.
    AlreadyRunning,
    /// Every page was delivered. Another one was wanted meanwhile when the flag is set.
    Done(bool),
    /// It ended early; what is pending stays so.
    Cut(bool),
}

/// What stops a full sync before its end.
enum Halt {
    Target,
    Time,
    Own(ApiError),
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Self {
        Self::Own(error)
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Own(ApiError::Internal(anyhow::anyhow!(failure.reason())))
    }
}

impl From<weir_store::StoreError> for Halt {
    fn from(error: weir_store::StoreError) -> Self {
        Self::Own(store(error))
    }
}

/// The clock of a full sync, and how it reports.
struct Pace<'a> {
    started: Instant,
    limit: Duration,
    pages: usize,
    done: usize,
    holder: Uuid,
    progress: &'a (dyn Fn(f64) + Send + Sync),
}

impl Engine {
    /// Runs a full sync. `holder` tells this run from others, and stays the same when its task is started anew.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn full(
        &self,
        number: i64,
        holder: Uuid,
        journal: &Journal,
        progress: &(dyn Fn(f64) + Send + Sync),
    ) -> Result<FullEnd, ApiError> {
        let site = &self.site;
        // What another node wrote, or this one is just publishing.
        site.catch_up().await?;
        let snapshot = site.snapshot();
        let Some(assigned) = provider::assigned(&snapshot, &self.kinds, number) else {
            return Ok(FullEnd::NoProvider);
        };
        let now = site.clock.now();
        let mut tx = site.db.tx();
        let lease = (now, now + LEASE);
        let mine = state::begin_full(&mut tx, number, holder, lease).await.map_err(store)?;
        if mine {
            state::retry_gone(&mut tx, now, number).await.map_err(store)?;
        } else {
            state::want_again(&mut tx, number).await.map_err(store)?;
        }
        let turn = state::target(&mut tx, number).await.map_err(store)?.turn;
        tx.commit().await.map_err(store)?;
        if !mine {
            journal.info("Synchronization is already running. Skipping.", json!({}));
            return Ok(FullEnd::AlreadyRunning);
        }
        // A fresh look at what the target can do and which token opens it.
        assigned.kind.forget(number);
        let ended = match self.open(&assigned, journal, false).await {
            Ok(mut run) => run.everything(holder, turn, progress).await,
            Err(failure) => {
                self.blocked((number, turn), &failure, journal).await?;
                Err(Halt::Target)
            }
        };
        let good = matches!(ended, Ok(())).then(|| site.clock.now());
        let mut tx = site.db.tx();
        let again = state::end_full(&mut tx, number, holder, good).await.map_err(store)?;
        tx.commit().await.map_err(store)?;
        match ended {
            Ok(()) => Ok(FullEnd::Done(again)),
            Err(Halt::Target) => Ok(FullEnd::Cut(again)),
            Err(Halt::Time) => {
                let text = "The time for the whole synchronization is over; the rest stays pending.";
                journal.add(LogLevel::Error, text, json!({}));
                Ok(FullEnd::Cut(again))
            }
            Err(Halt::Own(error)) => Err(error),
        }
    }
}

impl Run<'_> {
    async fn everything(
        &mut self,
        holder: Uuid,
        turn: i64,
        progress: &(dyn Fn(f64) + Send + Sync),
    ) -> Result<(), Halt> {
        let pages = self.count().await?.div_ceil(self.terms.common.page_size()).max(1);
        let limit = self.terms.common.page_timeout().mul_f64(pages as f64 * 1.5);
        let mut pace = Pace { started: Instant::now(), limit, pages, done: 0, holder, progress };
        if self.terms.common.discovery_enabled {
            for model in [Model::User, Model::Group] {
                let until = pace.started + pace.limit;
                let mut found = self.discover(model, holder, until).await;
                if let Err(failure) = &found
                    && self.reopened(failure).await?
                {
                    found = self.discover(model, holder, until).await;
                }
                if let Err(failure) = found {
                    self.engine.blocked((self.assigned.number, turn), &failure, self.wire.journal).await?;
                    return Err(Halt::Target);
                }
            }
        }
        for model in [Model::User, Model::Group] {
            let seen = self.pages(model, &mut pace).await?;
            self.cleanup(model, &seen, &mut pace).await?;
        }
        // Groups out of scope that new users are members of.
        self.drain(self.terms.common.page_timeout(), None).await?;
        Ok(())
    }

    /// Makes everything that may be in scope pending, page by page, and delivers it; gives the keys.
    async fn pages(&mut self, model: Model, pace: &mut Pace<'_>) -> Result<HashSet<String>, Halt> {
        let mut seen = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let keys = self.candidates(model, after.as_deref()).await?;
            let Some(last) = keys.last().cloned() else { return Ok(seen) };
            self.page(model, &keys, pace).await?;
            seen.extend(keys);
            after = Some(last);
        }
    }

    /// What the target knows and is not to know any more.
    async fn cleanup(&mut self, model: Model, seen: &HashSet<String>, pace: &mut Pace<'_>) -> Result<(), Halt> {
        let (db, tables) = (&self.engine.site.db, self.assigned.kind.tables());
        let mut after: Option<String> = None;
        loop {
            let window = (after.as_deref(), self.terms.common.page_size());
            let known = connection::page(db, &tables, self.assigned.number, model, window).await?;
            let Some(last) = known.last().cloned() else { return Ok(()) };
            let left: Vec<String> = known.into_iter().filter(|key| !seen.contains(key)).collect();
            if !left.is_empty() {
                self.page(model, &left, pace).await?;
            }
            after = Some(last);
        }
    }

    async fn page(&mut self, model: Model, keys: &[String], pace: &mut Pace<'_>) -> Result<(), Halt> {
        if pace.started.elapsed() >= pace.limit {
            return Err(Halt::Time);
        }
        if !self.is_current() {
            return Err(Halt::Target);
        }
        let (site, number) = (&self.engine.site, self.assigned.number);
        let now = site.clock.now();
        let changes: Vec<Change> = keys.iter().map(Change::of).collect();
        let mut tx = site.db.tx();
        tx.set_durability(Durability::Relaxed);
        state::enqueue(&mut tx, (&*site.random, now), number, model, &changes).await?;
        let lease = LEASE.max(TimeDelta::from_std(self.terms.common.page_timeout()).unwrap_or(LEASE) * 2);
        let mine = state::renew_full(&mut tx, number, pace.holder, now + lease).await?;
        tx.commit().await?;
        if !mine {
            return Err(Halt::Own(ApiError::Internal(anyhow::anyhow!("Another synchronization took over."))));
        }
        let begun = Instant::now();
        let trouble = self.drain(self.terms.common.page_timeout(), Some(model)).await?;
        pace.done += 1;
        (pace.progress)((pace.done as f64 / pace.pages as f64).min(0.99));
        let fields = json!({"model": model.word(), "objects": keys.len(), "seconds": begun.elapsed().as_secs_f64()});
        match trouble {
            None => {
                self.wire.journal.info("Page delivered", fields);
                Ok(())
            }
            Some(_) if begun.elapsed() >= self.terms.common.page_timeout() => {
                self.wire.journal.warn("The time for a page is over; the rest stays pending.", fields);
                Ok(())
            }
            Some(_) => Err(Halt::Target),
        }
    }
}
