//! The rows behind connections, as the engine reads and writes them.

use crate::state::Model;
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;
use weir_core::Map;
use weir_identity::{Reader, attributes};
use weir_store::{Dialect, Row, StoreError, Tx, Val};

/// Values of one statement.
const CHUNK: usize = 500;

/// Where the connections of a kind of provider are.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Those of users.
    pub users: &'static str,
    /// Those of groups.
    pub groups: &'static str,
    /// The column with what the target calls the object.
    pub id: &'static str,
}

impl Tables {
    /// Table and column of the object.
    pub fn of(&self, model: Model) -> (&'static str, &'static str) {
        match model {
            Model::User => (self.users, "\"user\""),
            Model::Group => (self.groups, "\"group\""),
        }
    }
}

/// An object that a target knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    /// Key of the connection.
    pub id: String,
    /// What the target calls the object.
    pub remote_id: String,
    /// What was last sent.
    pub attributes: Map,
    /// Members that were last sent, by what the target calls them.
    pub members: Vec<String>,
}

fn key(model: Model, key: &str) -> Val {
    match model {
        Model::User => key.parse::<i64>().map_or(Val::Int(None), Val::from),
        Model::Group => key.into(),
    }
}

/// The table of the objects here.
fn home(model: Model) -> &'static str {
    match model {
        Model::User => "identity_user",
        Model::Group => "identity_group",
    }
}

/// Holds an object until the end of the transaction.
///
/// # Errors
/// Those of the store.
pub async fn lock_object(tx: &mut Tx, (model, object): (Model, &str)) -> Result<(), StoreError> {
    tx.begin_write().await?;
    let sql = format!("SELECT id FROM {} WHERE id = $1{}", home(model), tx.dialect().for_update());
    tx.read_one(&sql, &[key(model, object)]).await?;
    Ok(())
}

fn read(tables: &Tables, model: Model, row: &Row) -> Result<Connection, StoreError> {
    let members = match model {
        Model::User => Vec::new(),
        Model::Group => serde_json::from_value(row.json("members")?).unwrap_or_default(),
    };
    Ok(Connection {
        id: row.text("id")?,
        remote_id: row.text(tables.id)?,
        attributes: attributes::object(row.json("attributes")?),
        members,
    })
}

/// The connection of an object.
///
/// # Errors
/// Those of the store.
pub async fn find(
    mut reader: impl Reader,
    tables: &Tables,
    provider: i64,
    (model, object): (Model, &str),
) -> Result<Option<Connection>, StoreError> {
    let (table, column) = tables.of(model);
    let sql = format!("SELECT * FROM {table} WHERE provider = $1 AND {column} = $2");
    let row = reader.read_one(&sql, &[provider.into(), key(model, object)]).await?;
    row.map(|row| read(tables, model, &row)).transpose()
}

fn object(model: Model, row: &Row, column: &str) -> Result<String, StoreError> {
    match model {
        Model::User => row.int(column).map(|id| id.to_string()),
        Model::Group => row.text(column),
    }
}

/// The connections of these objects by key.
///
/// # Errors
/// Those of the store.
pub async fn find_many(
    mut reader: impl Reader,
    tables: &Tables,
    provider: i64,
    (model, objects): (Model, &[&str]),
) -> Result<HashMap<String, Connection>, StoreError> {
    let (table, column) = tables.of(model);
    let mut found = HashMap::new();
    for part in objects.chunks(CHUNK) {
        let marks: Vec<String> = (2..part.len() + 2).map(|i| format!("${i}")).collect();
        let mut vals: Vec<Val> = vec![provider.into()];
        vals.extend(part.iter().map(|object| key(model, object)));
        let marks = marks.join(", ");
        let sql = format!("SELECT *, {column} AS object FROM {table} WHERE provider = $1 AND {column} IN ({marks})");
        for row in reader.read(&sql, &vals).await? {
            found.insert(object(model, &row, "object")?, read(tables, model, &row)?);
        }
    }
    Ok(found)
}

