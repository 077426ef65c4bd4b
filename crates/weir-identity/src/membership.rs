//! Who belongs to what: groups with their ancestors, roles, superusers, merged attributes.

use crate::{Reader, attributes, reader::marks};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use weir_core::Map;
use weir_store::{Row, StoreError, Val};

/// Sub-select: all superusers, i.e. members of a superuser group or of one of its descendants.
pub(crate) const SUPERUSERS: &str = "WITH RECURSIVE down(id) AS (\
     SELECT id FROM identity_group WHERE is_superuser = TRUE \
     UNION SELECT p.group_id FROM identity_group_parent p JOIN down ON p.parent_id = down.id) \
     SELECT m.user_id FROM identity_membership m JOIN down ON m.group_id = down.id";

/// Common table `up`: the groups of user `$1` and all their ancestors. UNION ends it even if there were a cycle.
pub(crate) const UP: &str = "WITH RECURSIVE up(id) AS (\
     SELECT group_id FROM identity_membership WHERE user_id = $1 \
     UNION SELECT p.parent_id FROM identity_group_parent p JOIN up ON p.group_id = up.id)";

/// A group with what people look up on it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRow {
    /// Primary key.
    pub id: Uuid,
    /// Unique name.
    pub name: String,
    /// Members are superusers.
    pub is_superuser: bool,
    /// Free attributes.
    pub attributes: Map,
}

impl GroupRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.uuid("id")?,
            name: row.text("name")?,
            is_superuser: row.bool("is_superuser")?,
            attributes: attributes::object(row.json("attributes")?),
        })
    }
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRow {
    /// Primary key.
    pub id: Uuid,
    /// Unique name.
    pub name: String,
}

async fn groups(mut reader: impl Reader, sql: &str, vals: &[Val]) -> Result<Vec<GroupRow>, StoreError> {
    reader.read(sql, vals).await?.iter().map(GroupRow::from_row).collect()
}

/// Keys of the members of a group and of all groups below it, in order; none when there is no such group.
///
/// # Errors
/// Those of the store.
pub async fn members_below(mut reader: impl Reader, group_id: Uuid) -> Result<Option<Vec<i64>>, StoreError> {
    if group_by_id(&mut reader, group_id).await?.is_none() {
        return Ok(None);
    }
    let sql = "WITH RECURSIVE down(id) AS (SELECT id FROM identity_group WHERE id = $1 \
               UNION SELECT p.group_id FROM identity_group_parent p JOIN down ON p.parent_id = down.id) \
               SELECT DISTINCT m.user_id FROM identity_membership m JOIN down ON m.group_id = down.id ORDER BY m.user_id";
    let rows = reader.read(sql, &[group_id.into()]).await?;
    rows.iter().map(|row| row.int("user_id")).collect::<Result<_, _>>().map(Some)
}

/// The user's groups and all their ancestors, by name.
pub async fn groups_of(reader: impl Reader, user_id: i64) -> Result<Vec<GroupRow>, StoreError> {
    let sql = format!("{UP} SELECT g.* FROM identity_group g JOIN up ON up.id = g.id ORDER BY g.name");
    groups(reader, &sql, &[user_id.into()]).await
}

/// The groups of each of these users, with all their ancestors; users without any are left out.
pub async fn groups_of_many(mut reader: impl Reader, ids: &[i64]) -> Result<BTreeMap<i64, BTreeSet<Uuid>>, StoreError> {
    let mut found: BTreeMap<i64, BTreeSet<Uuid>> = BTreeMap::new();
    for part in ids.chunks(500) {
        let sql = format!(
            "WITH RECURSIVE up(user_id, id) AS (\
             SELECT user_id, group_id FROM identity_membership WHERE user_id IN ({}) \
             UNION SELECT up.user_id, p.parent_id FROM identity_group_parent p JOIN up ON p.group_id = up.id) \
             SELECT user_id, id FROM up",
            marks(1, part.len())
        );
        let vals: Vec<Val> = part.iter().map(|id| Val::from(*id)).collect();
        for row in reader.read(&sql, &vals).await? {
            found.entry(row.int("user_id")?).or_default().insert(row.uuid("id")?);
        }
    }
    Ok(found)
}

/// The groups the user is a member of directly, by name.
pub async fn direct_groups(reader: impl Reader, user_id: i64) -> Result<Vec<GroupRow>, StoreError> {
    let sql = "SELECT g.* FROM identity_group g JOIN identity_membership m ON m.group_id = g.id \
               WHERE m.user_id = $1 ORDER BY g.name";
    groups(reader, sql, &[user_id.into()]).await
}

/// A group by name.
pub async fn group_by_name(reader: impl Reader, name: &str) -> Result<Option<GroupRow>, StoreError> {
    let sql = "SELECT * FROM identity_group WHERE name = $1";
    Ok(groups(reader, sql, &[name.into()]).await?.into_iter().next())
}

