//! Roles: named sets of permissions for users and groups.

use crate::{
    Reader, User, kind, membership, permission,
    reader::marks,
    user::{filter_values, flag, uuids},
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weir_core::{ApiError, Backing, Map, Resource, TableDef, resource::UuidKeyed};
use weir_resource::{Condition, Hooks, ListQuery, Site, Stored, Unit, store};
use weir_store::{StoreError, Val};

/// Begins the name of roles that hold what was given to one user or group; they are never listed unasked.
pub const MANAGED_PREFIX: &str = "ak-managed-role--";

/// A role.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Role {
    /// Unique name.
    #[schemars(length(min = 1))]
    pub name: String,
}

impl UuidKeyed for Role {}

const TABLE: TableDef =
    TableDef { table: "identity_role", pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" };

impl Resource for Role {
    const MODEL: &'static str = "authentik_rbac.role";
    const PATH: &'static str = "rbac/roles";
    const SCHEMA: &'static str = "Role";
    const VERBOSE: &'static str = "Role";
    const COMPONENT: &'static str = "ak-rbac-role-form";
    const PERMISSIONS: &'static [&'static str] = &["assign_role_permissions", "unassign_role_permissions"];
    const BACKING: Backing = Backing::Table(&TABLE);
}

/// See [`Role`].
pub struct RoleHooks;

#[async_trait]
impl Hooks for RoleHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let name = new.get("name").and_then(Value::as_str).unwrap_or_default();
        let managed = |name: &str| name.starts_with(MANAGED_PREFIX);
        if unit.actor.user_id.is_some() && (managed(name) || old.is_some_and(|o| managed(o.text("name")))) {
            return Err(ApiError::field("name", "Managed roles cannot be changed."));
        }
        Ok(())
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        permission::forget_object(unit, old).await
    }

    fn filter(&self, _site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        Ok(match name {
            "managed__isnull" => {
                let not = if flag(name, value)? { "" } else { "NOT " };
                Some(Condition::new(format!("managed IS {not}NULL"), vec![]))
            }
            _ => None,
        })
    }

    fn narrow(&self, _site: &Site, query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
        narrow(query)
    }
}

fn narrow(query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
    let mut found = Vec::new();
    let managed = filter_values(query, "managed");
    if !managed.is_empty() {
        let marks = vec!["?"; managed.len()].join(", ");
        let vals = managed.into_iter().map(Val::from).collect();
        found.push(Condition::new(format!("managed IN ({marks})"), vals));
    } else if filter_values(query, "managed__isnull").is_empty() {
        found.push(Condition::new(format!("(managed IS NULL OR managed NOT LIKE '{MANAGED_PREFIX}%')"), vec![]));
    }
    let inherited = match filter_values(query, "inherited").last() {
        Some(value) => flag("inherited", value)?,
        None => false,
    };
    if let Some(user) = filter_values(query, "users").last() {
        let id: i64 = user.parse().map_err(|_| ApiError::field("users", "Enter a number."))?;
        let sql = if inherited {
            format!(
                "id IN ({} SELECT role_id FROM identity_user_role WHERE user_id = ? \
                 UNION SELECT l.role_id FROM identity_group_role l JOIN up ON up.id = l.group_id)",
                membership::UP.replace("$1", "?")
            )
        } else {
            "id IN (SELECT role_id FROM identity_user_role WHERE user_id = ?)".to_owned()
        };
        let uses = sql.matches('?').count();
        found.push(Condition::new(sql, vec![id.into(); uses]));
    }
    if let Some(group) = filter_values(query, "groups").last() {
        let vals = uuids("groups", &[group])?;
        let sql = if inherited {
            "id IN (WITH RECURSIVE up(id) AS (SELECT id FROM identity_group WHERE id = ? \
             UNION SELECT p.parent_id FROM identity_group_parent p JOIN up ON p.group_id = up.id) \
             SELECT l.role_id FROM identity_group_role l JOIN up ON up.id = l.group_id)"
        } else {
            "id IN (SELECT role_id FROM identity_group_role WHERE group_id = ?)"
        };
        found.push(Condition::new(sql, vals));
    }
    Ok(found)
}

/// The contract's `Role` for these keys, with the key.
pub(crate) async fn partial_many(mut reader: impl Reader, keys: &[String]) -> Result<Vec<(String, Value)>, StoreError> {
    let mut found = Vec::with_capacity(keys.len());
    for part in keys.chunks(500) {
        let vals: Vec<Val> = part.iter().map(Val::from).collect();
        let sql = format!("SELECT id, name FROM identity_role WHERE id IN ({})", marks(1, part.len()));
        for row in reader.read(&sql, &vals).await? {
            let id = row.text("id")?;
            let value = json!({"pk": id, "name": row.text("name")?});
            found.push((id, value));
        }
    }
    Ok(found)
}

/// Those of these roles that hold what was given to one user or group.
pub(crate) async fn managed_among(mut reader: impl Reader, keys: &[String]) -> Result<BTreeSet<String>, StoreError> {
    let mut found = BTreeSet::new();
    for part in keys.chunks(500) {
        let mut vals: Vec<Val> = vec![format!("{MANAGED_PREFIX}%").into()];
        vals.extend(part.iter().map(Val::from));
        let sql = format!("SELECT id FROM identity_role WHERE name LIKE $1 AND id IN ({})", marks(2, part.len()));
        for row in reader.read(&sql, &vals).await? {
            found.insert(row.text("id")?);
        }
    }
    Ok(found)
}

/// Puts a user into a role, or takes the user out, through the user's own write path: rights, audit.
///
/// # Errors
/// 404 when either is gone; 400 when the actor may not give what the role holds.
pub async fn set_user(unit: &mut Unit<'_>, role_id: &str, user_id: i64, member: bool) -> Result<(), ApiError> {
    unit.tx.begin_write().await.map_err(store)?;
    unit.find(kind::<Role>(unit.site)?, role_id).await?.ok_or_else(ApiError::not_found)?;
    set_link(unit, "roles", role_id, user_id, member).await
}

/// Brings one entry of a user's list of groups or roles to a state.
pub(crate) async fn set_link(
    unit: &mut Unit<'_>,
    field: &str,
    key: &str,
    user_id: i64,
    member: bool,
) -> Result<(), ApiError> {
    let users = kind::<User>(unit.site)?;
    let pk = user_id.to_string();
    let user = unit
        .find(users, &pk)
        .await?
        .ok_or_else(|| ApiError::field("pk", weir_core::validate::invalid_pk(&json!(user_id))))?;
    let mut list = user.doc.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let there = list.iter().any(|v| v.as_str() == Some(key));
    if there == member {
        return Ok(());
    }
    if member {
        list.push(key.into());
    } else {
        list.retain(|v| v.as_str() != Some(key));
    }
    unit.set(users, &pk, Map::from_iter([(field.to_owned(), Value::Array(list))])).await?;
    Ok(())
}
