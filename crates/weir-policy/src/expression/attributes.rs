//! Attributes and methods that are answered when they are asked for.

use super::{
    convert, functions,
    host::Desk,
    objects::{self, CLAIMED},
    query::{
        Query, Source,
        condition::Condition,
        schema::{self, GROUP, ROLE, TOKEN, USER},
        store,
    },
    sets::read_only,
    web,
};
use crate::entitlements;
use serde_json::Value as Json;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{Backing, Map, Reference};
use weir_expression::{Call, Object, Raise, Value};
use weir_identity::{Account, Brand, accounts, avatar, membership};
use weir_resource::Object as Stored;
use weir_store::Val;

/// Groups of user `?` and all groups above them.
const ALL_GROUPS: &str = "{t}.id IN (WITH RECURSIVE up(id) AS (\
     SELECT group_id FROM identity_membership WHERE user_id = ? \
     UNION SELECT p.parent_id FROM identity_group_parent p JOIN up ON p.group_id = up.id) SELECT id FROM up)";
/// Roles of user `?`, own and those of all groups.
const ALL_ROLES: &str = "{t}.id IN (WITH RECURSIVE up(id) AS (\
     SELECT group_id FROM identity_membership WHERE user_id = ? \
     UNION SELECT p.parent_id FROM identity_group_parent p JOIN up ON p.group_id = up.id) \
     SELECT role_id FROM identity_user_role WHERE user_id = ? \
     UNION SELECT l.role_id FROM identity_group_role l JOIN up ON up.id = l.group_id)";

/// Attributes of users that lead to other objects.
fn user_relation(id: i64, name: &str) -> Option<Query> {
    let user = || vec![Val::from(id)];
    Some(match name {
        "groups" | "ak_groups" => {
            Query::within(&GROUP, "{t}.id IN (SELECT group_id FROM identity_membership WHERE user_id = ?)", user())
        }
        "roles" => Query::within(&ROLE, "{t}.id IN (SELECT role_id FROM identity_user_role WHERE user_id = ?)", user()),
        "all_groups" => Query::within(&GROUP, ALL_GROUPS, user()),
        "all_roles" => Query::within(&ROLE, ALL_ROLES, [user(), user()].concat()),
        "token_set" | "tokens" => Query::within(&TOKEN, "{t}.\"user\" = ?", user()),
        "sources" => Query::new(Source::Nothing("Source")),
        _ => return None,
    })
}

fn group_relation(id: &str, name: &str) -> Option<Query> {
    let (table, sql) = match name {
        "users" | "user_set" => (&USER, "{t}.id IN (SELECT user_id FROM identity_membership WHERE group_id = ?)"),
        "parents" => (&GROUP, "{t}.id IN (SELECT parent_id FROM identity_group_parent WHERE group_id = ?)"),
        "children" => (&GROUP, "{t}.id IN (SELECT group_id FROM identity_group_parent WHERE parent_id = ?)"),
        "roles" => (&ROLE, "{t}.id IN (SELECT role_id FROM identity_group_role WHERE group_id = ?)"),
        _ => return None,
    };
    Some(Query::within(table, sql, vec![Val::from(id)]))
}

fn role_relation(id: &str, name: &str) -> Option<Query> {
    let (table, sql) = match name {
        "users" | "user_set" => (&USER, "{t}.id IN (SELECT user_id FROM identity_user_role WHERE role_id = ?)"),
        "groups" | "group_set" => (&GROUP, "{t}.id IN (SELECT group_id FROM identity_group_role WHERE role_id = ?)"),
        _ => return None,
    };
    Some(Query::within(table, sql, vec![Val::from(id)]))
}

/// All groups of a user, for `ak_is_group_member`. Somebody without account is in none.
pub fn all_groups(object: &Object) -> Query {
    let id = object.id.strip_prefix("user:").and_then(|id| id.parse().ok());
    id.and_then(|id| user_relation(id, "all_groups")).unwrap_or_else(|| Query::table(&GROUP).none())
}

