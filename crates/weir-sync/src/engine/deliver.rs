//! Delivery: due objects of one target are claimed a few at a time, told, and settled.

use super::{
    Engine, Run, WIDTH,
    attempt::{Done, Kept},
};
use crate::{
    connection::{self, Saved},
    journal::Journal,
    provider,
    state::{self, Change, Claimed, Model, State, Verdict},
    wire::Failure,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;
use std::time::{Duration, Instant};
use weir_core::ApiError;
use weir_events::{Event, action};
use weir_resource::{Actor, Unit, store};
use weir_store::{Durability, StoreError, jobs::LogLevel};

/// An object at which the target fails this often is given up.
const MOST_ATTEMPTS: i64 = 8;

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// There is no such provider, or no application names it.
    NoProvider,
    /// Nothing is pending.
    Idle,
    /// Something is pending, and due at this time.
    At(DateTime<Utc>),
}

/// What a round means for the target as a whole.
#[derive(Debug)]
pub(super) enum Round {
    /// Nothing was due.
    Empty,
    /// It answers.
    Good,
    /// It is to be left alone for a while.
    Trouble(Failure),
}

/// 15 s, 30 s, 1 min … at most an hour.
fn backoff(failures: i64) -> TimeDelta {
    let doublings = u32::try_from(failures.clamp(0, 8)).unwrap_or_default();
    TimeDelta::seconds((15_i64 << doublings).min(3600))
}

impl Engine {
    /// Delivers what is due to a provider's target, for about this long.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn deliver(&self, number: i64, journal: &Journal, budget: Duration) -> Result<End, ApiError> {
        let site = &self.site;
        // What another node wrote, or this one is just publishing.
        site.catch_up().await?;
        let snapshot = site.snapshot();
        let Some(assigned) = provider::assigned(&snapshot, &self.kinds, number) else { return Ok(End::NoProvider) };
        let known = state::target(&site.db, number).await.map_err(store)?;
        if let Some(until) = known.blocked_until.filter(|until| *until > site.clock.now()) {
            return Ok(End::At(until));
        }
        let run = match self.open(&assigned, journal, false).await {
            Ok(run) => run,
            Err(failure) => return Ok(End::At(self.blocked(number, &failure, journal).await?)),
        };
        match run.drain(budget).await? {
            Some(until) => Ok(End::At(until)),
            None => {
                let due = state::next_due(&site.db, number).await.map_err(store)?;
                Ok(due.map_or(End::Idle, End::At))
            }
        }
    }

    /// Leaves a target alone for a while; gives the end of it.
    pub(super) async fn blocked(
        &self,
        number: i64,
        failure: &Failure,
        journal: &Journal,
    ) -> Result<DateTime<Utc>, ApiError> {
        let site = &self.site;
        let known = state::target(&site.db, number).await.map_err(store)?;
        let asked = match failure {
            Failure::Away { wait: Some(wait), .. } => TimeDelta::from_std(*wait).unwrap_or_default(),
            _ => TimeDelta::zero(),
        };
        let until = site.clock.now() + backoff(known.failures).max(asked);
        let reason = failure.reason();
        let mut unit = Unit::new(site, Actor::system());
        state::block(&mut unit.tx, number, until, &reason).await.map_err(store)?;
        if let Failure::Stop(message) | Failure::Unknown(message) = failure {
            // A token that was refused is not tried again; one that can be renewed is.
            let sql = "UPDATE sync_target SET token_expires = NULL WHERE provider = $1";
            unit.tx.write(sql, &[number.into()]).await.map_err(store)?;
            let provider = provider::find(&unit.snapshot, number).cloned();
            if let Some(kind) = provider.as_ref().and_then(|provider| self.kinds.find(provider.kind.model)) {
                kind.forget(number);
            }
            let app = provider.as_ref().map_or("authentik_core", |provider| provider.kind.app_label());
            let shown = provider.as_ref().map(|p| {
                json!({"app": p.kind.app_label(), "model_name": p.kind.model_name(), "pk": number, "name": p.name()})
            });
            let context = json!({"message": format!("Outgoing sync stopped: {message}"), "provider": shown});
            unit.event(Event::new(action::CONFIGURATION_ERROR, app, context)).await?;
        }
        unit.commit().await?;
        let fields = json!({"until": until.to_rfc3339(), "reason": reason});
        journal.add(LogLevel::Error, format!("The target is left alone for a while: {reason}"), fields);
        Ok(until)
    }
}

