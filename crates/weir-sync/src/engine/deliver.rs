//! Delivery: due objects of one target are claimed a few at a time, told, and settled.

use super::{
    Engine, Run, WIDTH,
    attempt::{Kept, Plan},
    settle::Ended,
};
use crate::{
    journal::Journal,
    provider::{self, Assigned},
    state::{self, Claimed, Model, State, Verdict, Which},
    wire::Failure,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{
    FutureExt as _,
    future::BoxFuture,
    stream::{self, StreamExt as _},
};
use serde_json::json;
use std::{
    pin::pin,
    sync::OnceLock,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use weir_core::{ApiError, Map};
use weir_events::{Event, action};
use weir_resource::{Actor, Stored, Unit, store};
use weir_store::{Durability, StoreError, jobs::LogLevel};

/// An object at which the target fails this often is given up.
const MOST_ATTEMPTS: i64 = 8;

/// Objects that are looked at together as long as the target answers quickly.
const BATCH: usize = 4 * WIDTH;
/// A round that took less was quick.
const QUICK: Duration = Duration::from_millis(500);
/// How often claims are renewed while calls are on their way.
const HOLD: Duration = Duration::from_secs(45);

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
        let mut run = match self.open(&assigned, journal, false).await {
            Ok(run) => run,
            Err(failure) => return Ok(End::At(self.blocked((number, known.turn), &failure, journal).await?)),
        };
        match run.drain(budget, None).await? {
            Some(until) => Ok(End::At(until)),
            None => {
                let due = state::next_due(&site.db, number).await.map_err(store)?;
                Ok(due.map_or(End::Idle, End::At))
            }
        }
    }

    /// Leaves a target alone for a while; gives the end of it. What was asked in an earlier turn says nothing about now.
    pub(super) async fn blocked(
        &self,
        (number, turn): (i64, i64),
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
        if !state::block(&mut unit.tx, (number, turn), until, &reason).await.map_err(store)? {
            unit.rollback().await?;
            journal.info("The target answered too late to be left alone for it", json!({"reason": reason}));
            let now = state::target(&site.db, number).await.map_err(store)?;
            return Ok(now.blocked_until.unwrap_or_else(|| site.clock.now()));
        }
        if matches!(failure, Failure::Stop(_) | Failure::Unmapped(_) | Failure::Unknown { .. }) {
            let provider = provider::find(&unit.snapshot, number);
            if let Some(kind) = provider.and_then(|provider| self.kinds.find(provider.kind.model)) {
                kind.forget(number);
            }
            unit.event(self.stopped(number, &reason)).await?;
        }
        unit.commit().await?;
        let fields = json!({"until": until.to_rfc3339(), "reason": reason});
        journal.add(LogLevel::Error, format!("The target is left alone for a while: {reason}"), fields);
        Ok(until)
    }

    /// Whether calls that were refused were made with a token of yesterday. If not, the token is not used again.
    pub(super) async fn is_outdated(&self, target: &Assigned, failure: &Failure) -> Result<bool, ApiError> {
        let Failure::Unknown { sent, .. } = failure else { return Ok(false) };
        target.kind.refused(self, target.number, &sent.0).await.map_err(store)
    }

    /// The event of a sync that cannot go on, or not with some objects, before somebody changes the configuration.
    fn stopped(&self, number: i64, message: &str) -> Event {
        let snapshot = self.site.snapshot();
        let provider = provider::find(&snapshot, number);
        let app = provider.map_or("authentik_core", |provider| provider.kind.app_label());
        let shown = provider.map(
            |p| json!({"app": p.kind.app_label(), "model_name": p.kind.model_name(), "pk": number, "name": p.name()}),
        );
        let context = json!({"message": format!("Outgoing sync stopped: {message}"), "provider": shown});
        Event::new(action::CONFIGURATION_ERROR, app, context)
    }
}