/// The account of a handle.
pub async fn account(desk: &mut Desk<'_, '_, '_>, key: &str) -> Result<Account, Raise> {
    let missing = || Raise::new("DoesNotExist", "User matching query does not exist.");
    let id: i64 = key.parse().map_err(|_| missing())?;
    if let Some(user) = desk.request.user.filter(|u| u.id == id) {
        return Ok(user.clone());
    }
    accounts::find(&mut *desk.cx.tx, id).await.map_err(store)?.ok_or_else(missing)
}

/// A user as an object, none when there is no such account.
pub async fn user_object(desk: &mut Desk<'_, '_, '_>, id: i64) -> Result<Value, Raise> {
    match account(desk, &id.to_string()).await {
        Ok(account) => Ok(objects::of_account(desk.cx.site, &account).into()),
        Err(raise) if raise.class == "DoesNotExist" => Ok(Value::None),
        Err(raise) => Err(raise),
    }
}

/// Answers an attribute.
pub async fn attribute(desk: &mut Desk<'_, '_, '_>, kind: &str, key: &str, name: &str) -> Result<Value, Raise> {
    match kind {
        "user" => user(desk, key, name).await,
        objects::ANONYMOUS | CLAIMED => match name {
            "groups" | "ak_groups" => Ok(desk.manager(Query::table(&GROUP).none())),
            "roles" => Ok(desk.manager(Query::table(&ROLE).none())),
            "avatar" => Ok(desk.cx.site.served(avatar::DEFAULT_AVATAR).into()),
            "sources" => Ok(desk.manager(Query::new(Source::Nothing("Source")))),
            _ => Err(Raise::no_attribute("User", name)),
        },
        "group" => match group_relation(key, name) {
            Some(query) => Ok(desk.manager(query)),
            None => late(desk, Query::table(&GROUP), key, name).await,
        },
        "role" => match role_relation(key, name) {
            Some(query) => Ok(desk.manager(query)),
            None => late(desk, Query::table(&ROLE), key, name).await,
        },
        "token" if name == "user" => {
            let query = Query::table(&USER).filter(Condition::Test("token__pk".to_owned(), key.into()));
            Ok(query.rows(&mut desk.asking(), 1).await?.pop().unwrap_or(Value::None))
        }
        "doc" => document(desk, key, name).await,
        "model" => model(desk, key, name),
        web::HTTP => http(desk, name).await,
        _ => Err(Raise::no_attribute(kind, name)),
    }
}

/// An attribute of an object of which only key and name are at hand.
async fn late(desk: &mut Desk<'_, '_, '_>, query: Query, key: &str, name: &str) -> Result<Value, Raise> {
    let class = query.class();
    let query = query.filter(Condition::Test("pk".to_owned(), key.into()));
    let row = query.rows(&mut desk.asking(), 1).await?.pop();
    let found = row.as_ref().and_then(Value::as_object).and_then(|o| o.find_attr(name));
    found.cloned().ok_or_else(|| Raise::no_attribute(class, name))
}

async fn user(desk: &mut Desk<'_, '_, '_>, key: &str, name: &str) -> Result<Value, Raise> {
    let id: i64 = key.parse().unwrap_or_default();
    if name == "ak_groups" {
        functions::warn_of_old_name(desk);
    }
    if !name.starts_with("all_")
        && let Some(query) = user_relation(id, name)
    {
        return Ok(desk.manager(query));
    }
    match name {
        "is_superuser" | "is_staff" => Ok(membership::is_superuser(&mut *desk.cx.tx, id).await.map_err(store)?.into()),
        "avatar" => {
            let account = account(desk, key).await?;
            Ok(avatar::for_account(desk.cx.site, &desk.cx.snapshot.settings, &account).into())
        }
        _ => Err(Raise::no_attribute("User", name)),
    }
}

