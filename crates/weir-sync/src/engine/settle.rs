//! What came of attempts is kept: what the target knows now, and how each object stands.

use super::{
    Run,
    attempt::{Done, Kept},
};
use crate::{
    connection::{self, Connection, Saved},
    provider,
    state::{self, Change, Claimed, Model, Settled, State, Verdict},
    wire::Failure,
};
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use weir_store::{Durability, StoreError, Tx};

/// How often settling is tried again when the database could not do it just then.
const TRIES: u32 = 3;

/// A claimed object after its attempt.
pub(super) struct Ended<'r> {
    pub(super) row: &'r Claimed,
    pub(super) kept: Kept,
    pub(super) result: Result<Done, Failure>,
}

/// What was learnt of the target while keeping what it knows.
struct Learnt {
    /// Ids of rows whose object there is connected with another here.
    failed: HashSet<String>,
    /// Objects that were deleted here meanwhile.
    gone: Vec<Change>,
    /// Groups that are to be told of anew.
    groups: Vec<Change>,
}

impl Ended<'_> {
    /// Whether it is known what the target has of the object.
    fn is_certain(&self) -> bool {
        match (&self.kept, &self.result) {
            (Kept::Is { .. }, _) | (_, Ok(_)) => true,
            (Kept::Not(_), Err(failure)) => {
                matches!(failure, Failure::Bad(_) | Failure::Conflict(_) | Failure::Missing | Failure::Unknown { .. })
            }
            (Kept::Same, Err(_)) => false,
        }
    }

    /// Whether something is known now that would be missed after a power cut.
    fn is_news(&self) -> bool {
        matches!(self.kept, Kept::Is { before: None, .. } | Kept::Not(_))
    }
}

