//! Single objects at once: for lockdown, and for administrators who want to see what happens.

use super::Engine;
use crate::{
    journal::Journal,
    provider::{self, Assigned},
    state::{self, Change, Model, Which},
};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};
use weir_core::ApiError;
use weir_resource::store;
use weir_store::jobs::LogLevel;

/// How often somebody looks whether an object is free.
const LOOK: Duration = Duration::from_millis(50);

/// What whoever wants one object told is content with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// That the target is told of it, by whomever.
    Told,
    /// Only a call of their own, whose log they see.
    Shown {
        /// Really change the target although the provider is on a dry run.
        override_dry_run: bool,
    },
}

/// How an object stands with a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetState {
    /// Number of the provider.
    pub provider: i64,
    /// Its name.
    pub name: String,
    /// `in_sync`, `pending`, `failed`, `skipped`; `removed` when the target does not know the object.
    pub state: String,
    /// Why.
    pub reason: String,
}

impl Engine {
    /// Tells all targets of a user at once, in parallel, and waits for them until a deadline. What is not told then stays
    /// pending and goes on in the background. The change itself must be committed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn direct_sync_user(
        self: &Arc<Self>,
        user: i64,
        deadline: Duration,
    ) -> Result<Vec<TargetState>, ApiError> {
        let until = Instant::now() + deadline;
        let targets = provider::all(&self.site.snapshot(), &self.kinds);
        let key = user.to_string();
        let waits = targets.iter().map(|target| {
            let (engine, target, key) = (Arc::clone(self), target.clone(), key.clone());
            // A task of its own: when the wait is over the call goes on, and its row is settled.
            let work = tokio::spawn(async move {
                let journal = Journal::new(engine.site.clock.clone());
                engine.object(&target, (Model::User, &key), Manner::Told, &journal, until).await
            });
            async move {
                match timeout_at(until, work).await {
                    Ok(Ok(Err(error))) => tracing::warn!(?error, "a user could not be told to a target at once"),
                    Ok(Err(error)) => tracing::error!(%error, "telling a target of a user ended"),
                    Ok(Ok(Ok(_))) | Err(_) => {}
                }
            }
        });
        join_all(waits).await;
        self.states_of(&targets, &key).await
    }

    async fn states_of(&self, targets: &[Assigned], user: &str) -> Result<Vec<TargetState>, ApiError> {
        let sql = "SELECT provider, state, reason FROM sync_state WHERE model = 'user' AND object_key = $1";
        let rows = self.site.db.read(sql, &[user.into()]).await.map_err(store)?;
        let mut states = Vec::with_capacity(targets.len());
        for target in targets {
            let row = rows.iter().find(|row| row.int("provider").is_ok_and(|number| number == target.number));
            let (state, reason) = match row {
                Some(row) => (row.text("state").map_err(store)?, row.text("reason").map_err(store)?),
                None => ("removed".to_owned(), String::new()),
            };
            states.push(TargetState { provider: target.number, name: target.object.name(), state, reason });
        }
        Ok(states)
    }

    /// Tells one target of one object now. False when somebody else held the object until the deadline.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn object(
        &self,
        target: &Assigned,
        (model, key): (Model, &str),
        manner: Manner,
        journal: &Journal,
        until: Instant,
    ) -> Result<bool, ApiError> {
        let site = &self.site;
        let mut tx = site.db.tx();
        let when = (&*site.random, site.clock.now());
        state::enqueue(&mut tx, when, target.number, model, &[Change::of(key)]).await.map_err(store)?;
        crate::tasks::wake(&mut tx, when, target).await.map_err(store)?;
        let turn = state::target(&mut tx, target.number).await.map_err(store)?.turn;
        tx.commit().await.map_err(store)?;
        let override_dry_run = manner == Manner::Shown { override_dry_run: true };
        let mut run = match self.open(target, journal, override_dry_run).await {
            Ok(run) => run,
            Err(failure) => {
                self.blocked((target.number, turn), &failure, journal).await?;
                return Ok(true);
            }
        };
        loop {
            let mut tx = site.db.tx();
            let when = (&*site.random, site.clock.now());
            let claimed = state::claim(&mut tx, when, target.number, Which::One(model, key), 1).await.map_err(store)?;
            tx.commit().await.map_err(store)?;
            if !claimed.is_empty() {
                let failures = run.tell(&claimed).await.map_err(store)?;
                // Refused with a token of yesterday: it is pending again.
                if let Some(failure) = failures.first()
                    && run.reopened(failure).await?
                {
                    continue;
                }
                run.say_unmapped(&failures).await?;
                if failures.is_empty() && journal.is_empty() {
                    let fields = json!({"model": model.word(), "object": key});
                    journal.info("Nothing to tell: the target knows the object as it is", fields);
                }
                for failure in failures {
                    journal.add(LogLevel::Error, failure.reason(), json!({"model": model.word(), "object": key}));
                }
                // A change that came during the call, or the rest of it: whoever looked meanwhile found it taken.
                let mut tx = site.db.tx();
                if state::next_due(&mut tx, target.number).await.map_err(store)?.is_some() {
                    let when = (&*site.random, site.clock.now());
                    crate::tasks::wake(&mut tx, when, target).await.map_err(store)?;
                }
                return tx.commit().await.map_err(store).map(|()| true);
            }
            // Told by somebody else meanwhile.
            let sql = "SELECT state FROM sync_state WHERE provider = $1 AND model = $2 AND object_key = $3";
            let vals = [target.number.into(), model.word().into(), key.into()];
            let row = site.db.read_one(sql, &vals).await.map_err(store)?;
            let state = row.map(|row| row.text("state")).transpose().map_err(store)?;
            match state.as_deref() {
                Some("pending") => {}
                // Somebody else's call is not what was asked for.
                Some(_) if manner != Manner::Told => continue,
                _ => return Ok(true),
            }
            if Instant::now() + LOOK >= until {
                return Ok(false);
            }
            sleep(LOOK).await;
        }
    }
}