/// Key of the object that is connected with what a target calls so.
///
/// # Errors
/// Those of the store.
pub async fn owner(
    mut reader: impl Reader,
    tables: &Tables,
    provider: i64,
    (model, remote): (Model, &str),
) -> Result<Option<String>, StoreError> {
    let (table, column) = tables.of(model);
    let sql = format!("SELECT {column} AS object FROM {table} WHERE provider = $1 AND {} = $2", tables.id);
    let row = reader.read_one(&sql, &[provider.into(), remote.into()]).await?;
    row.map(|row| object(model, &row, "object")).transpose()
}

/// A target calls a user by another name now: so do the lists of members that were sent.
///
/// # Errors
/// Those of the store.
pub async fn rename_member(
    tx: &mut Tx,
    tables: &Tables,
    provider: i64,
    (old, new): (&str, &str),
) -> Result<(), StoreError> {
    let lock = tx.dialect().for_update();
    // A coarse look first; what is found is read.
    let sql = format!(
        "SELECT id, members FROM {} WHERE provider = $1 AND members LIKE $2 ESCAPE '!' ORDER BY id{lock}",
        tables.groups
    );
    let told = Value::from(old).to_string();
    let escaped = told.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    for row in tx.read(&sql, &[provider.into(), format!("%{escaped}%").into()]).await? {
        let mut members: Vec<String> = serde_json::from_value(row.json("members")?).unwrap_or_default();
        for member in members.iter_mut().filter(|member| *member == old) {
            new.clone_into(member);
        }
        let sql = format!("UPDATE {} SET members = $2 WHERE id = $1", tables.groups);
        tx.write(&sql, &[row.text("id")?.into(), Value::from(members).to_string().into()]).await?;
    }
    Ok(())
}

/// How keeping a connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is kept.
    Kept,
    /// The target's object is connected with another one here.
    Taken,
    /// The object was deleted here while the target was being told of it.
    Gone,
}

/// Keeps what a target knows of an object.
///
/// # Errors
/// Those of the store.
pub async fn save(
    tx: &mut Tx,
    id: Uuid,
    (tables, provider): (&Tables, i64),
    (model, object): (Model, &str),
    new: &Connection,
) -> Result<Saved, StoreError> {
    let (table, column) = tables.of(model);
    let taken = format!("SELECT id FROM {table} WHERE provider = $1 AND {} = $2 AND {column} <> $3", tables.id);
    let who = key(model, object);
    if tx.read_one(&taken, &[provider.into(), Val::from(&new.remote_id), who.clone()]).await?.is_some() {
        return Ok(Saved::Taken);
    }
    let attributes = Value::Object(new.attributes.clone());
    let mut vals: Vec<Val> =
        vec![id.into(), Val::from(&new.remote_id), who, provider.into(), attributes.to_string().into()];
    let (names, marks, sets) = match model {
        Model::User => ("", "", ""),
        Model::Group => {
            vals.push(Value::from(new.members.clone()).to_string().into());
            (", members", ", $6", ", members = excluded.members")
        }
    };
    // The object may have gone meanwhile: then there is nothing to connect. A deletion under way is waited for.
    let lock = if tx.dialect() == Dialect::Postgres { " FOR KEY SHARE OF h" } else { "" };
    let home = home(model);
    let sql = format!(
        "INSERT INTO {table} (id, {remote}, {column}, provider, attributes{names}) \
         SELECT $1, $2, h.id, $4, $5{marks} FROM {home} h WHERE h.id = $3{lock} \
         ON CONFLICT (provider, {column}) DO UPDATE SET {remote} = excluded.{remote}, \
         attributes = excluded.attributes{sets}",
        remote = tables.id
    );
    Ok(if tx.write(&sql, &vals).await? == 0 { Saved::Gone } else { Saved::Kept })
}

