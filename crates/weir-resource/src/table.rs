//! Kinds with a table of their own: the same documents, kept in columns and link tables.

use crate::{Site, Stored, store};
use serde_json::Value;
use std::collections::HashMap;
use weir_core::{ApiError, Field, Kind, Link, Map, ResourceType, TableDef, validate};
use weir_store::{Row, StoreError, Tx, Val};

/// A row of a table-backed kind together with columns its definition does not name.
pub struct TableRow {
    /// The document.
    pub stored: Stored,
    /// The row itself.
    pub row: Row,
}

/// The column of a field.
pub(crate) fn column(field: &str) -> String {
    format!("\"{field}\"")
}

fn is_link(def: &TableDef, field: &str) -> bool {
    def.links.iter().any(|l| l.field == field)
}

/// A primary key as the column's value; none when it cannot be one.
pub(crate) fn key(def: &TableDef, pk: &str) -> Option<Val> {
    if def.pk_is_int { pk.parse::<i64>().ok().map(Val::from) } else { Some(Val::from(pk)) }
}

/// A field's value as the column's value.
pub(crate) fn to_val(field: &Field, value: Option<&Value>) -> Val {
    let value = value.filter(|v| !v.is_null());
    match &field.kind {
        Kind::Bool => Val::Bool(value.and_then(Value::as_bool)),
        Kind::Int { .. } => Val::Int(value.and_then(Value::as_i64)),
        Kind::Float => Val::Float(value.and_then(Value::as_f64)),
        Kind::DateTime => {
            Val::Int(value.and_then(Value::as_str).and_then(validate::parse_time).map(|t| t.timestamp_micros()))
        }
        Kind::Object | Kind::Any | Kind::List(_) => Val::Text(value.map(Value::to_string)),
        Kind::Text { .. } | Kind::Uuid | Kind::Choice(_) => Val::Text(value.and_then(Value::as_str).map(str::to_owned)),
    }
}

fn from_row(field: &Field, row: &Row) -> Result<Value, StoreError> {
    let name = field.name.as_str();
    Ok(match &field.kind {
        Kind::Bool => row.opt_bool(name)?.into(),
        Kind::Int { .. } => row.opt_int(name)?.into(),
        Kind::Float => row.opt_float(name)?.into(),
        Kind::DateTime => row.opt_time(name)?.map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)).into(),
        Kind::Object | Kind::Any | Kind::List(_) => row.opt_json(name)?.unwrap_or(Value::Null),
        Kind::Text { .. } | Kind::Uuid | Kind::Choice(_) => row.opt_text(name)?.into(),
    })
}

/// Reads the documents of rows; link tables are asked once for the whole page.
pub(crate) async fn read_rows(
    site: &Site,
    mut tx: Option<&mut Tx>,
    kind: &'static ResourceType,
    def: &TableDef,
    rows: Vec<Row>,
) -> Result<Vec<TableRow>, ApiError> {
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let mut doc = Map::new();
        for field in kind.fields.iter().filter(|f| !is_link(def, &f.name)) {
            doc.insert(field.name.clone(), from_row(field, &row).map_err(store)?);
        }
        let pk = if def.pk_is_int {
            row.int(def.pk).map_err(store)?.to_string()
        } else {
            row.text(def.pk).map_err(store)?
        };
        out.push(TableRow { stored: Stored { kind, pk, doc }, row });
    }
    for link in def.links {
        let mut found = read_link(site, tx.as_deref_mut(), def, link, out.iter().map(|r| r.stored.pk.as_str())).await?;
        for row in &mut out {
            let keys = found.remove(&row.stored.pk).unwrap_or_default();
            row.stored.doc.insert(link.field.to_owned(), Value::Array(keys));
        }
    }
    Ok(out)
}

async fn read_link(
    site: &Site,
    tx: Option<&mut Tx>,
    def: &TableDef,
    link: &Link,
    pks: impl Iterator<Item = &str>,
) -> Result<HashMap<String, Vec<Value>>, ApiError> {
    let keys: Vec<Val> = pks.filter_map(|pk| key(def, pk)).collect();
    let mut found: HashMap<String, Vec<Value>> = HashMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let marks: Vec<String> = (1..=keys.len()).map(|i| format!("${i}")).collect();
    let sql = format!(
        "SELECT {own} AS own, {other} AS other FROM {table} WHERE {own} IN ({marks}) ORDER BY {other}",
        own = link.own,
        other = link.other,
        table = link.table,
        marks = marks.join(", ")
    );
    let rows = match tx {
        Some(tx) => tx.read(&sql, &keys).await,
        None => site.db.read(&sql, &keys).await,
    };
    for row in rows.map_err(store)? {
        let own =
            if def.pk_is_int { row.int("own").map_err(store)?.to_string() } else { row.text("own").map_err(store)? };
        let other = if link.other_is_int {
            Value::from(row.int("other").map_err(store)?)
        } else {
            Value::from(row.text("other").map_err(store)?)
        };
        found.entry(own).or_default().push(other);
    }
    Ok(found)
}

