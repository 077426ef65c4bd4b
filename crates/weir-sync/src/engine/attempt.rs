//! One object and one target: look at both, make the calls that are due. Nothing is written here; what is to be kept is
//! handed back.

use super::Run;
use crate::{
    connection::{self, Connection},
    mapping::Mapping,
    state::{Claimed, Model},
    target::{Remote, Subject},
    wire::Failure,
};
use serde_json::json;
use uuid::Uuid;
use weir_core::Map;
use weir_identity::{Account, accounts, membership};

/// What becomes of the connection.
#[derive(Debug)]
pub(super) enum Kept {
    /// It stays as it is.
    Same,
    /// It is this one now; the flag tells that the target did not know the object before.
    Is(Connection, bool),
    /// There is none any more.
    None,
}

/// How it went when it went well.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The target knows the object as it is.
    InSync,
    /// Neither side knows the object.
    Forget,
}

/// An object here.
struct Here<'o> {
    subject: Subject<'o>,
    user: Option<&'o Account>,
    group: Option<&'o str>,
    members: Vec<String>,
}

impl Run<'_> {
    /// Brings the target to what is here.
    pub(super) async fn attempt(&self, row: &Claimed) -> (Kept, Result<Done, Failure>) {
        match self.look_and_act(row).await {
            Ok((kept, result)) => (kept, result),
            Err(failure) => (Kept::Same, Err(failure)),
        }
    }

    async fn look_and_act(&self, row: &Claimed) -> Result<(Kept, Result<Done, Failure>), Failure> {
        let site = &self.engine.site;
        let tables = self.assigned.kind.tables();
        let which = (row.model, row.key.as_str());
        let known = connection::find(&site.db, &tables, self.assigned.number, which).await?;
        match row.model {
            Model::User => {
                let id = row.key.parse().unwrap_or_default();
                let Some(user) = accounts::find(&site.db, id).await? else { return Ok(self.remove(row, known).await) };
                if !self.wants_user(&user).await? {
                    return Ok(self.remove(row, known).await);
                }
                let uid = user.uid(&site.installation.id);
                let subject = Subject { model: Model::User, external_id: &uid, name: &user.username };
                let here = Here { subject, user: Some(&user), group: None, members: Vec::new() };
                Ok(self.write(&here, known).await)
            }
            Model::Group => {
                let id = Uuid::parse_str(&row.key).unwrap_or_default();
                let group = membership::group_by_id(&site.db, id).await?.filter(|_| self.wants_group(id));
                let Some(group) = group else { return Ok(self.remove(row, known).await) };
                let members = connection::members(&site.db, &tables, self.assigned.number, &row.key).await?;
                let subject = Subject { model: Model::Group, external_id: &row.key, name: &group.name };
                let here = Here { subject, user: None, group: Some(&row.key), members };
                Ok(self.write(&here, known).await)
            }
        }
    }

    /// The target is not to know the object, or nobody knows it here.
    async fn remove(&self, row: &Claimed, known: Option<Connection>) -> (Kept, Result<Done, Failure>) {
        let remote = known.map(|known| known.remote_id).or_else(|| row.remote_id.clone());
        let Some(remote) = remote.filter(|remote| !remote.is_empty()) else { return (Kept::None, Ok(Done::Forget)) };
        match self.target.remove(&self.wire, row.model, &remote).await {
            Ok(()) | Err(Failure::Missing) => {
                let fields = json!({"model": row.model.word(), "object": row.key, "remote_id": remote});
                self.wire.journal.info("Removed from the target", fields);
                (Kept::None, Ok(Done::Forget))
            }
            Err(failure) => (Kept::Same, Err(failure)),
        }
    }

    /// What the target is to be told.
    async fn data(&self, here: &Here<'_>, known: Option<&Connection>) -> Result<Map, Failure> {
        let mappings = match here.subject.model {
            Model::User => &self.terms.user_mappings,
            Model::Group => &self.terms.group_mappings,
        };
        let mapping = Mapping {
            engine: self.engine,
            provider: &self.assigned.object,
            subject: here.subject,
            user: here.user,
            group: here.group,
            connection: known,
        };
        let mut data = mapping.run(mappings).await?;
        data.retain(|_, value| !value.is_null());
        self.target.prepare(&self.wire, here.subject, data).await
    }

    fn kept(&self, data: &Map) -> Map {
        let fleeting = self.target.fleeting();
        data.iter()
            .filter(|(name, _)| !fleeting.contains(&name.as_str()))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()
    }

    async fn write(&self, here: &Here<'_>, known: Option<Connection>) -> (Kept, Result<Done, Failure>) {
        let model = here.subject.model;
        if let Some(known) = known {
            let data = match self.data(here, Some(&known)).await {
                Ok(data) => data,
                Err(failure) => return (Kept::Same, Err(failure)),
            };
            match self.update(here, &known, &data).await {
                // Somebody removed it there: it is made anew.
                Err(Failure::Missing) => {}
                Err(failure) => return (Kept::Same, Err(failure)),
                Ok(updated) => return self.members(here, updated, false).await,
            }
        }
        let data = match self.data(here, None).await {
            Ok(data) => data,
            Err(failure) => return (Kept::None, Err(failure)),
        };
        let travel = model == Model::Group && self.target.members_travel(&self.wire).await;
        let members: &[String] = if travel { &here.members } else { &[] };
        match self.target.create(&self.wire, model, &data, members).await {
            Ok(Remote { id, .. }) => {
                self.wire.journal.info("Created at the target", self.facts(here, &id));
                let members = members.to_vec();
                let made = Connection { remote_id: id, attributes: self.kept(&data), members, ..Connection::default() };
                self.members(here, made, true).await
            }
            // In a dry run nothing was removed or made: what is known stays known.
            Err(Failure::Dry) => (Kept::Same, Err(Failure::Dry)),
            Err(failure) => (Kept::None, Err(failure)),
        }
    }

    fn facts(&self, here: &Here<'_>, remote: &str) -> serde_json::Value {
        json!({"model": here.subject.model.word(), "name": here.subject.name, "remote_id": remote})
    }

    async fn update(&self, here: &Here<'_>, known: &Connection, data: &Map) -> Result<Connection, Failure> {
        let model = here.subject.model;
        let kept = self.kept(data);
        let travel = model == Model::Group && self.target.members_travel(&self.wire).await;
        let same_members = !travel || same(&known.members, &here.members);
        if known.attributes == kept && same_members {
            return Ok(known.clone());
        }
        let members: &[String] = if travel { &here.members } else { &[] };
        let remote_id = self.target.update(&self.wire, model, &known.remote_id, data, members).await?;
        self.wire.journal.info("Updated at the target", self.facts(here, &remote_id));
        let members = if travel { here.members.clone() } else { known.members.clone() };
        Ok(Connection { remote_id, attributes: kept, members, ..known.clone() })
    }

    /// Brings the members of a group to what they are here.
    async fn members(&self, here: &Here<'_>, mut connection: Connection, new: bool) -> (Kept, Result<Done, Failure>) {
        if here.subject.model == Model::User || self.target.members_travel(&self.wire).await {
            return (Kept::Is(connection, new), Ok(Done::InSync));
        }
        let add: Vec<String> = missing(&here.members, &connection.members);
        let gone: Vec<String> = missing(&connection.members, &here.members);
        let (db, tables) = (&self.engine.site.db, self.assigned.kind.tables());
        // Users whom the target does not know any more left its groups with that.
        let remove = match connection::still_known(db, &tables, self.assigned.number, &gone).await {
            Ok(remove) => remove,
            Err(error) => return (Kept::Is(connection, new), Err(error.into())),
        };
        if add.is_empty() && remove.is_empty() {
            connection.members.clone_from(&here.members);
            return (Kept::Is(connection, new), Ok(Done::InSync));
        }
        match self.target.members(&self.wire, &connection.remote_id, &add, &remove).await {
            Ok(()) => {
                let fields = json!({"name": here.subject.name, "added": add.len(), "removed": remove.len()});
                self.wire.journal.info("Members told to the target", fields);
                connection.members.clone_from(&here.members);
                (Kept::Is(connection, new), Ok(Done::InSync))
            }
            Err(failure) => (Kept::Is(connection, new), Err(failure)),
        }
    }
}

/// Entries of a list that are not in another.
fn missing(of: &[String], from: &[String]) -> Vec<String> {
    let known: std::collections::HashSet<&String> = from.iter().collect();
    of.iter().filter(|entry| !known.contains(entry)).cloned().collect()
}

fn same(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && missing(a, b).is_empty()
}
