//! One object and one target: what is due, and the calls that bring the target to it. What is to be kept is handed back.

use super::{Run, look::Here};
use crate::{
    connection::{self, Connection},
    mapping::Mapping,
    state::{Claimed, Model},
    wire::Failure,
};
use serde_json::json;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use weir_core::Map;

/// How long the members of a group are told in one go; then it is settled how far that got.
const SPAN: Duration = Duration::from_secs(60);

/// What becomes of the connection.
#[derive(Debug)]
pub(super) enum Kept {
    /// It stays as it is.
    Same,
    /// It is this one now.
    Is {
        /// What is known now.
        new: Connection,
        /// What the target called the object before; none when it did not know the object.
        before: Option<String>,
    },
    /// Those with these keys are no more.
    Not(Vec<String>),
}

/// How it went when it went well.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The target knows the object as it is.
    InSync,
    /// The target knows the object; not all of its members are told.
    Partly,
    /// Neither side knows the object.
    Forget,
}

/// What an attempt comes to.
pub(super) type Outcome = (Kept, Result<Done, Failure>);

/// What is to be done about an object.
pub(super) enum Plan<'o> {
    /// The target is not to know it, or it is gone here: all that is connected with it goes.
    Remove(&'o [Connection]),
    /// The target is to know it as this.
    Write {
        /// The object here.
        here: &'o Here,
        /// What the target knows: the connection in use.
        known: Option<Connection>,
        /// Further accounts that are connected with the object.
        others: &'o [Connection],
        /// What it is to know.
        data: Map,
    },
    /// It cannot even be said what the target is to know.
    Fail(Failure),
}

/// Nothing came of it, and what was known is not there any more. In a dry run nothing was removed or made: what is known
/// stays known.
fn failed(failure: Failure, lost: &str) -> Outcome {
    let lost = if lost.is_empty() { Vec::new() } else { vec![lost.to_owned()] };
    if failure == Failure::Dry { (Kept::Same, Err(failure)) } else { (Kept::Not(lost), Err(failure)) }
}