/// One object by a column.
pub(crate) async fn find(
    site: &Site,
    tx: &mut Tx,
    kind: &'static ResourceType,
    def: &TableDef,
    by: &str,
    value: Val,
) -> Result<Option<TableRow>, ApiError> {
    let only = if def.only.is_empty() { String::new() } else { format!(" AND {}", def.only) };
    let sql = format!("SELECT * FROM {} WHERE {} = $1{only}", def.table, column(by));
    let rows = tx.read(&sql, &[value]).await.map_err(store)?;
    Ok(read_rows(site, Some(tx), kind, def, rows).await?.into_iter().next())
}

/// Inserts or updates the row; gives back its key.
pub(crate) async fn write(
    tx: &mut Tx,
    kind: &'static ResourceType,
    def: &TableDef,
    old: Option<&Stored>,
    pk: Option<&str>,
    doc: &Map,
    extra: Vec<(&'static str, Val)>,
) -> Result<String, ApiError> {
    let mut columns: Vec<(String, Val)> = Vec::new();
    // The key of a new row is a column of its own below, also where it is a field.
    let is_column = |field: &&Field| !is_link(def, &field.name) && (old.is_some() || field.name != def.pk);
    for field in kind.fields.iter().filter(is_column) {
        if !extra.iter().any(|(name, _)| *name == field.name) {
            columns.push((column(&field.name), to_val(field, doc.get(&field.name))));
        }
    }
    columns.extend(extra.into_iter().map(|(name, val)| (column(name), val)));
    let pk = match (old, pk) {
        (Some(old), _) => {
            let sets: Vec<String> =
                columns.iter().enumerate().map(|(i, (name, _))| format!("{name} = ${}", i + 1)).collect();
            let sql = format!("UPDATE {} SET {} WHERE {} = ${}", def.table, sets.join(", "), def.pk, columns.len() + 1);
            let mut vals: Vec<Val> = columns.into_iter().map(|(_, v)| v).collect();
            vals.push(key(def, &old.pk).ok_or_else(ApiError::not_found)?);
            if tx.write(&sql, &vals).await.map_err(store)? == 0 {
                return Err(ApiError::not_found());
            }
            old.pk.clone()
        }
        (None, pk) => {
            if let Some(pk) = pk {
                columns.push((def.pk.to_owned(), key(def, pk).ok_or_else(ApiError::not_found)?));
            }
            let names: Vec<&str> = columns.iter().map(|(n, _)| n.as_str()).collect();
            let marks: Vec<String> = (1..=columns.len()).map(|i| format!("${i}")).collect();
            let sql = format!(
                "INSERT INTO {} ({}) VALUES ({}) RETURNING {}",
                def.table,
                names.join(", "),
                marks.join(", "),
                def.pk
            );
            let vals: Vec<Val> = columns.into_iter().map(|(_, v)| v).collect();
            let rows = tx.write_returning(&sql, &vals).await.map_err(store)?;
            let row = rows.first().ok_or_else(|| anyhow::anyhow!("{} gave no key", def.table))?;
            if def.pk_is_int { row.int(def.pk).map_err(store)?.to_string() } else { row.text(def.pk).map_err(store)? }
        }
    };
    for link in def.links {
        write_link(tx, def, link, old, &pk, doc).await?;
    }
    Ok(pk)
}

/// Brings the link table to the field's list.
async fn write_link(
    tx: &mut Tx,
    def: &TableDef,
    link: &Link,
    old: Option<&Stored>,
    pk: &str,
    doc: &Map,
) -> Result<(), ApiError> {
    let empty = Vec::new();
    let list = |doc: &Map| doc.get(link.field).and_then(Value::as_array).unwrap_or(&empty).clone();
    let (before, after) = (old.map(|o| list(&o.doc)).unwrap_or_default(), list(doc));
    let own = key(def, pk).ok_or_else(ApiError::not_found)?;
    let other = |value: &Value| {
        if link.other_is_int { Val::Int(value.as_i64()) } else { Val::from(value.as_str().unwrap_or_default()) }
    };
    for gone in before.iter().filter(|v| !after.contains(v)) {
        let sql = format!("DELETE FROM {} WHERE {} = $1 AND {} = $2", link.table, link.own, link.other);
        tx.write(&sql, &[own.clone(), other(gone)]).await.map_err(store)?;
    }
    for new in after.iter().filter(|v| !before.contains(v)) {
        let sql =
            format!("INSERT INTO {} ({}, {}) VALUES ($1, $2) ON CONFLICT DO NOTHING", link.table, link.own, link.other);
        tx.write(&sql, &[own.clone(), other(new)]).await.map_err(store)?;
    }
    Ok(())
}
