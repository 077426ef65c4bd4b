//! Nobody gives away more than they have: whoever puts users into groups, groups under parents, or roles on either,
//! must hold everything that comes with it.

use super::Grants;
use crate::{Reader, reader::marks};
use weir_core::{ApiError, FieldErrors};
use weir_resource::store;
use weir_store::{StoreError, Val};

const REFUSAL: &str = "User does not have permission to grant rights beyond their own.";
const SUPERUSER: &str = "User does not have permission to set superuser status to True.";

/// What membership in these groups confers, over all ancestors: the superuser groups among them, and permissions.
async fn of_groups(mut reader: impl Reader, groups: &[String]) -> Result<(Vec<String>, Grants), StoreError> {
    let mut conferred = Grants { active: true, ..Grants::default() };
    let mut superuser = Vec::new();
    for part in groups.chunks(400) {
        let vals: Vec<Val> = part.iter().map(Val::from).collect();
        let up = format!(
            "WITH RECURSIVE up(id) AS (SELECT id FROM identity_group WHERE id IN ({}) \
             UNION SELECT p.parent_id FROM identity_group_parent p JOIN up ON p.group_id = up.id)",
            marks(1, part.len())
        );
        let sql = format!("{up} SELECT g.id FROM identity_group g JOIN up ON up.id = g.id WHERE g.is_superuser = TRUE");
        for row in reader.read(&sql, &vals).await? {
            superuser.push(row.text("id")?);
        }
        let sql = format!(
            "{up} SELECT DISTINCT p.permission, p.object_id FROM identity_role_permission p \
             JOIN identity_group_role l ON l.role_id = p.role_id JOIN up ON up.id = l.group_id"
        );
        for row in reader.read(&sql, &vals).await? {
            conferred.add(row.text("permission")?, row.text("object_id")?);
        }
    }
    Ok((superuser, conferred))
}

/// Refuses permissions that the actor does not hold.
///
/// # Errors
/// 400 on the field.
pub fn check_subset(actor: &Grants, field: &str, conferred: &Grants) -> Result<(), ApiError> {
    let held = conferred.global.iter().all(|permission| actor.may(permission, None))
        && conferred.objects.iter().all(|(permission, keys)| keys.iter().all(|key| actor.may(permission, Some(key))));
    if held { Ok(()) } else { Err(ApiError::Fields(FieldErrors::one(field, REFUSAL))) }
}

/// Refuses what would let the actor act as a user who may do more. Superusers may act as anybody, and everybody as
/// themselves.
///
/// # Errors
/// 403; those of the store.
pub async fn check_acting_as(reader: impl Reader, actor: &Grants, own: i64, user: i64) -> Result<(), ApiError> {
    if actor.all() || own == user {
        return Ok(());
    }
    let theirs = Grants::load(reader, user).await.map_err(store)?;
    // A deactivated account may be activated again.
    let held = !theirs.superuser && check_subset(actor, "user", &theirs).is_ok();
    if held { Ok(()) } else { Err(ApiError::forbidden()) }
}

/// Refuses to give what these groups confer when the actor does not have it.
///
/// # Errors
/// 400 on the field; those of the store.
pub async fn check_groups(reader: impl Reader, actor: &Grants, field: &str, groups: &[String]) -> Result<(), ApiError> {
    if actor.all() || groups.is_empty() {
        return Ok(());
    }
    let (superuser, conferred) = of_groups(reader, groups).await.map_err(store)?;
    // The right to make a group a superuser group includes the right to fill it.
    if superuser.iter().any(|group| !actor.may("authentik_core.enable_group_superuser", Some(group))) {
        return Err(ApiError::field(field, SUPERUSER));
    }
    check_subset(actor, field, &conferred)
}

/// Refuses to give what these roles confer when the actor does not have it.
///
/// # Errors
/// 400 on the field; those of the store.
pub async fn check_roles(
    mut reader: impl Reader,
    actor: &Grants,
    field: &str,
    roles: &[String],
) -> Result<(), ApiError> {
    if actor.all() {
        return Ok(());
    }
    let mut conferred = Grants { active: true, ..Grants::default() };
    for part in roles.chunks(400) {
        let vals: Vec<Val> = part.iter().map(Val::from).collect();
        let sql = format!(
            "SELECT DISTINCT permission, object_id FROM identity_role_permission WHERE role_id IN ({})",
            marks(1, part.len())
        );
        for row in reader.read(&sql, &vals).await.map_err(store)? {
            conferred.add(row.text("permission").map_err(store)?, row.text("object_id").map_err(store)?);
        }
    }
    check_subset(actor, field, &conferred)
}