impl Run<'_> {
    /// Delivers what is due until nothing is, the time is over, or the target is in trouble; then the end of that.
    pub(super) async fn drain(&self, budget: Duration) -> Result<Option<DateTime<Utc>>, ApiError> {
        let started = Instant::now();
        let (site, number) = (&self.engine.site, self.assigned.number);
        let mut failures = state::target(&site.db, number).await.map_err(store)?.failures;
        loop {
            // A target that was in trouble is tried with one object.
            let width = if failures > 0 { 1 } else { WIDTH };
            match self.round(width).await? {
                Round::Empty => return Ok(None),
                Round::Good if failures > 0 => {
                    let mut tx = site.db.tx();
                    state::unblock(&mut tx, number).await.map_err(store)?;
                    tx.commit().await.map_err(store)?;
                    failures = 0;
                }
                Round::Good => {}
                Round::Trouble(failure) => {
                    return Ok(Some(self.engine.blocked(number, &failure, self.wire.journal).await?));
                }
            }
            if started.elapsed() >= budget {
                return Ok(Some(site.clock.now()));
            }
        }
    }

    async fn round(&self, width: usize) -> Result<Round, ApiError> {
        let site = &self.engine.site;
        let mut tx = site.db.tx();
        tx.set_durability(Durability::Relaxed);
        let limit = i64::try_from(width).unwrap_or(1);
        let when = (&*site.random, site.clock.now());
        let claimed = state::claim(&mut tx, when, self.assigned.number, None, limit).await.map_err(store)?;
        tx.commit().await.map_err(store)?;
        if claimed.is_empty() {
            return Ok(Round::Empty);
        }
        let results = join_all(claimed.iter().map(|row| self.one(row))).await;
        let mut failures = Vec::new();
        for result in results {
            failures.extend(result.map_err(store)?);
        }
        let broken = failures.iter().filter(|failure| matches!(failure, Failure::Broken(_))).count();
        let whole = |failure: &Failure| {
            !matches!(
                failure,
                Failure::Broken(_)
                    | Failure::Bad(_)
                    | Failure::Conflict(_)
                    | Failure::Missing
                    | Failure::Skip
                    | Failure::Dry
            )
        };
        if let Some(failure) = failures.iter().find(|failure| whole(failure)) {
            return Ok(Round::Trouble(failure.clone()));
        }
        // One object may be the target's problem; everything it is asked is not.
        match failures.first() {
            Some(failure) if broken == claimed.len() && broken > 2 => Ok(Round::Trouble(failure.clone())),
            _ => Ok(Round::Good),
        }
    }

    /// Tells the target of one claimed object and settles it. Gives what failed.
    pub(super) async fn one(&self, row: &Claimed) -> Result<Option<Failure>, StoreError> {
        let (kept, result) = self.attempt(row).await;
        let now = self.engine.site.clock.now();
        let verdict = match &result {
            Ok(Done::InSync) => Verdict::Is(State::InSync, String::new()),
            Ok(Done::Forget) => Verdict::Forget,
            Err(failure) => self.judge(row, failure, now),
        };
        self.settle(row, kept, verdict, now).await?;
        Ok(result.err())
    }

    fn judge(&self, row: &Claimed, failure: &Failure, now: DateTime<Utc>) -> Verdict {
        let reason = failure.reason();
        let fields = json!({"model": row.model.word(), "object": row.key, "reason": reason});
        let journal = self.wire.journal;
        match failure {
            Failure::Away { .. } | Failure::Unknown(_) => Verdict::Again(now, reason),
            Failure::Own(_) => {
                journal.add(LogLevel::Error, format!("Not delivered: {reason}"), fields);
                Verdict::Again(now, reason)
            }
            Failure::Broken(_) if row.attempts + 1 < MOST_ATTEMPTS => {
                journal.warn(format!("The target failed; it is tried again: {reason}"), fields);
                Verdict::Again(now + backoff(row.attempts), reason)
            }
            Failure::Skip | Failure::Dry => {
                journal.info(reason.clone(), fields);
                Verdict::Is(State::Skipped, reason)
            }
            Failure::Broken(_) | Failure::Bad(_) | Failure::Conflict(_) | Failure::Missing | Failure::Stop(_) => {
                journal.warn(format!("Given up: {reason}"), fields);
                Verdict::Is(State::Failed, reason)
            }
        }
    }

    async fn settle(
        &self,
        row: &Claimed,
        kept: Kept,
        mut verdict: Verdict,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (site, number) = (&self.engine.site, self.assigned.number);
        let tables = self.assigned.kind.tables();
        let which = (row.model, row.key.as_str());
        let mut tx = site.db.tx();
        tx.begin_write().await?;
        let (mut model, mut changes) = (Model::Group, Vec::new());
        match kept {
            Kept::Same => {}
            Kept::None => connection::forget(&mut tx, &tables, number, which).await?,
            Kept::Is(new, is_new) => {
                let id = site.random.uuid();
                match connection::save(&mut tx, id, (&tables, number), which, &new).await? {
                    Saved::Taken => {
                        let reason = format!("{} is connected with another object already.", new.remote_id);
                        verdict = Verdict::Is(State::Failed, reason);
                    }
                    // The deletion did not know what the target calls it; whoever is told next has to.
                    Saved::Gone => {
                        model = row.model;
                        changes.push(Change { key: row.key.clone(), gone: Some(new.remote_id) });
                    }
                    // Groups could not name somebody whom the target did not know.
                    Saved::Kept if is_new && row.model == Model::User => {
                        changes.extend(connection::groups_of(&mut tx, &row.key).await?.into_iter().map(Change::of));
                    }
                    Saved::Kept => {}
                }
            }
        }
        // Objects, then rows of the outbox, users before groups: in this order everybody takes them.
        state::settle(&mut tx, now, row, &verdict).await?;
        state::enqueue(&mut tx, (&*site.random, now), number, model, &changes).await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::backoff;

    #[test]
    fn a_target_in_trouble_is_asked_ever_less_often_but_once_an_hour() {
        let seconds: Vec<i64> = (0..10).map(|n| backoff(n).num_seconds()).collect();
        assert_eq!(seconds, [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }
}