impl Run<'_> {
    /// Delivers what is due until nothing is, the time is over, or the target is in trouble; then the end of that. With a
    /// model only objects of this one.
    pub(super) async fn drain(
        &mut self,
        budget: Duration,
        model: Option<Model>,
    ) -> Result<Option<DateTime<Utc>>, ApiError> {
        let started = Instant::now();
        let (site, number) = (&self.engine.site, self.assigned.number);
        let which = model.map_or(Which::Due, Which::Of);
        let state::TargetRow { mut failures, mut turn, .. } = state::target(&site.db, number).await.map_err(store)?;
        let mut many = WIDTH;
        loop {
            // Whoever goes on does it by the new settings.
            if !self.is_current() {
                return Ok(Some(site.clock.now()));
            }
            // A target that was in trouble is tried with one object.
            let limit = if failures > 0 { 1 } else { many };
            let begun = Instant::now();
            match self.round(which, limit).await? {
                Round::Empty => return Ok(None),
                Round::Good if failures > 0 => {
                    let mut tx = site.db.tx();
                    state::unblock(&mut tx, number).await.map_err(store)?;
                    turn = state::target(&mut tx, number).await.map_err(store)?.turn;
                    tx.commit().await.map_err(store)?;
                    failures = 0;
                }
                Round::Good => {}
                // What was refused was asked in the old way.
                Round::Trouble(_) if !self.is_current() => return Ok(Some(site.clock.now())),
                Round::Trouble(failure) if self.reopened(&failure).await? => continue,
                Round::Trouble(failure) => {
                    return Ok(Some(self.engine.blocked((number, turn), &failure, self.wire.journal).await?));
                }
            }
            many = if begun.elapsed() < QUICK { BATCH } else { WIDTH };
            if started.elapsed() >= budget {
                return Ok(Some(site.clock.now()));
            }
        }
    }

    /// Opens the target anew when it refused a token that has been renewed, or is over. What was refused is pending.
    pub(super) async fn reopened(&mut self, failure: &Failure) -> Result<bool, ApiError> {
        if !self.engine.is_outdated(self.assigned, failure).await? {
            return Ok(false);
        }
        let stored = Stored::of(&self.assigned.object);
        let opened = self.assigned.kind.open(self.engine, self.assigned.number, &stored, &self.wire).await;
        // Whoever comes next learns why there is no token.
        Ok(opened.map(|target| self.target = target).is_ok())
    }

    async fn round(&self, which: Which<'_>, limit: usize) -> Result<Round, ApiError> {
        let site = &self.engine.site;
        let mut tx = site.db.tx();
        tx.set_durability(Durability::Relaxed);
        let limit = i64::try_from(limit).unwrap_or(1);
        let when = (&*site.random, site.clock.now());
        let claimed = state::claim(&mut tx, when, self.assigned.number, which, limit).await.map_err(store)?;
        tx.commit().await.map_err(store)?;
        if claimed.is_empty() {
            return Ok(Round::Empty);
        }
        let failures = self.tell(&claimed).await.map_err(store)?;
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
                    | Failure::Unmapped(_)
            )
        };
        if let Some(failure) = failures.iter().find(|failure| whole(failure)) {
            return Ok(Round::Trouble(failure.clone()));
        }
        let unmapped = failures.iter().filter(|failure| matches!(failure, Failure::Unmapped(_))).count();
        match failures.first() {
            // One object may be the target's problem; everything it is asked is not.
            Some(failure) if [broken, unmapped].contains(&claimed.len()) && claimed.len() > 2 => {
                Ok(Round::Trouble(failure.clone()))
            }
            _ => self.say_unmapped(&failures).await.map(|()| Round::Good),
        }
    }

    /// One event for all objects of a round at which mappings fail.
    pub(super) async fn say_unmapped(&self, failures: &[Failure]) -> Result<(), ApiError> {
        let Some(failure) = failures.iter().find(|failure| matches!(failure, Failure::Unmapped(_))) else {
            return Ok(());
        };
        let mut unit = Unit::new(&self.engine.site, Actor::system());
        unit.event(self.engine.stopped(self.assigned.number, &failure.reason())).await?;
        unit.commit().await
    }

    /// Tells the target of claimed objects of one model and settles them. Gives what failed.
    pub(super) async fn tell(&self, rows: &[Claimed]) -> Result<Vec<Failure>, StoreError> {
        let Some(claim) = rows.first().map(|row| row.claim.as_str()) else { return Ok(Vec::new()) };
        let sight = match self.look(rows).await {
            Ok(sight) => sight,
            Err(failure) => {
                let ended = rows.iter().map(|row| Ended { row, kept: Kept::Same, result: Err(failure.clone()) });
                return self.settle(ended.collect()).await;
            }
        };
        // Boxed one by one: the compiler cannot tell that closures around them are good for every lifetime.
        let mut planning: Vec<BoxFuture<'_, Plan<'_>>> = Vec::with_capacity(rows.len());
        for row in rows {
            let known = sight.known.get(&row.key).map(Vec::as_slice).unwrap_or_default();
            planning.push(self.plan(row, sight.here.get(&row.key), known).boxed());
        }
        let plans: Vec<Plan<'_>> = stream::iter(planning).buffered(WIDTH).collect().await;
        let plans: Vec<(&Claimed, Plan<'_>)> = rows.iter().zip(plans).collect();
        let new = |(row, plan): &(&'_ Claimed, Plan<'_>)| match plan {
            Plan::Write { known: None, data, .. } => self.new_marks(row, data),
            _ => None,
        };
        let made: Vec<(&Claimed, Map)> = plans.iter().filter_map(|it| Some((it.0, new(it)?))).collect();
        if let Err(failure) = self.note(&made).await {
            let ended = rows.iter().map(|row| Ended { row, kept: Kept::Same, result: Err(failure.clone()) });
            return self.settle(ended.collect()).await;
        }
        // What goes makes room for what comes: names are given anew.
        let (gone, rest): (Vec<_>, Vec<_>) = plans.into_iter().partition(|(_, plan)| matches!(plan, Plan::Remove(_)));
        let (mut failures, mut trouble) = (Vec::new(), None);
        let away = OnceLock::new();
        for part in [gone, rest] {
            let mut calls: Vec<BoxFuture<'_, Ended<'_>>> = Vec::with_capacity(part.len());
            for (row, plan) in part {
                calls.push(self.finish(row, plan, &away).boxed());
            }
            let mut ended = pin!(stream::iter(calls).buffer_unordered(WIDTH).ready_chunks(BATCH));
            loop {
                let part = tokio::select! {
                    part = ended.next() => part,
                    () = sleep(HOLD) => {
                        self.hold(claim).await?;
                        continue;
                    }
                };
                let Some(part) = part else { break };
                match self.settle(part).await {
                    Ok(failed) => failures.extend(failed),
                    // The others are on their way: they are settled first.
                    Err(error) => trouble = Some(error),
                }
            }
        }
        trouble.map_or(Ok(failures), Err)
    }

    /// Makes the calls of one object, unless the target turned out to be away meanwhile.
    async fn finish<'r>(&self, row: &'r Claimed, plan: Plan<'_>, away: &OnceLock<Failure>) -> Ended<'r> {
        if let Some(failure) = away.get() {
            return Ended { row, kept: Kept::Same, result: Err(failure.clone()) };
        }
        let (kept, result) = self.carry_out(row, plan).await;
        if let Err(failure @ Failure::Away { .. }) = &result {
            away.set(failure.clone()).ok();
        }
        Ended { row, kept, result }
    }

    async fn hold(&self, claim: &str) -> Result<(), StoreError> {
        let mut tx = self.engine.site.db.tx();
        tx.set_durability(Durability::Relaxed);
        state::hold(&mut tx, self.engine.site.clock.now(), claim).await?;
        tx.commit().await
    }

    /// Notes what is about to be made, so that it is found when nobody hears of the end.
    pub(super) async fn note(&self, made: &[(&Claimed, Map)]) -> Result<(), Failure> {
        if made.is_empty() {
            return Ok(());
        }
        let mut tx = self.engine.site.db.tx();
        tx.set_durability(Durability::Relaxed);
        for (row, marks) in made {
            if !state::seek(&mut tx, row, marks).await? {
                return Err(Failure::Own("Somebody else tells the target of this object.".to_owned()));
            }
        }
        Ok(tx.commit().await?)
    }

    pub(super) fn judge(&self, row: &Claimed, failure: &Failure, now: DateTime<Utc>) -> Verdict {
        let reason = failure.reason();
        let fields = json!({"model": row.model.word(), "object": row.key, "reason": reason});
        let journal = self.wire.journal;
        match failure {
            Failure::Away { .. } | Failure::Unknown { .. } => Verdict::Again(now, reason),
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
            Failure::Broken(_)
            | Failure::Bad(_)
            | Failure::Conflict(_)
            | Failure::Missing
            | Failure::Stop(_)
            | Failure::Unmapped(_) => {
                journal.warn(format!("Given up: {reason}"), fields);
                Verdict::Is(State::Failed, reason)
            }
        }
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
