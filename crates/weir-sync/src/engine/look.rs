//! What is here: the claimed objects of a round, read together, and whether the target is to know them.

use super::Run;
use crate::{
    connection::{self, Connection},
    state::{Claimed, Model},
    target::Subject,
    wire::Failure,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;
use weir_applications::access;
use weir_identity::{Account, accounts, accounts::INTERNAL_SERVICE_ACCOUNT, membership};
use weir_policy::PolicyCx;
use weir_resource::{Actor, Unit};

/// Types of accounts that belong to programs.
pub(super) const OF_PROGRAMS: [&str; 2] = ["service_account", INTERNAL_SERVICE_ACCOUNT];

/// An object here that the target is to know.
pub(super) struct Here {
    pub(super) model: Model,
    /// The identifier given to other systems.
    external_id: String,
    /// Username, or name of the group.
    pub(super) name: String,
    pub(super) user: Option<Account>,
    /// What the target calls the members of a group.
    pub(super) members: Vec<String>,
}

impl Here {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { model: self.model, external_id: &self.external_id, name: &self.name }
    }
}

/// What is here and what the target knows, by key.
#[derive(Default)]
pub(super) struct Sight {
    pub(super) here: HashMap<String, Here>,
    /// The connection in use first.
    pub(super) known: HashMap<String, Vec<Connection>>,
}

impl Run<'_> {
    /// Looks at all claimed objects, which are of one model.
    pub(super) async fn look(&self, rows: &[Claimed]) -> Result<Sight, Failure> {
        let Some(model) = rows.first().map(|row| row.model) else { return Ok(Sight::default()) };
        let (db, tables) = (&self.engine.site.db, self.assigned.kind.tables());
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        let known = connection::find_many(db, &tables, self.assigned.number, (model, &keys)).await?;
        let here = match model {
            Model::User => self.users(&keys).await?,
            Model::Group => self.groups(&keys).await?,
        };
        Ok(Sight { here, known })
    }

    async fn users(&self, keys: &[&str]) -> Result<HashMap<String, Here>, Failure> {
        let site = &self.engine.site;
        let ids: Vec<i64> = keys.iter().filter_map(|key| key.parse().ok()).collect();
        let mut users = accounts::find_many(&site.db, &ids).await?;
        let wanted = self.wanted(&users).await?;
        users.retain(|user| wanted.contains(&user.id));
        let here = |user: Account| {
            let (external_id, name) = (user.uid(&site.installation.id), user.username.clone());
            let key = user.id.to_string();
            (key, Here { model: Model::User, external_id, name, user: Some(user), members: Vec::new() })
        };
        Ok(users.into_iter().map(here).collect())
    }

    async fn groups(&self, keys: &[&str]) -> Result<HashMap<String, Here>, Failure> {
        let (db, tables) = (&self.engine.site.db, self.assigned.kind.tables());
        let filters = &self.terms.group_filters;
        let mut found = HashMap::new();
        for key in keys {
            let Ok(id) = Uuid::parse_str(key) else { continue };
            if !filters.is_empty() && !filters.contains(&id) {
                continue;
            }
            let Some(group) = membership::group_by_id(db, id).await? else { continue };
            let members = connection::members(db, &tables, self.assigned.number, key).await?;
            let key = (*key).to_owned();
            let here = Here { model: Model::Group, external_id: key.clone(), name: group.name, user: None, members };
            found.insert(key, here);
        }
        Ok(found)
    }

    /// Those of these users whom the target is to know. Being locked is no reason to be unknown: the target is told of it.
    async fn wanted(&self, users: &[Account]) -> Result<BTreeSet<i64>, Failure> {
        let own = |error: &dyn std::fmt::Display| Failure::Own(error.to_string());
        let site = &self.engine.site;
        let of_program = |user: &Account| OF_PROGRAMS.contains(&user.kind.as_str());
        let left_out = |user: &&Account| self.terms.common.exclude_users_service_account && of_program(user);
        let mut candidates: Vec<Account> = users.iter().filter(|user| !left_out(user)).cloned().collect();
        if let Some(group) = self.terms.filter_group {
            let ids: Vec<i64> = candidates.iter().map(|user| user.id).collect();
            let groups = membership::groups_of_many(&site.db, &ids).await?;
            candidates.retain(|user| groups.get(&user.id).is_some_and(|groups| groups.contains(&group)));
        }
        let mut unit = Unit::new(site, Actor::system());
        let snapshot = Arc::clone(&unit.snapshot);
        let mut events = Vec::new();
        let mut cx = PolicyCx {
            site,
            snapshot: &snapshot,
            tx: &mut unit.tx,
            kinds: &self.engine.policies,
            events: &mut events,
            depth: 0,
        };
        let answer = access::have_access(&mut cx, self.assigned.application, &candidates).await;
        for event in events {
            unit.event(event).await.map_err(|error| own(&error))?;
        }
        unit.commit().await.map_err(|error| own(&error))?;
        answer.map_err(|error| own(&error))
    }
}
