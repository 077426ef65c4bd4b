//! Read-only fields of groups.

use crate::{
    Reader, accounts,
    membership::GroupRow,
    reader::marks,
    role,
    user::{keys, partial, pick},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_resource::{Presenting, Stored, store};
use weir_store::{Db, StoreError, Val};

/// The number of a group for systems that know numbers only: the first five digits of its key.
fn num_pk(id: Uuid) -> i64 {
    let digits = id.as_u128().to_string();
    digits.get(..5).unwrap_or(&digits).parse().unwrap_or_default()
}

async fn rows(mut reader: impl Reader, keys: &[String]) -> Result<Vec<GroupRow>, StoreError> {
    let mut found = Vec::with_capacity(keys.len());
    for part in keys.chunks(500) {
        let vals: Vec<Val> = part.iter().map(Val::from).collect();
        let sql = format!("SELECT * FROM identity_group WHERE id IN ({})", marks(1, part.len()));
        for row in reader.read(&sql, &vals).await? {
            found.push(GroupRow::from_row(&row)?);
        }
    }
    Ok(found)
}

/// The contract's `PartialGroup` for these keys, with the key.
pub async fn partial_many(reader: impl Reader, keys: &[String]) -> Result<Vec<(String, Value)>, StoreError> {
    let shown = rows(reader, keys).await?.into_iter().map(|g| {
        let value = json!({
            "pk": g.id, "num_pk": num_pk(g.id), "name": g.name, "is_superuser": g.is_superuser, "attributes": g.attributes,
        });
        (g.id.to_string(), value)
    });
    Ok(shown.collect())
}

/// The contract's `RelatedGroup` for these keys, with the key.
async fn related_many(reader: impl Reader, keys: &[String]) -> Result<Vec<(String, Value)>, StoreError> {
    let shown = rows(reader, keys).await?.into_iter().map(|g| {
        let value = json!({
            "pk": g.id, "name": g.name, "is_superuser": g.is_superuser, "attributes": g.attributes, "group_uuid": g.id,
        });
        (g.id.to_string(), value)
    });
    Ok(shown.collect())
}

/// parent → children of these groups.
async fn children_of(mut reader: impl Reader, groups: &[Stored]) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in groups.chunks(500) {
        let vals: Vec<Val> = part.iter().map(|g| Val::from(&g.pk)).collect();
        let sql = format!(
            "SELECT parent_id, group_id FROM identity_group_parent WHERE parent_id IN ({}) ORDER BY group_id",
            marks(1, part.len())
        );
        for row in reader.read(&sql, &vals).await? {
            found.entry(row.text("parent_id")?).or_default().push(row.text("group_id")?);
        }
    }
    Ok(found)
}

/// Roles that a group has from its ancestors.
async fn inherited_roles(mut reader: impl Reader, group: &str) -> Result<Value, StoreError> {
    let sql = "WITH RECURSIVE up(id) AS (SELECT parent_id FROM identity_group_parent WHERE group_id = $1 \
               UNION SELECT p.parent_id FROM identity_group_parent p JOIN up ON p.group_id = up.id) \
               SELECT id, name FROM identity_role WHERE id IN \
               (SELECT l.role_id FROM identity_group_role l JOIN up ON up.id = l.group_id) ORDER BY name";
    let rows = reader.read(sql, &[group.into()]).await?;
    let shown: Result<Vec<Value>, StoreError> =
        rows.iter().map(|r| Ok(json!({"pk": r.text("id")?, "name": r.text("name")?}))).collect();
    Ok(Value::Array(shown?))
}

/// The contract's `PartialUser` of all members of these groups, by key.
async fn members(cx: &Presenting<'_>, rows: &[Stored]) -> Result<BTreeMap<i64, Value>, ApiError> {
    let ids: BTreeSet<i64> =
        rows.iter().filter_map(|r| r.doc.get("users")?.as_array()).flatten().filter_map(Value::as_i64).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let accounts = accounts::find_many(&cx.site.db, &ids).await.map_err(store)?;
    Ok(accounts.into_iter().map(|a| (a.id, partial(&a, &cx.site.installation.id))).collect())
}

pub(super) async fn add(cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
    let db: &Db = &cx.site.db;
    let roles = role::partial_many(db, &keys(rows, "roles")).await.map_err(store)?;
    let children = children_of(db, rows).await.map_err(store)?;
    let users = match cx.flag("include_users", true) {
        true => Some(members(cx, rows).await?),
        false => None,
    };
    let parents = match cx.flag("include_parents", false) {
        true => Some(related_many(db, &keys(rows, "parents")).await.map_err(store)?),
        false => None,
    };
    let below = match cx.flag("include_children", false) {
        true => {
            let all: Vec<String> = children.values().flatten().cloned().collect();
            Some(related_many(db, &all).await.map_err(store)?)
        }
        false => None,
    };
    for (row, answer) in rows.iter().zip(answers) {
        let own: &[String] = children.get(&row.pk).map(Vec::as_slice).unwrap_or_default();
        let users_obj = users.as_ref().map(|users| {
            let list = row.doc.get("users").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(|id| users.get(&id.as_i64()?)).cloned().collect::<Vec<_>>()
        });
        let children_obj = below.as_ref().map(|below| {
            below.iter().filter(|(pk, _)| own.contains(pk)).map(|(_, value)| value.clone()).collect::<Vec<_>>()
        });
        let inherited = match cx.flag("include_inherited_roles", false) {
            true => inherited_roles(db, &row.pk).await.map_err(store)?,
            false => Value::Null,
        };
        let id = Uuid::parse_str(&row.pk).unwrap_or_default();
        answer.insert("num_pk".to_owned(), num_pk(id).into());
        answer.insert("children".to_owned(), json!(own));
        answer.insert("children_obj".to_owned(), json!(children_obj));
        answer.insert("parents_obj".to_owned(), parents.as_ref().map_or(Value::Null, |p| pick(row, "parents", p)));
        answer.insert("users_obj".to_owned(), json!(users_obj));
        answer.insert("roles_obj".to_owned(), pick(row, "roles", &roles));
        answer.insert("inherited_roles_obj".to_owned(), inherited);
    }
    Ok(())
}