async fn document(desk: &mut Desk<'_, '_, '_>, key: &str, name: &str) -> Result<Value, Raise> {
    let (model, id) = key.split_once(':').unwrap_or_default();
    let document = Uuid::parse_str(id).ok().and_then(|id| desk.cx.snapshot.find_kind(model, id)).cloned();
    let document = document.ok_or_else(|| Raise::new("DoesNotExist", "The object is gone."))?;
    let missing = || Raise::no_attribute(document.kind.schema, name);
    match name {
        "pbm_uuid" | "policybindingmodel_ptr_id" if document.kind.policy_target => {
            return Ok(weir_resource::policy_target_uuid(document.id).to_string().into());
        }
        _ if name == document.kind.pk || name == document.kind.param => {
            return Ok(Value::from(weir_resource::Stored::of(&document).pk_value()));
        }
        _ => {}
    }
    let (field, by_key) = match document.kind.find_field(name) {
        Some(field) => (Some(field), false),
        None => (name.strip_suffix("_id").and_then(|n| document.kind.find_field(n)), true),
    };
    let field = field.filter(|f| !f.write_only && f.reference.is_some()).ok_or_else(missing)?;
    let json = document.doc.get(&field.name).cloned().unwrap_or(Json::Null);
    if by_key {
        return Ok(json.into());
    }
    let Some(reference) = &field.reference else { return Err(missing()) };
    match json {
        Json::Array(items) => {
            let mut found = Vec::with_capacity(items.len());
            for item in items {
                found.push(referred(desk, reference, &item).await?);
            }
            Ok(Value::List(found))
        }
        one => referred(desk, reference, &one).await,
    }
}

/// The object that a reference leads to.
async fn referred(desk: &mut Desk<'_, '_, '_>, reference: &Reference, key: &Json) -> Result<Value, Raise> {
    if !reference.is_numbered
        && let Some(id) = key.as_i64()
    {
        return user_object(desk, id).await;
    }
    let Some(text) = reference.target(key) else { return Ok(Value::None) };
    if let Some(document) = Uuid::parse_str(&text).ok().and_then(|id| desk.cx.snapshot.find(id)) {
        return Ok(objects::of_document(document).into());
    }
    let Some(table) = schema::find(&reference.model) else { return Ok(Value::None) };
    let query = Query::table(table).filter(Condition::Test("pk".to_owned(), text.into()));
    Ok(query.rows(&mut desk.asking(), 1).await?.pop().unwrap_or(Value::None))
}

async fn http(desk: &mut Desk<'_, '_, '_>, name: &str) -> Result<Value, Raise> {
    match name {
        "user" => match desk.request.http.user {
            Some(id) => match user_object(desk, id).await? {
                Value::None => Ok(objects::anonymous().into()),
                user => Ok(user),
            },
            None => Ok(objects::anonymous().into()),
        },
        "brand" => {
            let brand = desk.request.http.brand.and_then(|id| desk.cx.snapshot.find(id));
            Ok(brand.map_or_else(|| builtin_brand().into(), |b| objects::of_document(b).into()))
        }
        "tenant" => {
            let settings = serde_json::to_value(&*desk.cx.snapshot.settings).unwrap_or_default();
            let mut object = Object::new("Tenant", "tenant").shown_as("Tenant");
            for (name, value) in settings.as_object().into_iter().flatten() {
                object.attrs.push((name.clone(), value.clone().into()));
            }
            Ok(object.into())
        }
        _ => Err(Raise::no_attribute("HttpRequest", name)),
    }
}

fn builtin_brand() -> Object {
    let brand = Brand::of_domain("fallback");
    let mut object = Object::new("Brand", "brand").shown_as("Brand fallback");
    for (name, value) in serde_json::to_value(&brand).unwrap_or_default().as_object().into_iter().flatten() {
        object.attrs.push((name.clone(), value.clone().into()));
    }
    object
}

/// `authentik.stages.prompt.models.Prompt` → `authentik_stages_prompt.prompt` and `Prompt`.
fn model_name(path: &str) -> (String, &str) {
    let (module, class) = path.rsplit_once('.').unwrap_or(("", path));
    let app = module.strip_suffix(".models").unwrap_or(module).replace('.', "_");
    (format!("{app}.{}", class.to_lowercase()), class)
}

