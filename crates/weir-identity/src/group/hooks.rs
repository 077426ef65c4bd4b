//! Rules of groups: no cycles, and nobody gives away more than they have.

use super::present;
use crate::{
    Grants, attributes, permission,
    reader::marks,
    user::{added, any_of, filter_values},
};
use async_trait::async_trait;
use serde_json::Value;
use weir_core::{ApiError, Map};
use weir_resource::{Condition, Hooks, ListQuery, Presenting, Site, Stored, Unit, store};
use weir_store::Val;

/// See [`Group`](super::Group).
pub struct GroupHooks;

fn flag(doc: &Map, field: &str) -> bool {
    doc.get(field).and_then(Value::as_bool).unwrap_or(false)
}

fn ints(doc: Option<&Map>, field: &str) -> Vec<i64> {
    let items = doc.and_then(|d| d.get(field)).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_i64).collect()
}

/// Refuses parents that are the group itself or below it.
async fn check_cycle(unit: &mut Unit<'_>, pk: &str, parents: &[String]) -> Result<(), ApiError> {
    if parents.is_empty() {
        return Ok(());
    }
    // Two changes that are fine alone can close a cycle together.
    unit.lock_configuration().await?;
    let mut vals: Vec<Val> = parents.iter().map(Val::from).collect();
    vals.push(pk.into());
    let sql = format!(
        "WITH RECURSIVE up(id) AS (SELECT id FROM identity_group WHERE id IN ({}) \
         UNION SELECT p.parent_id FROM identity_group_parent p JOIN up ON p.group_id = up.id) \
         SELECT id FROM up WHERE id = ${}",
        marks(1, parents.len()),
        vals.len()
    );
    match unit.tx.read_one(&sql, &vals).await.map_err(store)? {
        Some(_) => Err(ApiError::field("parents", "A group cannot be its own ancestor.")),
        None => Ok(()),
    }
}

/// Refuses changes by which somebody would gain what the actor could not give.
async fn check_rights(unit: &mut Unit<'_>, old: Option<&Stored>, new: &Map) -> Result<(), ApiError> {
    let Some(actor) = unit.actor.user_id else { return Ok(()) };
    let (was, is) = (old.is_some_and(|o| flag(&o.doc, "is_superuser")), flag(new, "is_superuser"));
    let (parents, roles) = (added("parents", old, new), added("roles", old, new));
    let before = ints(old.map(|o| &o.doc), "users");
    let joins = ints(Some(new), "users").iter().any(|id| !before.contains(id));
    if was == is && parents.is_empty() && roles.is_empty() && !joins {
        return Ok(());
    }
    let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
    let pk = old.map(|o| o.pk.as_str());
    let refuse = |state: &str| {
        ApiError::field("is_superuser", format!("User does not have permission to set superuser status to {state}."))
    };
    if is && !was && !grants.may("authentik_core.enable_group_superuser", pk) {
        return Err(refuse("True"));
    }
    if was && !is && !grants.may("authentik_core.disable_group_superuser", pk) {
        return Err(refuse("False"));
    }
    permission::check_groups(&mut unit.tx, &grants, "parents", &parents).await?;
    permission::check_roles(&mut unit.tx, &grants, "roles", &roles).await?;
    if joins {
        // What was checked above is not in the database yet; what was there before is.
        let own: Vec<String> = pk.map(str::to_owned).into_iter().collect();
        permission::check_groups(&mut unit.tx, &grants, "users", &own).await?;
    }
    Ok(())
}

#[async_trait]
impl Hooks for GroupHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        if let Some(old) = old {
            check_cycle(unit, &old.pk, &added("parents", Some(old), new)).await?;
        }
        check_rights(unit, old, new).await
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        permission::forget_object(unit, old).await
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        present::add(cx, rows, answers).await
    }

    fn filter(&self, site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        match name {
            "attributes" => attributes::conditions(site.db.dialect(), "attributes", value).map(Some),
            _ => Ok(None),
        }
    }

    fn narrow(&self, _site: &Site, query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
        let mut found = Vec::new();
        let pks = filter_values(query, "members_by_pk");
        if !pks.is_empty() {
            let vals: Result<Vec<Val>, ApiError> = pks
                .iter()
                .map(|v| {
                    v.parse::<i64>().map(Val::from).map_err(|_| ApiError::field("members_by_pk", "Enter a number."))
                })
                .collect();
            found.push(any_of("id IN (SELECT group_id FROM identity_membership WHERE user_id", ")", vals?));
        }
        let names = filter_values(query, "members_by_username");
        if !names.is_empty() {
            let before = "id IN (SELECT m.group_id FROM identity_membership m JOIN identity_user u ON u.id = m.user_id \
                          WHERE u.username";
            found.push(any_of(before, ")", names.into_iter().map(Val::from).collect()));
        }
        Ok(found)
    }
}
