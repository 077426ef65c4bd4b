//! Giving and taking permissions. They belong to roles; what is given to one user sits in a hidden role of that user.

use super::{Grants, PermissionInfo, all, check_subset};
use crate::{Role, kind, role::MANAGED_PREFIX};
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use weir_core::{ApiError, Backing, Family, FieldErrors, Registry, ResourceType};
use weir_events::{Event, action};
use weir_resource::{HookSet, Hooks, Stored, Unit, store};
use weir_store::Val;

/// Permissions for a role, on all objects or on one.
#[derive(Clone, Debug, Default)]
pub struct Assignment {
    /// `app_label.codename`; with a model the application may be left out.
    pub permissions: Vec<String>,
    /// `app_label.model` that all permissions must belong to.
    pub model: Option<String>,
    /// Key of the one object; needs the model.
    pub object_pk: Option<String>,
}

/// Gives permissions to a role; returns the numbers of the entries.
///
/// # Errors
/// 404 for an unknown role, 400 for unknown permissions, objects, or rights the actor does not hold.
pub async fn assign(unit: &mut Unit<'_>, role_id: &str, wanted: &Assignment) -> Result<Vec<i64>, ApiError> {
    unit.tx.begin_write().await.map_err(store)?;
    let role = unit.find(kind::<Role>(unit.site)?, role_id).await?.ok_or_else(ApiError::not_found)?;
    let (permissions, object_id) = resolve(unit, wanted).await?;
    if let Some(actor) = unit.actor.user_id {
        let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
        let mut conferred = Grants { active: true, ..Grants::default() };
        for permission in &permissions {
            conferred.add(permission.full.clone(), object_id.clone());
        }
        check_subset(&grants, "permissions", &conferred)?;
    }
    let ids = write(unit, &role.pk, &permissions, &object_id).await?;
    report(unit, &role, "added", &permissions, &object_id).await?;
    Ok(ids)
}

/// Takes permissions from a role; those it does not have are passed over.
///
/// # Errors
/// As [`assign`], without the last.
pub async fn unassign(unit: &mut Unit<'_>, role_id: &str, wanted: &Assignment) -> Result<(), ApiError> {
    unit.tx.begin_write().await.map_err(store)?;
    let role = unit.find(kind::<Role>(unit.site)?, role_id).await?.ok_or_else(ApiError::not_found)?;
    let (permissions, object_id) = resolve(unit, wanted).await?;
    for permission in &permissions {
        let sql = "DELETE FROM identity_role_permission WHERE role_id = $1 AND permission = $2 AND object_id = $3";
        let vals = [role.pk.clone().into(), permission.full.clone().into(), object_id.clone().into()];
        unit.tx.write(sql, &vals).await.map_err(store)?;
    }
    report(unit, &role, "removed", &permissions, &object_id).await
}

async fn resolve(unit: &mut Unit<'_>, wanted: &Assignment) -> Result<(Vec<PermissionInfo>, String), ApiError> {
    let known = all(&unit.site.registry);
    let mut errors = FieldErrors::new();
    let model = wanted.model.as_deref();
    if let Some(model) = model
        && !known.iter().any(|p| p.full_model() == model)
    {
        errors.add("model", format!("\"{model}\" is not a valid choice."), "invalid_choice");
    }
    let mut found = Vec::new();
    for name in &wanted.permissions {
        let hit = known.iter().find(|p| {
            let named = p.full == *name || (model.is_some() && p.codename == *name);
            named && model.is_none_or(|m| p.full_model() == m)
        });
        match hit {
            Some(permission) => found.push(permission.clone()),
            None => errors.add("permissions", format!("Permission \"{name}\" does not exist."), "invalid"),
        }
    }
    let mut object_id = String::new();
    if let Some(pk) = &wanted.object_pk {
        // The model of a family stands for objects of all its kinds.
        let kinds = model.map(|model| unit.site.registry.targets(model)).unwrap_or_default();
        if kinds.is_empty() {
            errors.add("model", "A model is required with an object.", "required");
        } else {
            match find_any(unit, &kinds, pk).await? {
                Some(object) => object_id = object.pk,
                None => errors.add("object_pk", weir_core::validate::invalid_pk(&json!(pk)), "does_not_exist"),
            }
        }
    }
    errors.into_result()?;
    Ok((found, object_id))
}

