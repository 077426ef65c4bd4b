//! What was given to roles, for the pages that show it.

use super::{PermissionInfo, all, find_any};
use crate::{Reader, membership::RoleRow};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use weir_core::{ApiError, Registry};
use weir_resource::{Unit, store};
use weir_store::{Row, StoreError, Val};

/// One permission of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of the entry.
    pub id: i64,
    /// The permission.
    pub permission: PermissionInfo,
    /// Key of the object; none for all objects.
    pub object_pk: Option<String>,
}

impl Entry {
    /// None for a permission this build does not know.
    fn from_row(row: &Row, known: &BTreeMap<String, PermissionInfo>) -> Result<Option<Self>, StoreError> {
        let Some(permission) = known.get(&row.text("permission")?).cloned() else { return Ok(None) };
        let object = row.text("object_id")?;
        Ok(Some(Self { id: row.int("id")?, permission, object_pk: (!object.is_empty()).then_some(object) }))
    }

    /// The contract's `RoleModelPermission`, or `RoleObjectPermission` for an entry on one object.
    pub fn to_value(&self) -> Value {
        let p = &self.permission;
        let mut value = json!({
            "id": self.id, "codename": p.codename, "model": p.model, "app_label": p.app_label, "name": p.name,
        });
        if let (Some(object), Some(value)) = (&self.object_pk, value.as_object_mut()) {
            value.insert("object_pk".to_owned(), object.clone().into());
        }
        value
    }
}

fn by_name(registry: &Registry) -> BTreeMap<String, PermissionInfo> {
    all(registry).into_iter().map(|p| (p.full.clone(), p)).collect()
}

/// Roles with a permission on a model, by name, with their entries; with a key only entries on that object count
/// besides those on all.
pub async fn on_model(
    mut reader: impl Reader,
    registry: &Registry,
    model: &str,
    object_pk: Option<&str>,
) -> Result<Vec<(RoleRow, Vec<Entry>)>, StoreError> {
    let mut sql = "SELECT p.id, p.permission, p.object_id, r.id AS role_id, r.name FROM identity_role_permission p \
                   JOIN identity_role r ON r.id = p.role_id WHERE p.model = $1"
        .to_owned();
    let mut vals: Vec<Val> = vec![model.into()];
    if let Some(pk) = object_pk {
        sql.push_str(" AND p.object_id IN ('', $2)");
        vals.push(pk.into());
    }
    sql.push_str(" ORDER BY r.name, p.id");
    let known = by_name(registry);
    let mut found: Vec<(RoleRow, Vec<Entry>)> = Vec::new();
    for row in reader.read(&sql, &vals).await? {
        let Some(entry) = Entry::from_row(&row, &known)? else { continue };
        let id = row.uuid("role_id")?;
        match found.last_mut().filter(|(role, _)| role.id == id) {
            Some((_, entries)) => entries.push(entry),
            None => found.push((RoleRow { id, name: row.text("name")? }, vec![entry])),
        }
    }
    Ok(found)
}

/// The contract's `RoleAssignedObjectPermission`.
pub fn assigned_view((role, entries): &(RoleRow, Vec<Entry>)) -> Value {
    let part = |object: bool| -> Vec<Value> {
        entries.iter().filter(|e| e.object_pk.is_some() == object).map(Entry::to_value).collect()
    };
    json!({
        "role_pk": role.id,
        "name": role.name,
        "object_permissions": part(true),
        "model_permissions": part(false),
    })
}

/// Names of the permissions that a role has on all objects.
pub async fn global_of_role(mut reader: impl Reader, role_id: &str) -> Result<BTreeSet<String>, StoreError> {
    let sql = "SELECT permission FROM identity_role_permission WHERE role_id = $1 AND object_id = ''";
    reader.read(sql, &[role_id.into()]).await?.iter().map(|row| row.text("permission")).collect()
}

/// The entries on single objects of a role (of all roles when none is named), as the contract's
/// `ExtraRoleObjectPermission`. Entries on objects that are gone are left out.
///
/// # Errors
/// Those of the store.
pub async fn objects_of_role(unit: &mut Unit<'_>, role_id: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let mut sql = "SELECT id, permission, object_id FROM identity_role_permission WHERE object_id <> ''".to_owned();
    let mut vals: Vec<Val> = Vec::new();
    if let Some(role) = role_id {
        sql.push_str(" AND role_id = $1");
        vals.push(role.into());
    }
    sql.push_str(" ORDER BY id");
    let known = by_name(&unit.site.registry);
    let mut found = Vec::new();
    for row in unit.tx.read(&sql, &vals).await.map_err(store)? {
        let Some(entry) = Entry::from_row(&row, &known).map_err(store)? else { continue };
        let kinds = unit.site.registry.targets(&entry.permission.full_model());
        let object = match &entry.object_pk {
            Some(pk) => find_any(unit, &kinds, pk).await?,
            None => None,
        };
        let (Some(object), Value::Object(mut shown)) = (object, entry.to_value()) else { continue };
        shown.insert("app_label_verbose".to_owned(), entry.permission.app_label_verbose().into());
        shown.insert("model_verbose".to_owned(), entry.permission.model_verbose.clone().into());
        shown.insert("object_description".to_owned(), object.name().into());
        found.push(Value::Object(shown));
    }
    Ok(found)
}
