//! Permissions: which there are, which role has which, giving and taking them, members of roles.

use super::groups::{UserBody, check_user};
use crate::{Access, Call, Reply, Route, call, error};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_identity::{
    permission::{self, Assignment, PermissionInfo},
    role,
};
use weir_resource::{Page, Unit, Visible, store};

const ROLE: &str = "authentik_rbac.role";
/// Whoever may see roles may see what can be given to them.
const VIEW: Access = Access::Global("authentik_rbac.view_role");

pub(super) fn reads() -> Vec<Route> {
    vec![
        Route::new("rbac_permissions_list", VIEW, list),
        Route::new("rbac_permissions_retrieve", VIEW, retrieve),
        Route::new("rbac_permissions_assigned_by_roles_list", Access::ByKind, assigned),
        Route::new("rbac_permissions_roles_list", Access::ByKind, of_role),
    ]
}

pub(super) fn writes() -> Vec<Route> {
    let rule = |permission| Access::Object { model: ROLE, permission };
    vec![
        Route::new("rbac_permissions_assigned_by_roles_assign", rule("authentik_rbac.assign_role_permissions"), assign),
        Route::new(
            "rbac_permissions_assigned_by_roles_unassign_partial_update",
            rule("authentik_rbac.unassign_role_permissions"),
            unassign,
        ),
        Route::new("rbac_roles_add_user_create", rule("authentik_rbac.change_role"), |call| set_user(call, true)),
        Route::new("rbac_roles_remove_user_create", rule("authentik_rbac.change_role"), |call| set_user(call, false)),
    ]
}

/// A page of a list that is wholly in memory.
fn page(call: &Call, rows: Vec<Map>) -> Result<Reply, ApiError> {
    let (rows, page) = cut(call, rows)?;
    Ok(Reply::ok(&page.body(rows)))
}

/// The rows of the page that is asked for, and the numbers around it.
fn cut(call: &Call, rows: Vec<Map>) -> Result<(Vec<Map>, Page), ApiError> {
    let (current, size) = call.list_query().page(&call.snapshot)?;
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let skip = (current - 1).saturating_mul(size);
    if current > 1 && skip >= count {
        return Err(ApiError::NotFound("Invalid page.".to_owned()));
    }
    let (skip, take) = (usize::try_from(skip).unwrap_or(usize::MAX), usize::try_from(size).unwrap_or(usize::MAX));
    let rows = rows.into_iter().skip(skip).take(take).collect();
    Ok((rows, Page { rows: Vec::new(), count, current, size }))
}

/// Keys of the roles that the caller sees; none when these are all.
fn seen(call: &Call) -> Result<Option<Vec<String>>, ApiError> {
    let kind = call.app.site.registry.find(ROLE).ok_or_else(ApiError::not_found)?;
    match call.visible(kind)? {
        Some(Visible::All) => Ok(None),
        Some(Visible::Some { keys, .. }) => Ok(Some(keys)),
        None => Err(ApiError::forbidden()),
    }
}

/// Orders rows by the fields asked for; unknown ones are passed over.
fn order(call: &Call, rows: &mut [Map]) {
    let wanted = call.request.parameter("ordering").unwrap_or_default();
    // The last field first: each further sort keeps the order of equals.
    let parts: Vec<&str> = wanted.split(',').take(16).collect();
    for part in parts.into_iter().rev() {
        let (name, down) = part.trim().strip_prefix('-').map_or((part.trim(), false), |name| (name, true));
        if name.is_empty() || !rows.iter().any(|row| row.contains_key(name)) {
            continue;
        }
        let key = |row: &Map| row.get(name).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        rows.sort_by(|a, b| if down { key(b).cmp(&key(a)) } else { key(a).cmp(&key(b)) });
    }
}

fn search(call: &Call, rows: &mut Vec<Map>, fields: &[&str]) {
    let words = call.request.parameter("search").unwrap_or_default().to_lowercase();
    rows.retain(|row| {
        words.split_whitespace().all(|word| {
            let mut texts = fields.iter().filter_map(|f| row.get(*f).and_then(Value::as_str));
            texts.any(|text| text.to_lowercase().contains(word))
        })
    });
}