impl Run<'_> {
    /// What is to be done, before the first call.
    pub(super) async fn plan<'o>(&self, row: &Claimed, here: Option<&'o Here>, known: &'o [Connection]) -> Plan<'o> {
        let Some(here) = here else { return Plan::Remove(known) };
        // Somebody who came back with the same key before the target was told of the end.
        let revived = || {
            let remote_id = row.remote_ids.first()?.clone();
            Some(Connection { remote_id, ..Connection::default() })
        };
        let others = known.get(1..).unwrap_or_default();
        let known = known.first().cloned().or_else(revived);
        match self.data(here, known.as_ref()).await {
            Ok(data) => Plan::Write { here, known, others, data },
            Err(failure) => Plan::Fail(failure),
        }
    }

    /// By what the target would tell an object apart that is about to be made there; none when that is known, or when
    /// nothing is made.
    pub(super) fn new_marks(&self, row: &Claimed, data: &Map) -> Option<Map> {
        let marks = (!self.wire.dry_run).then(|| self.marks(row.model, data));
        marks.filter(|marks| row.sought.as_ref() != Some(marks))
    }

    fn marks(&self, model: Model, data: &Map) -> Map {
        let names = self.target.marks(model).iter();
        names.filter_map(|name| Some(((*name).to_owned(), data.get(*name)?.clone()))).collect()
    }

    /// Carries out a plan.
    pub(super) async fn carry_out(&self, row: &Claimed, plan: Plan<'_>) -> Outcome {
        match plan {
            Plan::Fail(failure) => (Kept::Same, Err(failure)),
            Plan::Remove(known) => self.remove(row, known).await,
            Plan::Write { here, known, others, data } => {
                let (kept, result) = self.write(row, here, (known, data)).await;
                let nobody_answers = matches!(result, Err(Failure::Away { .. } | Failure::Dry));
                let closed = here.user.as_ref().is_some_and(|user| !user.is_active);
                let others = if closed && !nobody_answers { self.suspend(here, others).await } else { Ok(()) };
                (kept, result.and_then(|done| others.map(|()| done)))
            }
        }
    }

    /// Closes the further accounts of somebody whose account is closed here.
    async fn suspend(&self, here: &Here, others: &[Connection]) -> Result<(), Failure> {
        let mut result = Ok(());
        for other in others {
            match self.target.suspend(&self.wire, &other.remote_id).await {
                Ok(()) => self.wire.journal.info("Suspended at the target", facts(here, &other.remote_id)),
                Err(Failure::Missing) => {}
                Err(failure @ (Failure::Away { .. } | Failure::Dry)) => return Err(failure),
                // One that stays is no reason to leave the others.
                Err(failure) => result = result.and(Err(failure)),
            }
        }
        result
    }

    /// Brings what the target knows of an object to what it is here.
    async fn write(&self, row: &Claimed, here: &Here, (known, data): (Option<Connection>, Map)) -> Outcome {
        let Some(known) = known else { return self.create(row, here, data, "").await };
        match self.update(here, &known, &data).await {
            // Somebody removed it there: it is made anew.
            Err(Failure::Missing) => self.make_anew(row, here, &known.id).await,
            Err(failure) => (Kept::Same, Err(failure)),
            Ok(updated) => {
                let outcome = self.members(here, updated.as_ref().unwrap_or(&known), Some(&known)).await;
                if updated.is_some() || outcome.1 != Err(Failure::Missing) {
                    return outcome;
                }
                // The group is gone there, or a member. Nobody knows before the group itself is told.
                let told = Connection { attributes: Map::new(), ..known };
                match self.update(here, &told, &data).await {
                    Err(Failure::Missing) => self.make_anew(row, here, &told.id).await,
                    _ => outcome,
                }
            }
        }
    }

    /// The target is not to know the object, or nobody knows it here.
    async fn remove(&self, row: &Claimed, known: &[Connection]) -> Outcome {
        let mut accounts: Vec<&str> = known.iter().map(|known| known.remote_id.as_str()).collect();
        let others = row.remote_ids.iter().map(String::as_str);
        accounts.extend(others.filter(|id| known.iter().all(|known| known.remote_id != *id)).collect::<Vec<_>>());
        accounts.retain(|id| !id.is_empty());
        let found = match &row.sought {
            // It may have been made there without our hearing of it.
            Some(marks) if accounts.is_empty() => match self.target.seek(&self.wire, row.model, marks).await {
                Ok(found) => found,
                Err(failure) => return (Kept::Same, Err(failure)),
            },
            _ => None,
        };
        accounts.extend(found.as_deref());
        let mut failed = None;
        for account in accounts {
            // One that stays is no reason to leave the others, unless nobody answers.
            match self.remove_one(row, account).await {
                Ok(()) => {}
                Err(failure @ Failure::Away { .. }) => return (Kept::Same, Err(failure)),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        match failed {
            Some(failure) => (Kept::Same, Err(failure)),
            None => (Kept::Not(known.iter().map(|known| known.id.clone()).collect()), Ok(Done::Forget)),
        }
    }

    async fn remove_one(&self, row: &Claimed, remote: &str) -> Result<(), Failure> {
        // Somebody else of the same name took it over meanwhile.
        if self.owner(row, remote).await?.is_some() {
            return Ok(());
        }
        match self.target.remove(&self.wire, row.model, remote).await {
            Ok(()) | Err(Failure::Missing) => {
                let fields = json!({"model": row.model.word(), "object": row.key, "remote_id": remote});
                self.wire.journal.info("Removed from the target", fields);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Another object here with which the target's is connected.
    async fn owner(&self, row: &Claimed, remote: &str) -> Result<Option<String>, Failure> {
        let (db, tables) = (&self.engine.site.db, self.assigned.kind.tables());
        let owner = connection::owner(db, &tables, self.assigned.number, (row.model, remote)).await?;
        Ok(owner.filter(|owner| *owner != row.key))
    }

    /// What the target is to be told.
    async fn data(&self, here: &Here, known: Option<&Connection>) -> Result<Map, Failure> {
        let mappings = match here.model {
            Model::User => &self.terms.common.property_mappings,
            Model::Group => &self.terms.common.property_mappings_group,
        };
        let mapping = Mapping {
            engine: self.engine,
            provider: &self.assigned.object,
            subject: here.subject(),
            user: here.user.as_ref(),
            connection: known,
        };
        let mut data = mapping.run(mappings).await?;
        data.retain(|_, value| !value.is_null());
        self.target.prepare(&self.wire, here.subject(), data).await
    }

    fn kept(&self, data: &Map) -> Map {
        let fleeting = self.target.fleeting();
        let lasting = data.iter().filter(|(name, _)| !fleeting.contains(&name.as_str()));
        lasting.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Members that are sent with the group itself.
    async fn travellers<'h>(&self, here: &'h Here) -> Option<&'h [String]> {
        let travel = here.model == Model::Group && self.target.members_travel(&self.wire).await;
        travel.then_some(&here.members)
    }

    /// Makes an object again that is gone there; the connection `lost` takes it.
    async fn make_anew(&self, row: &Claimed, here: &Here, lost: &str) -> Outcome {
        let data = match self.data(here, None).await {
            Ok(data) => data,
            Err(failure) => return failed(failure, lost),
        };
        let noted = match self.new_marks(row, &data) {
            Some(marks) => self.note(&[(row, marks)]).await,
            None => Ok(()),
        };
        match noted {
            Ok(()) => self.create(row, here, data, lost).await,
            Err(failure) => failed(failure, lost),
        }
    }

    async fn create(&self, row: &Claimed, here: &Here, data: Map, lost: &str) -> Outcome {
        // A creation whose end nobody heard of may have succeeded.
        if row.sought.is_some() {
            match self.adopt(row, here, (&data, lost)).await {
                Ok(Some(found)) => return self.members(here, &found, None).await,
                Ok(None) => {}
                Err(failure) => return (Kept::Same, Err(failure)),
            }
        }
        let members = self.travellers(here).await.unwrap_or_default();
        match self.target.create(&self.wire, here.model, &data, members).await {
            Ok(remote_id) => {
                self.wire.journal.info("Created at the target", facts(here, &remote_id));
                let attributes = self.kept(&data);
                let made = Connection { id: lost.to_owned(), remote_id, attributes, members: members.to_vec() };
                self.members(here, &made, None).await
            }
            Err(Failure::Conflict(reason)) => match self.adopt(row, here, (&data, lost)).await {
                Ok(Some(found)) => self.members(here, &found, None).await,
                Ok(None) => failed(Failure::Conflict(reason), lost),
                Err(failure) => failed(failure, lost),
            },
            Err(failure) => failed(failure, lost),
        }
    }

    /// Takes over what is at the target already, unless it is somebody else's.
    async fn adopt(
        &self,
        row: &Claimed,
        here: &Here,
        (data, lost): (&Map, &str),
    ) -> Result<Option<Connection>, Failure> {
        let marks = self.marks(here.model, data);
        let Some(found) = self.target.seek(&self.wire, here.model, &marks).await? else { return Ok(None) };
        if self.owner(row, &found).await?.is_some() {
            // Perhaps not for long: the other one may be about to be renamed or removed.
            return Err(Failure::Broken(format!("{found} is connected with another object.")));
        }
        let members = self.travellers(here).await.unwrap_or_default();
        // What is given at a creation only, such as passwords, does not befall who is there already.
        let attributes = self.kept(data);
        let updated = self.target.update(&self.wire, here.model, &found, &attributes, members).await;
        let remote_id = updated.map_err(|failure| match failure {
            // Whoever had the name before was being removed just then. The next attempt makes it anew.
            Failure::Missing => Failure::Broken(format!("{found} went away while it was taken over.")),
            other => other,
        })?;
        self.wire.journal.info("Found at the target", facts(here, &remote_id));
        Ok(Some(Connection { id: lost.to_owned(), remote_id, attributes, members: members.to_vec() }))
    }

    /// Sends what differs from what was last sent; none when nothing does.
    async fn update(&self, here: &Here, known: &Connection, data: &Map) -> Result<Option<Connection>, Failure> {
        let attributes = self.kept(data);
        let travellers = self.travellers(here).await;
        if known.attributes == attributes && travellers.is_none_or(|members| same(&known.members, members)) {
            return Ok(None);
        }
        let sent = travellers.unwrap_or_default();
        let remote_id = self.target.update(&self.wire, here.model, &known.remote_id, data, sent).await?;
        self.wire.journal.info("Updated at the target", facts(here, &remote_id));
        let members = travellers.map_or_else(|| known.members.clone(), <[String]>::to_vec);
        Ok(Some(Connection { remote_id, attributes, members, ..known.clone() }))
    }

    /// Brings the members of a group to what they are here. `before` is what was known before the attempt.
    async fn members(&self, here: &Here, now: &Connection, before: Option<&Connection>) -> Outcome {
        let keep = |new: &Connection| match before {
            Some(before) if before == new => Kept::Same,
            _ => Kept::Is { new: new.clone(), before: before.map(|before| before.remote_id.clone()) },
        };
        if here.model == Model::User || self.travellers(here).await.is_some() {
            return (keep(now), Ok(Done::InSync));
        }
        let mut new = now.clone();
        let gone: Vec<String> = missing(&here.members, &new.members);
        let (db, tables) = (&self.engine.site.db, self.assigned.kind.tables());
        // Users whom the target does not know any more left its groups with that.
        let gone = match connection::still_known(db, &tables, self.assigned.number, &gone).await {
            Ok(gone) => gone,
            Err(error) => return (keep(now), Err(error.into())),
        };
        // Who loses something comes first.
        let come = missing(&new.members, &here.members);
        let moves: Vec<(bool, String)> =
            gone.into_iter().map(|id| (false, id)).chain(come.into_iter().map(|id| (true, id))).collect();
        let begun = Instant::now();
        for part in moves.chunks(self.target.members_at_once().max(1)) {
            if begun.elapsed() >= SPAN {
                return (keep(&new), Ok(Done::Partly));
            }
            let of = |comes: bool| part.iter().filter(|(c, _)| *c == comes).map(|(_, id)| id.clone()).collect();
            let (add, remove): (Vec<String>, Vec<String>) = (of(true), of(false));
            if let Err(failure) = self.target.members(&self.wire, &new.remote_id, &add, &remove).await {
                return (keep(&new), Err(failure));
            }
            let left: HashSet<&String> = remove.iter().collect();
            new.members.retain(|member| !left.contains(member));
            new.members.extend(add.iter().cloned());
            let fields = json!({"name": here.name, "added": add.len(), "removed": remove.len()});
            self.wire.journal.info("Members told to the target", fields);
        }
        new.members.clone_from(&here.members);
        (keep(&new), Ok(Done::InSync))
    }
}

fn facts(here: &Here, remote: &str) -> serde_json::Value {
    json!({"model": here.model.word(), "name": here.name, "remote_id": remote})
}

/// Entries of a list that another lacks: `missing(from, of)` are those of `of` that are not in `from`.
fn missing(from: &[String], of: &[String]) -> Vec<String> {
    let known: HashSet<&String> = from.iter().collect();
    of.iter().filter(|entry| !known.contains(entry)).cloned().collect()
}

fn same(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && missing(b, a).is_empty()
}