/// An object of one of these kinds.
///
/// # Errors
/// Those of the store.
pub async fn find_any(
    unit: &mut Unit<'_>,
    kinds: &[&'static ResourceType],
    pk: &str,
) -> Result<Option<Stored>, ApiError> {
    for kind in kinds {
        if let Some(found) = unit.find(kind, pk).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Writes entries without any check.
pub(crate) async fn write(
    unit: &mut Unit<'_>,
    role_id: &str,
    permissions: &[PermissionInfo],
    object_id: &str,
) -> Result<Vec<i64>, ApiError> {
    let mut ids = Vec::with_capacity(permissions.len());
    for permission in permissions {
        let vals: [Val; 4] =
            [role_id.into(), permission.full.clone().into(), permission.full_model().into(), object_id.into()];
        // The update changes nothing; it makes the database answer with the existing entry.
        let sql = "INSERT INTO identity_role_permission (role_id, permission, model, object_id) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (role_id, permission, object_id) \
                   DO UPDATE SET permission = excluded.permission RETURNING id";
        for row in unit.tx.write_returning(sql, &vals).await.map_err(store)? {
            ids.push(row.int("id").map_err(store)?);
        }
    }
    Ok(ids)
}

async fn report(
    unit: &mut Unit<'_>,
    role: &Stored,
    what: &str,
    permissions: &[PermissionInfo],
    object_id: &str,
) -> Result<(), ApiError> {
    let names: Vec<&str> = permissions.iter().map(|p| p.full.as_str()).collect();
    let context = json!({
        "model": {"app": "authentik_rbac", "model_name": "role", "pk": role.pk.replace('-', ""), "name": role.name()},
        "permissions": {what: names, "object_pk": object_id},
    });
    unit.event(Event::new(action::MODEL_UPDATED, "authentik_rbac", context)).await
}

/// The hidden role with what was given to one user; made when missing.
///
/// # Errors
/// Those of the store.
pub async fn user_role(unit: &mut Unit<'_>, user_id: i64) -> Result<String, ApiError> {
    let name = format!("{MANAGED_PREFIX}user-{user_id}");
    let id = unit.site.random.uuid().to_string();
    let sql = "INSERT INTO identity_role (id, name, managed) VALUES ($1, $2, $2) ON CONFLICT (name) DO NOTHING";
    unit.tx.write(sql, &[id.into(), name.clone().into()]).await.map_err(store)?;
    let row = unit.tx.read_one("SELECT id FROM identity_role WHERE name = $1", &[name.into()]).await.map_err(store)?;
    let id = row.map(|r| r.text("id")).transpose().map_err(store)?.ok_or_else(ApiError::not_found)?;
    let sql = "INSERT INTO identity_user_role (user_id, role_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    unit.tx.write(sql, &[user_id.into(), id.clone().into()]).await.map_err(store)?;
    Ok(id)
}

/// Gives a permission on one object to one user, on behalf of the server.
///
/// # Errors
/// Those of the store; a permission that does not exist is a defect.
pub async fn give_to_user(
    unit: &mut Unit<'_>,
    user_id: i64,
    permission: &str,
    object_id: &str,
) -> Result<(), ApiError> {
    let found = all(&unit.site.registry).into_iter().find(|p| p.full == permission);
    let found = found.ok_or_else(|| anyhow::anyhow!("there is no permission {permission}"))?;
    let role = user_role(unit, user_id).await?;
    write(unit, &role, &[found], object_id).await?;
    Ok(())
}

/// Removes what was given on an object that is about to go, and the hidden role of a user or group.
///
/// # Errors
/// Those of the store.
pub async fn forget_object(unit: &mut Unit<'_>, object: &Stored) -> Result<(), ApiError> {
    let sql = "DELETE FROM identity_role_permission WHERE model IN ($1, $2) AND object_id = $3";
    let base = object.kind.family.map_or(object.kind.model, Family::model);
    unit.tx.write(sql, &[object.kind.model.into(), base.into(), object.pk.clone().into()]).await.map_err(store)?;
    if let "authentik_core.user" | "authentik_core.group" = object.kind.model {
        let name = format!("{MANAGED_PREFIX}{}-{}", object.kind.model_name(), object.pk);
        unit.tx.write("DELETE FROM identity_role WHERE name = $1", &[name.into()]).await.map_err(store)?;
    }
    Ok(())
}

/// Takes what was given on documents away with them; kinds with a table see to it themselves.
struct ForgetWithDocument;

#[async_trait]
impl Hooks for ForgetWithDocument {
    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        forget_object(unit, old).await
    }
}

/// Permissions on objects of all kinds with documents end with the objects.
pub fn hooks(set: &mut HookSet, registry: &Registry) {
    let forget: Arc<dyn Hooks> = Arc::new(ForgetWithDocument);
    for kind in registry.all().filter(|kind| matches!(kind.backing, Backing::Document)) {
        set.add(kind.model, Arc::clone(&forget));
    }
}
