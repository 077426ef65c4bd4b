//! Query sets: what expressions build with `filter()`, `exclude()`, `order_by()` and the like, and how it is answered.
//! Tables are asked in SQL, configuration in memory.

pub mod condition;
mod documents;
pub mod schema;
mod sql;

use super::objects;
use condition::{Condition, unknown_field};
use schema::{Holds, Table};
use sql::Sql;
use std::sync::Arc;
use weir_core::ResourceType;
use weir_expression::{Raise, Value};
use weir_resource::{Object, Site, Snapshot};
use weir_store::{Row, StoreError, Tx, Val};

/// The most rows an expression gets at once.
pub const MOST_ROWS: usize = 1000;

/// Where rows come from.
#[derive(Clone)]
pub enum Source {
    /// A table.
    Table(&'static Table),
    /// Configuration of these kinds.
    Documents(Vec<&'static ResourceType>),
    /// A model without objects in this build.
    Nothing(&'static str),
}

/// What a row becomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shape {
    /// An object.
    #[default]
    Objects,
    /// A dictionary of these fields; all fields when empty.
    Values(Vec<String>),
    /// A tuple of these fields, or with `flat` the field itself.
    Lists(Vec<String>, bool),
}

/// A restriction by the object a manager belongs to, with `{t}` for the alias and `?` for each value.
#[derive(Clone, Debug, Default)]
pub struct Within {
    /// The condition.
    pub sql: String,
    /// Its values.
    pub vals: Vec<Val>,
}

/// A query in the making.
#[derive(Clone)]
pub struct Query {
    /// Where rows come from.
    pub source: Source,
    /// Restriction of the manager.
    pub within: Option<Within>,
    /// What rows have to meet.
    pub conditions: Vec<Condition>,
    /// Names to order by.
    pub order: Vec<String>,
    /// The order is turned around.
    pub reversed: bool,
    /// What a row becomes.
    pub shape: Shape,
    /// Equal results count once.
    pub distinct: bool,
    /// Finds nothing.
    pub is_empty: bool,
}

/// What a query is run with.
pub struct Asking<'a> {
    /// The site.
    pub site: &'a Site,
    /// The configuration of the request.
    pub snapshot: &'a Arc<Snapshot>,
    /// The transaction of the request.
    pub tx: &'a mut Tx,
}

impl Query {
    /// Everything of a source.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            within: None,
            conditions: Vec::new(),
            order: Vec::new(),
            reversed: false,
            shape: Shape::default(),
            distinct: false,
            is_empty: false,
        }
    }

    /// Everything of a table.
    pub fn table(table: &'static Table) -> Self {
        Self::new(Source::Table(table))
    }

    /// A table's rows that meet a restriction.
    pub fn within(table: &'static Table, sql: &str, vals: Vec<Val>) -> Self {
        let within = Some(Within { sql: sql.to_owned(), vals });
        Self { within, ..Self::table(table) }
    }

    /// Nothing.
    pub fn none(mut self) -> Self {
        self.is_empty = true;
        self
    }

    /// Adds a condition.
    #[must_use]
    pub fn filter(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Class name of the rows.
    pub fn class(&self) -> &'static str {
        match &self.source {
            Source::Table(table) => table.class,
            Source::Documents(kinds) => kinds.first().map_or("Model", |k| k.schema),
            Source::Nothing(class) => class,
        }
    }

    fn all(&self) -> Condition {
        Condition::All(self.conditions.clone())
    }

    /// Number of rows.
    pub async fn count(&self, cx: &mut Asking<'_>) -> Result<u64, Raise> {
        if self.is_empty {
            return Ok(0);
        }
        match &self.source {
            Source::Nothing(_) => Ok(0),
            Source::Documents(kinds) => Ok(documents::find(self, kinds, cx)?.len() as u64),
            Source::Table(table) => {
                let mut sql = Sql::new(cx.tx.dialect());
                let from = self.from(table, &mut sql)?;
                let rows = cx.tx.read(&format!("SELECT COUNT(*) AS n FROM {from}"), &sql.vals).await.map_err(store)?;
                let count = rows.first().map_or(Ok(0), |row| row.int("n")).map_err(store)?;
                Ok(u64::try_from(count).unwrap_or_default())
            }
        }
    }

    /// Up to `limit` rows in the query's shape.
    pub async fn rows(&self, cx: &mut Asking<'_>, limit: usize) -> Result<Vec<Value>, Raise> {
        if self.is_empty {
            return Ok(Vec::new());
        }
        self.check_names()?;
        let mut found = match &self.source {
            Source::Nothing(_) => Vec::new(),
            Source::Documents(kinds) => {
                let objects = documents::find(self, kinds, cx)?;
                objects.iter().take(limit).map(|o| self.shape_document(o)).collect::<Result<_, _>>()?
            }
            Source::Table(table) => {
                let rows = self.read(table, cx, limit).await?;
                rows.iter().map(|row| self.shape_row(table, row, cx.site)).collect::<Result<_, _>>()?
            }
        };
        if self.distinct && self.shape != Shape::Objects {
            let mut seen: Vec<Value> = Vec::with_capacity(found.len());
            for value in found {
                if !seen.contains(&value) {
                    seen.push(value);
                }
            }
            found = seen;
        }
        Ok(found)
    }

    /// Refuses unknown names even where there is no row to read them from.
    fn check_names(&self) -> Result<(), Raise> {
        let (Source::Table(table), Shape::Values(names) | Shape::Lists(names, _)) = (&self.source, &self.shape) else {
            return Ok(());
        };
        for name in names {
            let first = name.split("__").next().unwrap_or_default();
            table.find_field(first).ok_or_else(|| unknown_field(first, &table.choices()))?;
        }
        Ok(())
    }

    fn from(&self, table: &'static Table, sql: &mut Sql) -> Result<String, Raise> {
        let mut wheres = Vec::new();
        if !table.only.is_empty() {
            wheres.push(table.only.replace("{t}", "t0"));
        }
        if let Some(within) = &self.within {
            let mut text = within.sql.replace("{t}", "t0");
            for val in &within.vals {
                let mark = sql.push(val.clone());
                text = text.replacen('?', &mark, 1);
            }
            wheres.push(text);
        }
        wheres.push(sql.condition(table, "t0", &self.all())?);
        Ok(format!("{} t0 WHERE {}", table.sql, wheres.join(" AND ")))
    }

    async fn read(&self, table: &'static Table, cx: &mut Asking<'_>, limit: usize) -> Result<Vec<Row>, Raise> {
        let mut sql = Sql::new(cx.tx.dialect());
        let from = self.from(table, &mut sql)?;
        let default = [table.order.to_owned()];
        let names: &[String] = if self.order.is_empty() { &default } else { &self.order };
        let order = sql.order(table, "t0", names, self.reversed)?;
        let limit = sql.push(i64::try_from(limit).unwrap_or(i64::MAX));
        let columns: Vec<String> = table.fields.iter().map(|f| format!("t0.\"{}\"", f.column)).collect();
        let text = format!("SELECT {} FROM {from} ORDER BY {order} LIMIT {limit}", columns.join(", "));
        cx.tx.read(&text, &sql.vals).await.map_err(store)
    }

    fn shape_row(&self, table: &'static Table, row: &Row, site: &Site) -> Result<Value, Raise> {
        let names = match &self.shape {
            Shape::Objects => return objects::of_row(site, table, row).map(Value::from).map_err(store),
            Shape::Values(names) | Shape::Lists(names, _) => names,
        };
        let all: Vec<String> = table.fields.iter().map(|f| f.name.to_owned()).collect();
        let names = if names.is_empty() { &all } else { names };
        let mut values = Vec::with_capacity(names.len());
        for name in names {
            let parts = condition::parts(name);
            let first = parts.first().map(String::as_str).unwrap_or_default();
            let field = table.find_field(first).ok_or_else(|| unknown_field(first, &table.choices()))?;
            let value = objects::column(field, row).map_err(store)?;
            if parts.len() > 1 && field.holds != Holds::Json {
                return Err(condition::unsupported(parts.get(1).map(String::as_str).unwrap_or_default()));
            }
            values.push(objects::dig(value, parts.get(1..).unwrap_or_default()));
        }
        Ok(self.assemble(names, values))
    }

    fn shape_document(&self, object: &Object) -> Result<Value, Raise> {
        let names = match &self.shape {
            Shape::Objects => return Ok(objects::of_document(object).into()),
            Shape::Values(names) | Shape::Lists(names, _) => names,
        };
        let all: Vec<String> = std::iter::once("pk".to_owned())
            .chain(object.kind.fields.iter().filter(|f| !f.write_only).map(|f| f.name.clone()))
            .collect();
        let names = if names.is_empty() { &all } else { names };
        let values = names.iter().map(|name| documents::value(object, name)).collect::<Result<Vec<_>, Raise>>()?;
        Ok(self.assemble(names, values))
    }

    fn assemble(&self, names: &[String], mut values: Vec<Value>) -> Value {
        match &self.shape {
            Shape::Lists(_, true) => values.drain(..).next().unwrap_or(Value::None),
            Shape::Lists(_, false) => Value::Tuple(values),
            _ => Value::Dict(names.iter().map(|n| Value::str(n.clone())).zip(values).collect()),
        }
    }
}

/// What an expression learns of a failing database.
pub fn store(error: StoreError) -> Raise {
    tracing::error!(%error, "an expression's query failed");
    Raise::new("RuntimeError", "The database cannot answer.")
}