fn object(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The contract's `Permission`.
fn shown(permission: &PermissionInfo) -> Map {
    object(permission.to_value())
}

async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut all = permission::all(&call.app.site.registry);
    let wanted = |name: &str| call.request.parameter(name).filter(|v| !v.is_empty());
    if let Some(codename) = wanted("codename") {
        all.retain(|p| p.codename == codename);
    }
    if let Some(app) = wanted("content_type__app_label") {
        all.retain(|p| p.app_label == app);
    }
    if let Some(model) = wanted("content_type__model") {
        all.retain(|p| p.model == model);
    }
    if let Some(role) = wanted("role") {
        let role = Uuid::parse_str(role).map_err(|_| ApiError::field("role", "Enter a valid UUID."))?;
        let given = given(&call, "p.role_id = $1 AND p.object_id = ''", &[role.into()]).await?;
        all.retain(|p| given.iter().any(|g| g.permission == p.full));
    }
    let mut rows: Vec<Map> = all.iter().map(shown).collect();
    search(&call, &mut rows, &["codename", "name", "model", "app_label"]);
    order(&call, &mut rows);
    page(&call, rows)
}

async fn retrieve(call: Call) -> Result<Reply, ApiError> {
    let found = call.param(0).parse().ok().and_then(|id| permission::find_id(&call.app.site.registry, id));
    let found = found.ok_or_else(|| error::no_object("Permission"))?;
    Ok(Reply::ok(&found.to_value()))
}

/// One entry of what roles were given.
struct Given {
    id: i64,
    role: String,
    role_name: String,
    permission: String,
    object: String,
}

async fn given(call: &Call, condition: &str, vals: &[weir_store::Val]) -> Result<Vec<Given>, ApiError> {
    let sql = format!(
        "SELECT p.id, p.role_id, r.name, p.permission, p.object_id FROM identity_role_permission p \
         JOIN identity_role r ON r.id = p.role_id WHERE {condition} ORDER BY r.name, p.permission, p.object_id"
    );
    let rows = call.app.site.db.read(&sql, vals).await.map_err(store)?;
    let read = |row: &weir_store::Row| {
        Ok(Given {
            id: row.int("id")?,
            role: row.text("role_id")?,
            role_name: row.text("name")?,
            permission: row.text("permission")?,
            object: row.text("object_id")?,
        })
    };
    rows.iter().map(read).collect::<Result<_, weir_store::StoreError>>().map_err(store)
}

/// Roles with permissions on the objects of a model, or on one of them.
async fn assigned(call: Call) -> Result<Reply, ApiError> {
    let seen = seen(&call)?;
    let model = call.request.parameter("model").filter(|m| !m.is_empty());
    let model = model.ok_or_else(|| ApiError::field("model", "This field is required."))?;
    let known = permission::all(&call.app.site.registry);
    if !known.iter().any(|p| p.full_model() == model) {
        let shown: String = model.chars().take(200).collect();
        return Err(ApiError::field("model", format!("\"{shown}\" is not a valid choice.")));
    }
    let mut entries = given(&call, "p.model = $1", &[model.into()]).await?;
    if let Some(pk) = call.request.parameter("object_pk").filter(|pk| !pk.is_empty()) {
        entries.retain(|e| e.object.is_empty() || e.object == pk);
    }
    entries.retain(|e| seen.as_ref().is_none_or(|keys| keys.contains(&e.role)));
    let mut roles: BTreeMap<(String, String), (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for entry in entries {
        let Some(info) = known.iter().find(|p| p.full == entry.permission) else { continue };
        let mut shown = json!({
            "id": entry.id,
            "codename": info.codename,
            "model": info.model,
            "app_label": info.app_label,
            "name": info.name,
        });
        let (on_objects, on_all) = roles.entry((entry.role_name, entry.role)).or_default();
        if entry.object.is_empty() {
            on_all.push(shown);
        } else {
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("object_pk".to_owned(), entry.object.into());
            }
            on_objects.push(shown);
        }
    }
    let mut rows: Vec<Map> = roles
        .into_iter()
        .map(|((name, pk), (on_objects, on_all))| {
            object(json!({
                "role_pk": pk,
                "name": name,
                "object_permissions": on_objects,
                "model_permissions": on_all,
            }))
        })
        .collect();
    search(&call, &mut rows, &["name"]);
    order(&call, &mut rows);
    page(&call, rows)
}