/// A group by key.
pub async fn group_by_id(reader: impl Reader, id: Uuid) -> Result<Option<GroupRow>, StoreError> {
    Ok(groups(reader, "SELECT * FROM identity_group WHERE id = $1", &[id.into()]).await?.into_iter().next())
}

/// The user's roles: own and those of all groups and ancestors, by name.
pub async fn roles_of(mut reader: impl Reader, user_id: i64) -> Result<Vec<RoleRow>, StoreError> {
    let sql = format!(
        "{UP} SELECT id, name FROM identity_role WHERE id IN (\
         SELECT role_id FROM identity_user_role WHERE user_id = $1 \
         UNION SELECT l.role_id FROM identity_group_role l JOIN up ON up.id = l.group_id) ORDER BY name"
    );
    let rows = reader.read(&sql, &[user_id.into()]).await?;
    rows.iter().map(|row| Ok(RoleRow { id: row.uuid("id")?, name: row.text("name")? })).collect()
}

/// Whether the user is a superuser.
pub async fn is_superuser(mut reader: impl Reader, user_id: i64) -> Result<bool, StoreError> {
    let sql =
        format!("{UP} SELECT COUNT(*) AS n FROM identity_group g JOIN up ON up.id = g.id WHERE g.is_superuser = TRUE");
    let row = reader.read_one(&sql, &[user_id.into()]).await?;
    Ok(row.map_or(Ok(0), |r| r.int("n"))? > 0)
}

/// Which of these users are superusers.
pub async fn superusers_among(mut reader: impl Reader, ids: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
    let mut found = BTreeSet::new();
    for part in ids.chunks(500) {
        let sql = format!("{SUPERUSERS} WHERE m.user_id IN ({})", marks(1, part.len()));
        let vals: Vec<Val> = part.iter().map(|id| Val::from(*id)).collect();
        for row in reader.read(&sql, &vals).await? {
            found.insert(row.int("user_id")?);
        }
    }
    Ok(found)
}

/// Whether the user is a member of the group or of any of its descendants.
pub async fn is_member(mut reader: impl Reader, user_id: i64, group_id: Uuid) -> Result<bool, StoreError> {
    let sql = format!("{UP} SELECT id FROM up WHERE id = $2");
    Ok(reader.read_one(&sql, &[user_id.into(), group_id.into()]).await?.is_some())
}

/// Whether the user is a member of the group of this name or of any of its descendants.
pub async fn is_member_by_name(mut reader: impl Reader, user_id: i64, name: &str) -> Result<bool, StoreError> {
    let sql = format!("{UP} SELECT g.id FROM identity_group g JOIN up ON up.id = g.id WHERE g.name = $2");
    Ok(reader.read_one(&sql, &[user_id.into(), name.into()]).await?.is_some())
}

/// Attributes that apply to a user: those of the brand, of all groups by name, then the user's own, merged deeply.
pub async fn group_attributes(reader: impl Reader, user_id: i64, own: &Map, brand: &Map) -> Result<Map, StoreError> {
    Ok(merge_attributes(brand, &groups_of(reader, user_id).await?, own))
}

/// The same from what is already known.
pub fn merge_attributes(brand: &Map, groups: &[GroupRow], own: &Map) -> Map {
    let mut merged = brand.clone();
    for group in groups {
        attributes::merge(&mut merged, &group.attributes);
    }
    attributes::merge(&mut merged, own);
    merged
}

/// A truth value among merged attributes; anything but a boolean counts as absent.
pub fn attribute_flag(attributes: &Map, key: &str) -> Option<bool> {
    attributes.get(key).and_then(Value::as_bool)
}

/// Makes the user a member of a group; nothing happens when they are one, or when the group is gone.
pub async fn join(tx: &mut weir_store::Tx, user_id: i64, group_id: Uuid) -> Result<(), StoreError> {
    let sql = "INSERT INTO identity_membership (user_id, group_id) \
               SELECT $1, id FROM identity_group WHERE id = $2 ON CONFLICT DO NOTHING";
    if tx.write(sql, &[user_id.into(), group_id.into()]).await? > 0 {
        note_moved(tx, user_id, group_id).await?;
    }
    Ok(())
}

/// Notes that a user came into a group or left it, for systems that keep copies of it. Writes of users and groups
/// through their definitions need no note.
///
/// # Errors
/// Those of the store.
pub async fn note_moved(tx: &mut weir_store::Tx, user_id: i64, group_id: Uuid) -> Result<(), StoreError> {
    let sql = "INSERT INTO sync_moved (user_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.write(sql, &[user_id.into(), group_id.into()]).await?;
    Ok(())
}