/// Models that exist under authentik's names but not in this build: there is nothing of them.
const EMPTY: [(&str, &str); 3] = [
    ("authentik_core.application", "Application"),
    ("authentik_core.source", "Source"),
    ("authentik_core.provider", "Provider"),
];

fn model(desk: &mut Desk<'_, '_, '_>, path: &str, name: &str) -> Result<Value, Raise> {
    let (model, class) = model_name(path);
    if class == "UserTypes" && ["INTERNAL", "EXTERNAL", "SERVICE_ACCOUNT", "INTERNAL_SERVICE_ACCOUNT"].contains(&name) {
        return Ok(name.to_lowercase().into());
    }
    if name != "objects" {
        return Err(Raise::no_attribute(class, name));
    }
    let source = match schema::find(&model) {
        Some(table) => Source::Table(table),
        None => {
            let mut kinds = desk.cx.site.registry.targets(&model);
            kinds.retain(|kind| matches!(kind.backing, Backing::Document));
            match EMPTY.iter().find(|(known, _)| *known == model) {
                Some((_, class)) if kinds.is_empty() => Source::Nothing(class),
                _ if kinds.is_empty() => {
                    let text = format!("'{class}' is not available to expressions.");
                    return Err(Raise::new("ImportError", text));
                }
                _ => Source::Documents(kinds),
            }
        }
    };
    Ok(desk.manager(Query::new(source)))
}

/// Answers a method.
pub async fn method(desk: &mut Desk<'_, '_, '_>, kind: &str, key: &str, call: &Call) -> Result<Value, Raise> {
    let name = call.name.as_str();
    if ["save", "delete", "set_password", "set_unusable_password", "refresh_from_db"].contains(&name) {
        return Err(read_only());
    }
    match kind {
        "user" => user_method(desk, key, call).await,
        objects::ANONYMOUS | CLAIMED => match name {
            "all_groups" => Ok(desk.set(Query::table(&GROUP).none())),
            "all_roles" => Ok(desk.set(Query::table(&ROLE).none())),
            "app_entitlements" => Ok(desk.set(Query::new(Source::Nothing("ApplicationEntitlement")))),
            "group_attributes" => Ok(Value::from(Json::Object(brand_attributes(desk)))),
            "app_entitlements_attributes" => Ok(Value::Dict(Vec::new())),
            "locale" => Ok(brand_locale(desk).into()),
            "check_password" | "has_perm" | "has_usable_password" => Ok(false.into()),
            _ => Err(Raise::no_attribute("User", name)),
        },
        "group" => match name {
            "is_member" => {
                let id = call.arg(0, "user").and_then(Value::as_object).and_then(|o| o.id.strip_prefix("user:"));
                let (Some(id), Ok(group)) = (id.and_then(|id| id.parse().ok()), Uuid::parse_str(key)) else {
                    return Ok(false.into());
                };
                Ok(membership::is_member(&mut *desk.cx.tx, id, group).await.map_err(store)?.into())
            }
            _ => Err(Raise::no_attribute("Group", name)),
        },
        "model" => match (name, model_name(key).1) {
            ("__call__", "User") => {
                desk.claimed += 1;
                let fields: Map =
                    call.kwargs.iter().map(|(n, v)| (n.clone(), convert::to_json(v, convert::Users::ByKey))).collect();
                Ok(objects::claimed(&format!("{CLAIMED}:{}", desk.claimed), &fields).into())
            }
            _ => Err(read_only()),
        },
        _ => Err(Raise::no_attribute(kind, name)),
    }
}

