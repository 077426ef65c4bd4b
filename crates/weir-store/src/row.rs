//! Result rows with typed getters that behave the same on both databases.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{
    Column as _, Decode, Postgres, Row as _, Sqlite, TypeInfo as _, ValueRef as _, postgres::PgRow, sqlite::SqliteRow,
};
use uuid::Uuid;

use crate::StoreError;

/// One result row.
pub struct Row(Inner);

enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self(Inner::Sqlite(row))
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self(Inner::Postgres(row))
    }
}

impl std::fmt::Debug for Row {
    /// Names only: rows hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Row").field(&self.columns()).finish()
    }
}

const INT: (&[&str], &[&str]) = (&["INTEGER"], &["INT8", "INT4", "INT2"]);
const FLOAT: (&[&str], &[&str]) = (&["REAL", "INTEGER"], &["FLOAT8"]);
const BOOL: (&[&str], &[&str]) = (&["INTEGER", "BOOLEAN"], &["BOOL"]);
const TEXT: (&[&str], &[&str]) = (&["TEXT"], &["TEXT", "VARCHAR", "NAME", "CHAR", "BPCHAR", "UNKNOWN", "JSON"]);
const BYTES: (&[&str], &[&str]) = (&["BLOB"], &["BYTEA"]);

impl Row {
    /// The column names in order.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        match &self.0 {
            Inner::Sqlite(row) => row.columns().iter().map(|column| column.name()).collect(),
            Inner::Postgres(row) => row.columns().iter().map(|column| column.name()).collect(),
        }
    }

    /// Is there a column of this name?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &self.0 {
            Inner::Sqlite(row) => row.try_column(name).is_ok(),
            Inner::Postgres(row) => row.try_column(name).is_ok(),
        }
    }

    fn get<T>(&self, column: &str, types: (&[&str], &[&str])) -> Result<Option<T>, StoreError>
    where
        T: for<'r> Decode<'r, Sqlite> + for<'r> Decode<'r, Postgres>,
    {
        let wrong = |what: String| StoreError::Internal(anyhow::anyhow!("column {column}: {what}"));
        macro_rules! decode {
            ($row:expr, $database:ty, $accepted:expr) => {{
                let value = $row.try_get_raw(column).map_err(|error| wrong(error.to_string()))?;
                if value.is_null() {
                    return Ok(None);
                }
                {
                    let info = value.type_info();
                    if !$accepted.contains(&info.name()) {
                        return Err(wrong(format!("unexpected type {}", info.name())));
                    }
                }
                <T as Decode<$database>>::decode(value).map(Some).map_err(|error| wrong(error.to_string()))
            }};
        }
        match &self.0 {
            Inner::Sqlite(row) => decode!(row, Sqlite, types.0),
            Inner::Postgres(row) => decode!(row, Postgres, types.1),
        }
    }

    /// An optional text.
    pub fn opt_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.get(column, TEXT)
    }

    /// A text.
    pub fn text(&self, column: &str) -> Result<String, StoreError> {
        present(column, self.opt_text(column)?)
    }

    /// An optional whole number.
    pub fn opt_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.get(column, INT)
    }

    /// A whole number. PostgreSQL sums of BIGINT are NUMERIC: cast them in the statement.
    pub fn int(&self, column: &str) -> Result<i64, StoreError> {
        present(column, self.opt_int(column)?)
    }

    /// An optional floating point number.
    pub fn opt_float(&self, column: &str) -> Result<Option<f64>, StoreError> {
        self.get(column, FLOAT)
    }

    /// A floating point number.
    pub fn float(&self, column: &str) -> Result<f64, StoreError> {
        present(column, self.opt_float(column)?)
    }

    /// An optional truth value.
    pub fn opt_bool(&self, column: &str) -> Result<Option<bool>, StoreError> {
        self.get(column, BOOL)
    }

    /// A truth value.
    pub fn bool(&self, column: &str) -> Result<bool, StoreError> {
        present(column, self.opt_bool(column)?)
    }

    /// Optional bytes.
    pub fn opt_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(column, BYTES)
    }

    /// Bytes.
    pub fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        present(column, self.opt_bytes(column)?)
    }

    /// An optional UUID, stored as text.
    pub fn opt_uuid(&self, column: &str) -> Result<Option<Uuid>, StoreError> {
        self.opt_text(column)?.map(|text| Uuid::parse_str(&text).map_err(|error| damaged(column, &error))).transpose()
    }

    /// A UUID, stored as text.
    pub fn uuid(&self, column: &str) -> Result<Uuid, StoreError> {
        present(column, self.opt_uuid(column)?)
    }

    /// An optional time, stored as microseconds since the epoch.
    pub fn opt_time(&self, column: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.opt_int(column)?
            .map(|micros| {
                DateTime::from_timestamp_micros(micros)
                    .ok_or_else(|| StoreError::Internal(anyhow::anyhow!("column {column}: time out of range")))
            })
            .transpose()
    }

    /// A time, stored as microseconds since the epoch.
    pub fn time(&self, column: &str) -> Result<DateTime<Utc>, StoreError> {
        present(column, self.opt_time(column)?)
    }

    /// An optional JSON document, stored as text.
    pub fn opt_json(&self, column: &str) -> Result<Option<Value>, StoreError> {
        self.opt_text(column)?
            .map(|text| serde_json::from_str(&text).map_err(|error| damaged(column, &error)))
            .transpose()
    }

    /// A JSON document, stored as text.
    pub fn json(&self, column: &str) -> Result<Value, StoreError> {
        present(column, self.opt_json(column)?)
    }
}

fn present<T>(column: &str, value: Option<T>) -> Result<T, StoreError> {
    value.ok_or_else(|| StoreError::Internal(anyhow::anyhow!("column {column}: unexpected NULL")))
}

fn damaged(column: &str, error: &dyn std::error::Error) -> StoreError {
    StoreError::Internal(anyhow::anyhow!("column {column}: {error}"))
}
