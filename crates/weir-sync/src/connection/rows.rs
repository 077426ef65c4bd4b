//! The rows behind connections, as the engine reads and writes them. Where several accounts are connected with one object,
//! the one that was chosen last is told of changes, and all of them go with the object.

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

/// The order of the connections of one object: the first is the one in use.
const BY_CHOICE: &str = "chosen DESC, id";

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

/// The connections of an object, the one in use first.
///
/// # Errors
/// Those of the store.
pub async fn of_object(
    mut reader: impl Reader,
    tables: &Tables,
    provider: i64,
    (model, object): (Model, &str),
) -> Result<Vec<Connection>, StoreError> {
    let (table, column) = tables.of(model);
    let sql = format!("SELECT * FROM {table} WHERE provider = $1 AND {column} = $2 ORDER BY {BY_CHOICE}");
    let rows = reader.read(&sql, &[provider.into(), key(model, object)]).await?;
    rows.iter().map(|row| read(tables, model, row)).collect()
}

fn object(model: Model, row: &Row, column: &str) -> Result<String, StoreError> {
    match model {
        Model::User => row.int(column).map(|id| id.to_string()),
        Model::Group => row.text(column),
    }
}

/// The connections of these objects by key, those in use first.
///
/// # Errors
/// Those of the store.
pub async fn find_many(
    mut reader: impl Reader,
    tables: &Tables,
    provider: i64,
    (model, objects): (Model, &[&str]),
) -> Result<HashMap<String, Vec<Connection>>, StoreError> {
    let (table, column) = tables.of(model);
    let mut found: HashMap<String, Vec<Connection>> = HashMap::new();
    for part in objects.chunks(CHUNK) {
        let marks: Vec<String> = (2..part.len() + 2).map(|i| format!("${i}")).collect();
        let mut vals: Vec<Val> = vec![provider.into()];
        vals.extend(part.iter().map(|object| key(model, object)));
        let marks = marks.join(", ");
        let sql = format!(
            "SELECT *, {column} AS object FROM {table} WHERE provider = $1 AND {column} IN ({marks}) ORDER BY {BY_CHOICE}"
        );
        for row in reader.read(&sql, &vals).await? {
            found.entry(object(model, &row, "object")?).or_default().push(read(tables, model, &row)?);
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
    /// Somebody removed the connection meanwhile; so it stays.
    Removed,
}

/// What a row of connections holds beside its object.
struct Columns<'c> {
    table: &'static str,
    remote: &'static str,
    column: &'static str,
    new: &'c Connection,
    attributes: String,
    members: Option<String>,
}

impl<'c> Columns<'c> {
    fn of(tables: &Tables, model: Model, new: &'c Connection) -> Self {
        let (table, column) = tables.of(model);
        let attributes = Value::Object(new.attributes.clone()).to_string();
        let members = (model == Model::Group).then(|| Value::from(new.members.clone()).to_string());
        Self { table, remote: tables.id, column, new, attributes, members }
    }

    /// Changes one row; false when it is not there any more.
    async fn update(&self, tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
        let mut vals: Vec<Val> = vec![id.into(), Val::from(&self.new.remote_id), Val::from(&self.attributes)];
        vals.extend(self.members.as_ref().map(Val::from));
        let members = if self.members.is_some() { ", members = $4" } else { "" };
        let (table, remote) = (self.table, self.remote);
        let sql = format!("UPDATE {table} SET {remote} = $2, attributes = $3{members} WHERE id = $1");
        Ok(tx.write(&sql, &vals).await? > 0)
    }

    /// Makes a row. What an administrator connected with the object stays the one in use.
    async fn insert(&self, tx: &mut Tx, id: Uuid, provider: i64, object: Val) -> Result<bool, StoreError> {
        let mut vals: Vec<Val> =
            vec![id.into(), Val::from(&self.new.remote_id), object, provider.into(), Val::from(&self.attributes)];
        vals.extend(self.members.as_ref().map(Val::from));
        let (names, marks, sets) =
            if self.members.is_some() { (", members", ", $6", ", members = excluded.members") } else { ("", "", "") };
        let (table, remote, column) = (self.table, self.remote, self.column);
        let sql = format!(
            "INSERT INTO {table} (id, {remote}, {column}, provider, attributes, chosen{names}) \
             VALUES ($1, $2, $3, $4, $5, CASE WHEN EXISTS (SELECT 1 FROM {table} o WHERE o.provider = $4 \
             AND o.{column} = $3) THEN -1 ELSE 0 END{marks}) \
             ON CONFLICT (provider, {remote}) DO UPDATE SET attributes = excluded.attributes{sets} \
             WHERE {table}.{column} = excluded.{column}"
        );
        Ok(tx.write(&sql, &vals).await? > 0)
    }
}

/// Keeps what a target knows of an object. `before` is what the target called it until now, none when it did not know it.
///
/// # Errors
/// Those of the store.
pub async fn save(
    tx: &mut Tx,
    id: Uuid,
    (tables, provider): (&Tables, i64),
    (model, object): (Model, &str),
    (new, before): (&Connection, Option<&str>),
) -> Result<Saved, StoreError> {
    let columns = Columns::of(tables, model, new);
    if !new.id.is_empty() && before == Some(new.remote_id.as_str()) {
        let kept = columns.update(tx, &new.id).await?;
        return Ok(if kept { Saved::Kept } else { Saved::Removed });
    }
    // The object may have gone meanwhile: then there is nothing to connect. A deletion under way is waited for.
    let lock = if tx.dialect() == Dialect::Postgres { " FOR KEY SHARE" } else { "" };
    let who = key(model, object);
    let sql = format!("SELECT id FROM {} WHERE id = $1{lock}", home(model));
    if tx.read_one(&sql, std::slice::from_ref(&who)).await?.is_none() {
        return Ok(Saved::Gone);
    }
    let Columns { table, remote, column, .. } = columns;
    let sql = format!("SELECT id, {column} AS object FROM {table} WHERE provider = $1 AND {remote} = $2");
    let same = tx.read_one(&sql, &[provider.into(), Val::from(&new.remote_id)]).await?;
    if let Some(row) = same {
        let id = row.text("id")?;
        if self::object(model, &row, "object")? != object {
            return Ok(Saved::Taken);
        }
        if new.id.is_empty() {
            return Ok(if columns.update(tx, &id).await? { Saved::Kept } else { Saved::Removed });
        }
        // Two connections come to the same account: the one that was told stays.
        if id != new.id {
            tx.write(&format!("DELETE FROM {table} WHERE id = $1"), &[id.into()]).await?;
        }
    }
    if !new.id.is_empty() {
        if columns.update(tx, &new.id).await? {
            return Ok(Saved::Kept);
        }
        if before.is_some() {
            return Ok(Saved::Removed);
        }
    }
    Ok(if columns.insert(tx, id, provider, who).await? { Saved::Kept } else { Saved::Taken })
}

/// Forgets what a target knows, by keys of connections.
///
/// # Errors
/// Those of the store.
pub async fn forget(tx: &mut Tx, tables: &Tables, model: Model, ids: &[String]) -> Result<(), StoreError> {
    let (table, _) = tables.of(model);
    for id in ids {
        tx.write(&format!("DELETE FROM {table} WHERE id = $1"), &[id.into()]).await?;
    }
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

/// What the target calls the members of a group that it knows, each by the connection in use.
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
         WHERE m.group_id = $1 AND c.provider = $2 AND NOT EXISTS (SELECT 1 FROM {users} o WHERE o.provider = $2 \
         AND o.\"user\" = c.\"user\" AND (o.chosen > c.chosen OR (o.chosen = c.chosen AND o.id < c.id))) \
         ORDER BY c.{id}",
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
    let sql = format!(
        "SELECT DISTINCT {column} AS object FROM {table} WHERE provider = $1 {beyond} ORDER BY {column} LIMIT $2"
    );
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
