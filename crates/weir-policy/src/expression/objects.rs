//! Objects of the site as expressions see them: what comes along at once. What costs a query is asked for later
//! ([`super::attributes`]).

use super::query::schema::{Field, Holds, Table};
use serde_json::Value as Json;
use uuid::Uuid;
use weir_core::Map;
use weir_expression::{Object, Value};
use weir_identity::{
    Account,
    membership::{GroupRow, RoleRow},
};
use weir_resource::Site;
use weir_store::{Row, StoreError};

/// Handle of a visitor without account.
pub const ANONYMOUS: &str = "anonymous";
/// Handle of a person whom no account belongs to.
pub const CLAIMED: &str = "claimed";

/// A user.
pub fn of_account(site: &Site, account: &Account) -> Object {
    Object::new("User", format!("user:{}", account.id))
        .attr("pk", account.id)
        .attr("id", account.id)
        .attr("uuid", account.uuid.to_string())
        .attr("uid", account.uid(&site.installation.id))
        .attr("username", account.username.as_str())
        .attr("name", account.name.as_str())
        .attr("email", account.email.as_str())
        .attr("is_active", account.is_active)
        .attr("is_authenticated", true)
        .attr("is_anonymous", false)
        .attr("type", account.kind.as_str())
        .attr("path", account.path.as_str())
        .attr("attributes", Json::Object(account.attributes.clone()))
        .attr("last_login", account.last_login)
        .attr("date_joined", account.date_joined)
        .attr("password_change_date", account.password_change_date)
        .attr("last_updated", account.last_updated)
        .shown_as(account.username.as_str())
}

fn nobody(class: &str, handle: &str, username: &str) -> Object {
    Object::new(class, handle)
        .attr("pk", Value::None)
        .attr("id", Value::None)
        .attr("uuid", Value::None)
        .attr("uid", Value::None)
        .attr("username", username)
        .attr("name", "")
        .attr("is_superuser", false)
        .attr("last_login", Value::None)
        .attr("date_joined", Value::None)
        .attr("password_change_date", Value::None)
        .shown_as(if username.is_empty() { "AnonymousUser" } else { username })
}

/// A visitor without account.
pub fn anonymous() -> Object {
    nobody("AnonymousUser", ANONYMOUS, "")
        .attr("email", "")
        .attr("is_active", false)
        .attr("is_authenticated", false)
        .attr("is_anonymous", true)
        .attr("type", "internal")
        .attr("path", "")
        .attr("attributes", Json::Object(Map::new()))
}

/// A person whom no account belongs to: a claimed identifier, or `User(…)` in an expression.
pub fn claimed(handle: &str, fields: &Map) -> Object {
    let text = |name: &str| fields.get(name).and_then(Json::as_str).unwrap_or_default();
    let mut object = nobody("User", handle, text("username"))
        .attr("email", text("email"))
        .attr("is_active", true)
        .attr("is_authenticated", true)
        .attr("is_anonymous", false)
        .attr("type", "internal")
        .attr("path", "users")
        .attr("attributes", Json::Object(Map::new()));
    for (name, value) in fields.iter().filter(|(name, _)| !["pk", "id", "uid", "uuid"].contains(&name.as_str())) {
        let value = Value::from(value.clone());
        match object.attrs.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => object.attrs.push((name.clone(), value)),
        }
    }
    object
}

/// The number of a group for systems that know numbers only.
fn num_pk(id: Uuid) -> i64 {
    let digits = id.as_u128().to_string();
    digits.get(..5).unwrap_or(&digits).parse().unwrap_or_default()
}

/// A group.
pub fn of_group(group: &GroupRow) -> Object {
    Object::new("Group", format!("group:{}", group.id))
        .attr("pk", group.id.to_string())
        .attr("group_uuid", group.id.to_string())
        .attr("num_pk", num_pk(group.id))
        .attr("name", group.name.as_str())
        .attr("is_superuser", group.is_superuser)
        .attr("attributes", Json::Object(group.attributes.clone()))
        .shown_as(format!("Group {}", group.name))
}

/// A role.
pub fn of_role(role: &RoleRow) -> Object {
    Object::new("Role", format!("role:{}", role.id))
        .attr("pk", role.id.to_string())
        .attr("uuid", role.id.to_string())
        .attr("name", role.name.as_str())
        .shown_as(format!("Role {}", role.name))
}

/// A column of a row.
pub fn column(field: &Field, row: &Row) -> Result<Value, StoreError> {
    let name = field.column;
    Ok(match field.holds {
        Holds::Int => row.opt_int(name)?.into(),
        Holds::Text | Holds::Uuid => row.opt_text(name)?.into(),
        Holds::Bool => row.opt_bool(name)?.into(),
        Holds::Time => row.opt_time(name)?.into(),
        Holds::Json => row.opt_json(name)?.into(),
    })
}

fn map(value: Json) -> Map {
    match value {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

/// The object of a row.
pub fn of_row(site: &Site, table: &'static Table, row: &Row) -> Result<Object, StoreError> {
    match table.class {
        "User" => Ok(of_account(site, &account(row)?)),
        "Group" => Ok(of_group(&GroupRow {
            id: row.uuid("id")?,
            name: row.text("name")?,
            is_superuser: row.bool("is_superuser")?,
            attributes: map(row.json("attributes")?),
        })),
        "Role" => Ok(of_role(&RoleRow { id: row.uuid("id")?, name: row.text("name")? })),
        class => {
            let mut object = Object::new(class, String::new());
            for field in table.fields {
                let value = column(field, row)?;
                if object.attrs.is_empty() {
                    object.id = format!("{}:{}", class.to_lowercase(), value.key_text());
                    object.attrs.push(("pk".to_owned(), value.clone()));
                }
                object.attrs.push((field.name.to_owned(), value));
            }
            Ok(object)
        }
    }
}

fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        id: row.int("id")?,
        uuid: row.uuid("uuid")?,
        username: row.text("username")?,
        name: row.text("name")?,
        email: row.text("email")?,
        is_active: row.bool("is_active")?,
        kind: row.text("type")?,
        path: row.text("path")?,
        attributes: map(row.json("attributes")?),
        last_login: row.opt_time("last_login")?,
        date_joined: row.time("date_joined")?,
        password_change_date: row.time("password_change_date")?,
        last_updated: row.time("last_updated")?,
        security_epoch: row.int("security_epoch")?,
    })
}

/// A piece of configuration. References are followed when they are asked for; secrets are left out.
pub fn of_document(document: &weir_resource::Object) -> Object {
    let kind = document.kind;
    let id = document.id.to_string();
    let mut object = Object::new(kind.schema, format!("doc:{}:{id}", kind.model))
        .attr("pk", Value::from(weir_resource::Stored::of(document).pk_value()))
        .shown_as(document.name());
    for field in kind.fields.iter().filter(|f| !f.write_only && f.reference.is_none()) {
        let value = document.doc.get(&field.name).cloned().unwrap_or(Json::Null);
        object.attrs.push((field.name.clone(), Value::from(value)));
    }
    object
}

/// A value inside of nested dictionaries; `None` where there is none.
pub fn dig(value: Value, path: &[String]) -> Value {
    path.iter().fold(value, |value, key| value.get(key).cloned().unwrap_or(Value::None))
}