/// Forgets what a target knows of an object.
///
/// # Errors
/// Those of the store.
pub async fn forget(
    tx: &mut Tx,
    tables: &Tables,
    provider: i64,
    (model, object): (Model, &str),
) -> Result<(), StoreError> {
    let (table, column) = tables.of(model);
    let sql = format!("DELETE FROM {table} WHERE provider = $1 AND {column} = $2");
    tx.write(&sql, &[provider.into(), key(model, object)]).await?;
    Ok(())
}

/// Forgets everything that a target knows.
///
/// # Errors
/// Those of the store.
pub async fn forget_all(tx: &mut Tx, tables: &Tables, provider: i64) -> Result<(), StoreError> {
    for table in [tables.users, tables.groups] {
        tx.write(&format!("DELETE FROM {table} WHERE provider = $1"), &[provider.into()]).await?;
    }
    Ok(())
}

/// What the target calls the members of a group that it knows.
///
/// # Errors
/// Those of the store.
pub async fn members(
    mut reader: impl Reader,
    tables: &Tables,
    provider: i64,
    group: &str,
) -> Result<Vec<String>, StoreError> {
    let sql = format!(
        "SELECT c.{id} AS remote FROM {users} c JOIN identity_membership m ON m.user_id = c.\"user\" \
         WHERE m.group_id = $1 AND c.provider = $2 ORDER BY c.{id}",
        id = tables.id,
        users = tables.users
    );
    reader.read(&sql, &[group.into(), provider.into()]).await?.iter().map(|row| row.text("remote")).collect()
}

/// Those of these users of the target who are still connected.
///
/// # Errors
/// Those of the store.
pub async fn still_known(
    mut reader: impl Reader,
    tables: &Tables,
    provider: i64,
    remote: &[String],
) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for part in remote.chunks(CHUNK) {
        let marks: Vec<String> = (2..part.len() + 2).map(|i| format!("${i}")).collect();
        let mut vals: Vec<Val> = vec![provider.into()];
        vals.extend(part.iter().map(Val::from));
        let sql = format!(
            "SELECT {id} AS remote FROM {users} WHERE provider = $1 AND {id} IN ({})",
            marks.join(", "),
            id = tables.id,
            users = tables.users
        );
        for row in reader.read(&sql, &vals).await? {
            found.push(row.text("remote")?);
        }
    }
    Ok(found)
}

/// Keys of connected objects after a key, in order.
///
/// # Errors
/// Those of the store.
pub async fn page(
    mut reader: impl Reader,
    tables: &Tables,
    provider: i64,
    model: Model,
    (after, limit): (Option<&str>, usize),
) -> Result<Vec<String>, StoreError> {
    let (table, column) = tables.of(model);
    let mut vals: Vec<Val> = vec![provider.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    let beyond = match after {
        Some(after) => {
            vals.push(key(model, after));
            format!("AND {column} > $3")
        }
        None => String::new(),
    };
    let sql = format!("SELECT {column} AS object FROM {table} WHERE provider = $1 {beyond} ORDER BY {column} LIMIT $2");
    reader.read(&sql, &vals).await?.iter().map(|row| object(model, row, "object")).collect()
}

/// Groups that some of these users are direct members of.
///
/// # Errors
/// Those of the store.
pub async fn groups_of(mut reader: impl Reader, users: &[&str]) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for part in users.chunks(CHUNK) {
        let marks: Vec<String> = (1..=part.len()).map(|i| format!("${i}")).collect();
        let vals: Vec<Val> = part.iter().map(|user| key(Model::User, user)).collect();
        let marks = marks.join(", ");
        let sql = format!("SELECT DISTINCT group_id FROM identity_membership WHERE user_id IN ({marks})");
        for row in reader.read(&sql, &vals).await? {
            found.push(row.text("group_id")?);
        }
    }
    Ok(found)
}