impl Run<'_> {
    /// Settles what has ended, in one transaction. Gives what failed.
    pub(super) async fn settle(&self, mut ended: Vec<Ended<'_>>) -> Result<Vec<Failure>, StoreError> {
        // In the order in which everybody takes several.
        ended.sort_by(|a, b| a.row.key.cmp(&b.row.key));
        let now = self.engine.site.clock.now();
        let verdicts: Vec<Verdict> = ended.iter().map(|it| self.verdict(it, now)).collect();
        let (mut lost, mut tries) = (HashSet::new(), 0);
        loop {
            let mine: Vec<(&Ended<'_>, &Verdict)> =
                ended.iter().zip(&verdicts).filter(|(it, _)| !lost.contains(&it.row.id)).collect();
            match self.try_to_settle(now, &mine).await {
                Ok(not_ours) if not_ours.is_empty() => break,
                // Whoever has them now knows better; nothing of theirs is kept.
                Ok(not_ours) => lost.extend(not_ours),
                Err(error) if error.is_transient() && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
        for it in ended.iter().filter(|it| lost.contains(&it.row.id)) {
            self.too_late(it, now).await?;
        }
        Ok(ended.into_iter().filter_map(|it| it.result.err()).collect())
    }

    /// Settles rows unless some of them are not ours any more; gives the ids of those.
    async fn try_to_settle(
        &self,
        now: DateTime<Utc>,
        ended: &[(&Ended<'_>, &Verdict)],
    ) -> Result<Vec<String>, StoreError> {
        let Some((first, _)) = ended.first() else { return Ok(Vec::new()) };
        let mut tx = self.engine.site.db.tx();
        let urgent = ended.iter().any(|(it, _)| it.is_news());
        tx.set_durability(if urgent { Durability::Full } else { Durability::Relaxed });
        tx.begin_write().await?;
        // Objects, then rows of the outbox, users before groups: in this order everybody takes them.
        let learnt = self.keep(&mut tx, ended).await?;
        state::lock(&mut tx, &first.row.claim).await?;
        let lost = settle_all(&mut tx, now, ended, &learnt.failed).await?;
        if lost.is_empty() {
            let (when, number) = ((&*self.engine.site.random, now), self.assigned.number);
            state::enqueue(&mut tx, when, number, first.row.model, &learnt.gone).await?;
            state::enqueue(&mut tx, when, number, Model::Group, &learnt.groups).await?;
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(lost)
    }

    fn verdict(&self, ended: &Ended<'_>, now: DateTime<Utc>) -> Verdict {
        match &ended.result {
            Ok(Done::InSync) => Verdict::Is(State::InSync, String::new()),
            Ok(Done::Partly) => Verdict::More,
            Ok(Done::Forget) => Verdict::Forget,
            Err(failure) => self.judge(ended.row, failure, now),
        }
    }

    /// Keeps what the target knows.
    async fn keep(&self, tx: &mut Tx, ended: &[(&Ended<'_>, &Verdict)]) -> Result<Learnt, StoreError> {
        let (site, number, tables) = (&self.engine.site, self.assigned.number, self.assigned.kind.tables());
        let (mut failed, mut gone, mut new) = (HashSet::new(), Vec::new(), Vec::new());
        for (it, _) in ended {
            let which = (it.row.model, it.row.key.as_str());
            let Kept::Is { new: connection, before } = &it.kept else {
                if let Kept::Not(ids) = &it.kept {
                    connection::forget(tx, &tables, it.row.model, ids).await?;
                }
                continue;
            };
            let kept = (connection, before.as_deref());
            match connection::save(tx, site.random.uuid(), (&tables, number), which, kept).await? {
                Saved::Taken => {
                    failed.insert(it.row.id.clone());
                }
                // The deletion did not know what the target calls it; whoever is told next has to.
                Saved::Gone => {
                    gone.push(Change { key: it.row.key.clone(), gone: Some(vec![connection.remote_id.clone()]) });
                }
                Saved::Kept if it.row.model == Model::User => match before {
                    None => new.push(it.row.key.as_str()),
                    Some(old) if *old != connection.remote_id => {
                        connection::rename_member(tx, &tables, number, (old, &connection.remote_id)).await?;
                        new.push(it.row.key.as_str());
                    }
                    Some(_) => {}
                },
                Saved::Kept | Saved::Removed => {}
            }
        }
        // Groups could not name somebody whom the target did not know, or not by this name.
        let groups = connection::groups_of(&mut *tx, &new).await?.into_iter().map(Change::of).collect();
        Ok(Learnt { failed, gone, groups })
    }

    /// The claim ran out, or the provider is gone. What the target made is not forgotten: whoever has the row now, or
    /// comes next, is told.
    async fn too_late(&self, ended: &Ended<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let (site, number, tables) = (&self.engine.site, self.assigned.number, self.assigned.kind.tables());
        let Kept::Is { new, before: None } = &ended.kept else { return Ok(()) };
        if provider::find(&site.snapshot(), number).is_none() {
            return Ok(());
        }
        let which = (ended.row.model, ended.row.key.as_str());
        let mut tx = site.db.tx();
        tx.begin_write().await?;
        let known = connection::of_object(&mut tx, &tables, number, which).await?;
        if known.iter().any(|known| known.remote_id == new.remote_id) {
            return tx.rollback().await;
        }
        // What was sent may be of yesterday.
        let known = Connection { attributes: weir_core::Map::new(), id: String::new(), ..new.clone() };
        let saved = connection::save(&mut tx, site.random.uuid(), (&tables, number), which, (&known, None)).await?;
        let gone = (saved == Saved::Gone).then(|| vec![new.remote_id.clone()]);
        let change = Change { key: ended.row.key.clone(), gone };
        state::enqueue(&mut tx, (&*site.random, now), number, ended.row.model, &[change]).await?;
        crate::tasks::wake(&mut tx, (&*site.random, now), self.assigned).await?;
        tx.commit().await
    }
}

/// Settles rows; gives the ids of those that are not ours any more.
async fn settle_all(
    tx: &mut Tx,
    now: DateTime<Utc>,
    ended: &[(&Ended<'_>, &Verdict)],
    failed: &HashSet<String>,
) -> Result<Vec<String>, StoreError> {
    let is_usual = |it: &Ended<'_>| it.result == Ok(Done::InSync) && !failed.contains(&it.row.id);
    let usual: Vec<&Claimed> = ended.iter().filter(|(it, _)| is_usual(it)).map(|(it, _)| it.row).collect();
    let done: HashSet<String> = state::settle_same(tx, now, &usual).await?.into_iter().collect();
    let mut lost = Vec::new();
    for (it, verdict) in ended.iter().filter(|(it, _)| !done.contains(&it.row.id)) {
        let taken = || Verdict::Is(State::Failed, "It is connected with another object already.".to_owned());
        let taken = failed.contains(&it.row.id).then(taken);
        let verdict = taken.as_ref().unwrap_or(verdict);
        if state::settle(tx, now, it.row, verdict, it.is_certain()).await? == Settled::Lost {
            lost.push(it.row.id.clone());
        }
    }
    Ok(lost)
}
