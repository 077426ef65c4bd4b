//! Read-only fields of users.

use crate::{Account, accounts, avatar, group, membership, role};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weir_core::{ApiError, Map};
use weir_resource::{Presenting, Site, Snapshot, Stored, store};
use weir_store::Db;

/// The keys listed by a field over all rows, each once.
pub(crate) fn keys(rows: &[Stored], field: &str) -> Vec<String> {
    let all: BTreeSet<&str> =
        rows.iter().filter_map(|r| r.doc.get(field)?.as_array()).flatten().filter_map(Value::as_str).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// The parts of a page that belong to one row, in the row's order.
pub(crate) fn pick(row: &Stored, field: &str, parts: &[(String, Value)]) -> Value {
    let wanted = row.doc.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let found =
        wanted.iter().filter_map(|key| parts.iter().find(|(pk, _)| Some(pk.as_str()) == key.as_str())).map(|p| &p.1);
    Value::Array(found.cloned().collect())
}

fn avatar_subject<'a>(row: &'a Stored, empty: &'a Map) -> avatar::Subject<'a> {
    avatar::Subject {
        username: row.text("username"),
        name: row.text("name"),
        email: row.text("email"),
        attributes: row.doc.get("attributes").and_then(Value::as_object).unwrap_or(empty),
    }
}

pub(super) async fn add(cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
    let db: &Db = &cx.site.db;
    let ids: Vec<i64> = rows.iter().map(Stored::int_pk).collect();
    let superusers = membership::superusers_among(db, &ids).await.map_err(store)?;
    let hidden = role::managed_among(db, &keys(rows, "roles")).await.map_err(store)?;
    let groups = match cx.flag("include_groups", true) {
        true => Some(group::partial_many(db, &keys(rows, "groups")).await.map_err(store)?),
        false => None,
    };
    let roles = match cx.flag("include_roles", true) {
        true => {
            let mut shown = keys(rows, "roles");
            shown.retain(|key| !hidden.contains(key));
            Some(role::partial_many(db, &shown).await.map_err(store)?)
        }
        false => None,
    };
    let empty = Map::new();
    let settings = &cx.snapshot.settings;
    let unknown = avatar::unknown(cx.site, settings, rows.iter().map(|row| avatar_subject(row, &empty)));
    avatar::settle(cx.site, unknown).await;
    for (row, answer) in rows.iter().zip(answers) {
        let parts = |field: &str, parts: &Option<Vec<(String, Value)>>| {
            parts.as_ref().map_or(Value::Null, |parts| pick(row, field, parts))
        };
        if let Some(Value::Array(roles)) = answer.get_mut("roles") {
            roles.retain(|role| !role.as_str().is_some_and(|key| hidden.contains(key)));
        }
        answer.insert("is_superuser".to_owned(), superusers.contains(&row.int_pk()).into());
        answer.insert("groups_obj".to_owned(), parts("groups", &groups));
        answer.insert("roles_obj".to_owned(), parts("roles", &roles));
        answer.insert("avatar".to_owned(), avatar::of(cx.site, settings, &avatar_subject(row, &empty)).into());
        answer.insert("uid".to_owned(), accounts::uid(row.int_pk(), &cx.site.installation.id).into());
    }
    Ok(())
}

/// The contract's `PartialUser`.
pub fn partial(account: &Account, install_id: &str) -> Value {
    json!({
        "pk": account.id,
        "username": account.username,
        "name": account.name,
        "is_active": account.is_active,
        "last_login": account.last_login.map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
        "email": account.email,
        "attributes": account.attributes,
        "uid": account.uid(install_id),
    })
}

/// The contract's `UserSelf`. `brand_attributes` are the lowest layer of the settings.
///
/// # Errors
/// Those of the store.
pub async fn self_view(
    site: &Site,
    snapshot: &Snapshot,
    account: &Account,
    brand_attributes: &Map,
    is_current: bool,
) -> Result<Value, ApiError> {
    let db: &Db = &site.db;
    let groups = membership::groups_of(db, account.id).await.map_err(store)?;
    let roles = membership::roles_of(db, account.id).await.map_err(store)?;
    let grants = crate::Grants::load(db, account.id).await.map_err(store)?;
    let merged = membership::merge_attributes(brand_attributes, &groups, &account.attributes);
    let subject = std::iter::once(avatar::Subject::of(account));
    avatar::settle(site, avatar::unknown(site, &snapshot.settings, subject)).await;
    Ok(json!({
        "pk": account.id,
        "username": account.username,
        "name": account.name,
        "is_active": account.is_active,
        "is_superuser": grants.superuser,
        "is_current": is_current,
        "groups": groups.iter().map(|g| json!({"name": g.name, "pk": g.id})).collect::<Vec<_>>(),
        "roles": roles.iter().filter(|r| !r.name.starts_with(role::MANAGED_PREFIX)).map(|r| json!({"name": r.name, "pk": r.id})).collect::<Vec<_>>(),
        "email": account.email,
        "avatar": avatar::for_account(site, &snapshot.settings, account),
        "uid": account.uid(&site.installation.id),
        "settings": merged.get("settings").cloned().unwrap_or_else(|| json!({})),
        "type": account.kind,
        "system_permissions": crate::permission::system_codenames(&grants),
    }))
}