/// Permissions of a role on single objects, with the names of the objects.
async fn of_role(call: Call) -> Result<Reply, ApiError> {
    let seen = seen(&call)?;
    let mut entries = match call.request.parameter("uuid").filter(|u| !u.is_empty()) {
        Some(text) => {
            let role = Uuid::parse_str(text).map_err(|_| ApiError::field("uuid", "Enter a valid UUID."))?;
            given(&call, "p.role_id = $1 AND p.object_id <> ''", &[role.into()]).await?
        }
        None => given(&call, "p.object_id <> ''", &[]).await?,
    };
    entries.retain(|e| seen.as_ref().is_none_or(|keys| keys.contains(&e.role)));
    let known = permission::all(&call.app.site.registry);
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(info) = known.iter().find(|p| p.full == entry.permission) else { continue };
        rows.push(object(json!({
            "id": entry.id,
            "codename": info.codename,
            "model": info.model,
            "app_label": info.app_label,
            "object_pk": entry.object,
            "name": info.name,
            "app_label_verbose": info.app_label_verbose(),
            "model_verbose": info.model_verbose,
        })));
    }
    search(&call, &mut rows, &["codename", "name", "model", "object_pk"]);
    order(&call, &mut rows);
    let (mut rows, page) = cut(&call, rows)?;
    describe(&call, &mut rows).await?;
    Ok(Reply::ok(&page.body(rows)))
}

/// Names the objects of one page. What the caller may not see stays without a name.
async fn describe(call: &Call, rows: &mut [Map]) -> Result<(), ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    for row in rows {
        let text = |field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (model, key) = (format!("{}.{}", text("app_label"), text("model")), text("object_pk"));
        let kinds = call.app.site.registry.targets(&model);
        let object = permission::find_any(&mut unit, &kinds, &key).await?;
        let description = object.filter(|object| call.may_in_family("view", object)).map(|object| object.name());
        row.insert("object_description".to_owned(), description.into());
    }
    Ok(())
}

/// What to give or take.
#[derive(Deserialize, JsonSchema)]
struct AssignBody {
    /// Names of permissions.
    permissions: Vec<String>,
    /// The model they belong to.
    #[serde(default)]
    model: Option<String>,
    /// The one object they are about.
    #[serde(default)]
    object_pk: Option<String>,
}

/// As [`AssignBody`]; PATCH requires nothing.
#[derive(Deserialize, JsonSchema)]
struct UnassignBody {
    /// Names of permissions.
    #[serde(default)]
    permissions: Vec<String>,
    /// The model they belong to.
    #[serde(default)]
    model: Option<String>,
    /// The one object they are about.
    #[serde(default)]
    object_pk: Option<String>,
}

async fn assign(mut call: Call) -> Result<Reply, ApiError> {
    let body: AssignBody = call.typed().await?;
    let wanted = Assignment { permissions: body.permissions, model: body.model, object_pk: body.object_pk };
    let mut unit = Unit::new(&call.app.site, call.actor());
    let ids = permission::assign(&mut unit, &call.target()?.pk, &wanted).await?;
    unit.commit().await?;
    let ids: Vec<Value> = ids.into_iter().map(|id| json!({"id": id.to_string()})).collect();
    Ok(Reply::ok(&ids))
}

async fn unassign(mut call: Call) -> Result<Reply, ApiError> {
    let body: UnassignBody = call::parse(&call.object().await?)?;
    let wanted = Assignment { permissions: body.permissions, model: body.model, object_pk: body.object_pk };
    let mut unit = Unit::new(&call.app.site, call.actor());
    permission::unassign(&mut unit, &call.target()?.pk, &wanted).await?;
    unit.commit().await?;
    Ok(Reply::none())
}

async fn set_user(mut call: Call, member: bool) -> Result<Reply, ApiError> {
    let body: UserBody = call.typed().await?;
    check_user(&call, body.pk).await?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    role::set_user(&mut unit, &call.target()?.pk, body.pk, member).await?;
    unit.commit().await?;
    Ok(Reply::none())
}
