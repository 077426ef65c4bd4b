//! Which objects a target is told of.

use super::Run;
use crate::{state::Model, wire::Failure};
use std::sync::Arc;
use uuid::Uuid;
use weir_applications::{Application, access};
use weir_identity::{Account, accounts::INTERNAL_SERVICE_ACCOUNT, membership};
use weir_policy::{PolicyCx, RequestInfo};
use weir_resource::{Actor, Unit};
use weir_store::Val;

/// Types of accounts that belong to programs.
const OF_PROGRAMS: [&str; 2] = ["service_account", INTERNAL_SERVICE_ACCOUNT];

impl Run<'_> {
    /// Whether the target is to know a user. Being locked is no reason to be unknown: the target is told of it.
    pub(super) async fn wants_user(&self, user: &Account) -> Result<bool, Failure> {
        if self.terms.exclude_service_accounts && OF_PROGRAMS.contains(&user.kind.as_str()) {
            return Ok(false);
        }
        let site = &self.engine.site;
        if let Some(group) = self.terms.filter_group
            && !membership::is_member(&site.db, user.id, group).await?
        {
            return Ok(false);
        }
        let own = |error: &dyn std::fmt::Display| Failure::Own(error.to_string());
        let mut unit = Unit::new(site, Actor::system());
        let snapshot = Arc::clone(&unit.snapshot);
        let Some(application) = snapshot.get::<Application>(self.assigned.application) else { return Ok(false) };
        let mut events = Vec::new();
        let mut cx = PolicyCx {
            site,
            snapshot: &snapshot,
            tx: &mut unit.tx,
            kinds: &self.engine.policies,
            events: &mut events,
            depth: 0,
        };
        let which = (self.assigned.application, &*application);
        let answer = access::ask(&mut cx, &RequestInfo::default(), which, user, None).await;
        for event in events {
            unit.event(event).await.map_err(|error| own(&error))?;
        }
        unit.commit().await.map_err(|error| own(&error))?;
        Ok(answer.map_err(|error| own(&error))?.passing)
    }

    /// Whether the target is to know a group.
    pub(super) fn wants_group(&self, group: Uuid) -> bool {
        self.terms.group_filters.is_empty() || self.terms.group_filters.contains(&group)
    }

    /// Keys of objects that may be in scope, after a key and in order.
    pub(super) async fn candidates(&self, model: Model, after: Option<&str>) -> Result<Vec<String>, Failure> {
        let mut vals: Vec<Val> = vec![i64::try_from(self.terms.page_size).unwrap_or(i64::MAX).into()];
        let (table, mut conditions) = match model {
            Model::User => ("identity_user", Vec::new()),
            Model::Group => ("identity_group", Vec::new()),
        };
        if let Some(after) = after {
            vals.push(match model {
                Model::User => after.parse::<i64>().unwrap_or_default().into(),
                Model::Group => after.into(),
            });
            conditions.push(format!("id > ${}", vals.len()));
        }
        if model == Model::User && self.terms.exclude_service_accounts {
            let marks: Vec<String> = OF_PROGRAMS
                .iter()
                .map(|kind| {
                    vals.push((*kind).into());
                    format!("${}", vals.len())
                })
                .collect();
            conditions.push(format!("type NOT IN ({})", marks.join(", ")));
        }
        if model == Model::Group && !self.terms.group_filters.is_empty() {
            let marks: Vec<String> = self
                .terms
                .group_filters
                .iter()
                .map(|group| {
                    vals.push((*group).into());
                    format!("${}", vals.len())
                })
                .collect();
            conditions.push(format!("id IN ({})", marks.join(", ")));
        }
        let which = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let sql = format!("SELECT id FROM {table} {which} ORDER BY id LIMIT $1");
        let rows = self.engine.site.db.read(&sql, &vals).await?;
        let key = |row: &weir_store::Row| match model {
            Model::User => row.int("id").map(|id| id.to_string()),
            Model::Group => row.text("id"),
        };
        Ok(rows.iter().map(key).collect::<Result<_, _>>()?)
    }

    /// How many objects may be in scope.
    pub(super) async fn count(&self) -> Result<usize, Failure> {
        let sql = "SELECT (SELECT COUNT(*) FROM identity_user) + (SELECT COUNT(*) FROM identity_group) AS n";
        let row = self.engine.site.db.read_one(sql, &[]).await?;
        let count = row.map(|row| row.int("n")).transpose()?.unwrap_or_default();
        Ok(usize::try_from(count).unwrap_or_default())
    }
}
