//! The one error of the store, and how the errors of both databases become it.

use sqlx::error::DatabaseError;

/// What callers branch on. Display texts hold no SQL and no values; the cause is for the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The row asked for does not exist.
    #[error("not found")]
    NotFound,
    /// A uniqueness rule was hit; named as PostgreSQL would name it, on both databases.
    #[error("conflict with {constraint}")]
    Conflict {
        /// `<table>_<column>_…_key` or `<table>_pkey`.
        constraint: String,
    },
    /// A foreign key points at a missing row, or still points at the row to be deleted.
    #[error("reference violated: {constraint}")]
    InUse {
        /// The foreign key's name; SQLite does not tell it, so it is empty there.
        constraint: String,
    },
    /// A value the database cannot hold, such as text with a null character.
    #[error("invalid value: {0}")]
    Invalid(String),
    /// Start refused for a reason the administrator must settle; the text is complete and one line.
    #[error("{0}")]
    Refused(String),
    /// Away, locked, full or overloaded: the same request may succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] anyhow::Error),
    /// A defect, ours or the database's.
    #[error("database error")]
    Internal(#[source] anyhow::Error),
}

impl StoreError {
    /// May the same transaction succeed when tried again?
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(cause) = &error {
            let kind = match cause.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                Some(cause) => postgres(cause),
                None => sqlite(cause.as_ref()),
            };
            return match kind {
                Kind::Conflict(constraint) => Self::Conflict { constraint },
                Kind::InUse(constraint) => Self::InUse { constraint },
                Kind::Invalid(text) => Self::Invalid(text),
                Kind::Unavailable => Self::Unavailable(error.into()),
                Kind::Internal => Self::Internal(error.into()),
            };
        }
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(error.into()),
            // A server that dies in mid-answer looks like a protocol error.
            sqlx::Error::Protocol(_) => Self::Unavailable(error.into()),
            other => Self::Internal(other.into()),
        }
    }
}

enum Kind {
    Conflict(String),
    InUse(String),
    Invalid(String),
    Unavailable,
    Internal,
}

fn postgres(error: &sqlx::postgres::PgDatabaseError) -> Kind {
    let constraint = || error.constraint().unwrap_or_default().to_owned();
    match error.code() {
        "23505" => Kind::Conflict(constraint()),
        "23503" | "23001" => Kind::InUse(constraint()),
        "23502" => Kind::Invalid(format!("{} must not be null", error.column().unwrap_or("a column"))),
        "23514" => Kind::Invalid(format!("check {} failed", constraint())),
        // Bytes that are no text, numbers out of range, text too long, `\u0000` in JSON, index row too large.
        "22021" | "22003" | "22001" | "22P05" | "54000" => Kind::Invalid("value out of range".to_owned()),
        // Serialization failure, deadlock, cancelled by time-out, lock time-out, idle in transaction, read-only standby.
        "40001" | "40P01" | "57014" | "55P03" | "25P03" | "25006" => Kind::Unavailable,
        code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

fn sqlite(error: &(dyn DatabaseError + 'static)) -> Kind {
    let code: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or_default();
    let detail = error.message().split_once("constraint failed: ").map_or("", |(_, detail)| detail);
    match (code, code & 0xff) {
        (1555, _) => Kind::Conflict(format!("{}_pkey", detail.split('.').next().unwrap_or_default())),
        (2067, _) => Kind::Conflict(unique_name(detail)),
        (787 | 1811, _) => Kind::InUse(String::new()),
        (1299, _) => Kind::Invalid(format!("{detail} must not be null")),
        (275, _) => Kind::Invalid(format!("check {detail} failed")),
        // TOOBIG, MISMATCH.
        (_, 18 | 20) => Kind::Invalid("value out of range".to_owned()),
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
        (_, 5..=10 | 13..=15) => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

/// SQLite reports `table.a, table.b`, or `index 'name'` for an index over expressions.
fn unique_name(detail: &str) -> String {
    if let Some(index) = detail.strip_prefix("index '") {
        return index.trim_end_matches('\'').to_owned();
    }
    let mut name = String::new();
    for part in detail.split(", ") {
        let (table, column) = part.split_once('.').unwrap_or(("", part));
        if name.is_empty() {
            name.push_str(table);
        }
        name.push('_');
        name.push_str(column);
    }
    name + "_key"
}