async fn user_method(desk: &mut Desk<'_, '_, '_>, key: &str, call: &Call) -> Result<Value, Raise> {
    let id: i64 = key.parse().unwrap_or_default();
    match call.name.as_str() {
        name @ ("all_groups" | "all_roles") => {
            let query = user_relation(id, name).unwrap_or_else(|| Query::table(&GROUP).none());
            Ok(desk.set(query))
        }
        "group_attributes" => {
            let account = account(desk, key).await?;
            // Given a request, the brand's attributes are the lowest layer.
            let with_brand = call.arg(0, "request").is_some_and(|r| *r != Value::None);
            let brand = if with_brand { brand_attributes(desk) } else { Map::new() };
            let merged = membership::group_attributes(&mut *desk.cx.tx, id, &account.attributes, &brand).await;
            Ok(Value::from(Json::Object(merged.map_err(store)?)))
        }
        "app_entitlements" => {
            let found = entitled(desk, id, call).await?;
            let kind = desk.cx.site.registry.find(entitlements::MODEL);
            let Some(kind) = kind else { return Ok(desk.set(Query::new(Source::Nothing("ApplicationEntitlement")))) };
            let keys = found.iter().map(|object| object.pk().into()).collect();
            let mine = Condition::Test("pk__in".to_owned(), Value::List(keys));
            let query = Query::new(Source::Documents(vec![kind])).filter(mine);
            Ok(desk.set(Query { order: vec!["name".to_owned()], ..query }))
        }
        "app_entitlements_attributes" => {
            let mut merged = Map::new();
            for object in entitled(desk, id, call).await? {
                if let Some(Json::Object(own)) = object.doc.get("attributes") {
                    weir_identity::attributes::merge(&mut merged, own);
                }
            }
            Ok(Value::from(Json::Object(merged)))
        }
        "locale" => {
            let account = account(desk, key).await?;
            Ok(account.locale().map_or_else(|| brand_locale(desk), str::to_owned).into())
        }
        "get_username" => Ok(account(desk, key).await?.username.into()),
        "get_full_name" => Ok(account(desk, key).await?.name.into()),
        "has_usable_password" => {
            let stored = accounts::password_hash(&mut *desk.cx.tx, id).await.map_err(store)?;
            // Django's mark of a password that nothing matches.
            Ok(stored.is_some_and(|hash| !hash.is_empty() && !hash.starts_with('!')).into())
        }
        "check_password" => {
            let password = call.arg(0, "raw_password").and_then(Value::as_str).unwrap_or_default().to_owned();
            check_password(desk, id, password).await.map(Value::from)
        }
        name => Err(Raise::no_attribute("User", name)),
    }
}

/// Entitlements of a user in the application that a call names.
async fn entitled(desk: &mut Desk<'_, '_, '_>, id: i64, call: &Call) -> Result<Vec<Arc<Stored>>, Raise> {
    let application = call.arg(0, "app").and_then(Value::as_object).and_then(|object| {
        let (model, key) = object.id.strip_prefix("doc:")?.split_once(':')?;
        Uuid::parse_str(key).ok().filter(|_| model == entitlements::APPLICATION)
    });
    let Some(application) = application else { return Ok(Vec::new()) };
    let snapshot = Arc::clone(desk.cx.snapshot);
    entitlements::of_user(&mut *desk.cx.tx, &snapshot, id, application).await.map_err(store)
}

async fn check_password(desk: &mut Desk<'_, '_, '_>, id: i64, password: String) -> Result<bool, Raise> {
    let pool = desk.expressions.hashes.clone();
    let pool = pool.ok_or_else(|| Raise::new("RuntimeError", "Passwords cannot be checked here."))?;
    let Ok(password) = weir_crypto::Password::new(password.into_bytes()) else { return Ok(false) };
    let Some(stored) = accounts::password_hash(&mut *desk.cx.tx, id).await.map_err(store)? else { return Ok(false) };
    pool.verify(stored, password).await.map_err(|_| Raise::new("RuntimeError", "The server is too busy to hash."))
}

fn brand(desk: &Desk<'_, '_, '_>) -> Option<Arc<Brand>> {
    desk.request.http.brand.and_then(|id| desk.cx.snapshot.get::<Brand>(id))
}

fn brand_attributes(desk: &Desk<'_, '_, '_>) -> Map {
    brand(desk).map(|b| b.attributes.clone()).unwrap_or_default()
}

fn brand_locale(desk: &Desk<'_, '_, '_>) -> String {
    brand(desk).map(|b| b.default_locale().to_owned()).unwrap_or_default()
}
