//! Parameter values: the few types both databases share.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Database, Encode, Type, query::Query};
use uuid::Uuid;

use crate::StoreError;

/// One statement parameter. `None` keeps its type, because PostgreSQL types its NULLs.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    /// BIGINT; also times, as microseconds since the epoch.
    Int(Option<i64>),
    /// DOUBLE PRECISION.
    Float(Option<f64>),
    /// BOOLEAN.
    Bool(Option<bool>),
    /// TEXT; also UUIDs and JSON documents.
    Text(Option<String>),
    /// BYTEA or BLOB.
    Bytes(Option<Vec<u8>>),
}

/// Declares how a Rust type becomes a [`Val`], plain and optional.
macro_rules! val_from {
    ($($from:ty => $variant:ident, $value:ident => $convert:expr;)*) => {$(
        impl From<$from> for Val {
            fn from($value: $from) -> Self {
                Self::$variant(Some($convert))
            }
        }
        impl From<Option<$from>> for Val {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value.map(|$value| $convert))
            }
        }
    )*};
}

val_from! {
    i64 => Int, value => value;
    i32 => Int, value => i64::from(value);
    u32 => Int, value => i64::from(value);
    DateTime<Utc> => Int, value => value.timestamp_micros();
    f64 => Float, value => value;
    bool => Bool, value => value;
    &str => Text, value => value.to_owned();
    String => Text, value => value;
    &String => Text, value => value.clone();
    Uuid => Text, value => value.to_string();
    &Uuid => Text, value => value.to_string();
    Value => Text, value => value.to_string();
    &Value => Text, value => value.to_string();
    Vec<u8> => Bytes, value => value;
    &[u8] => Bytes, value => value.to_vec();
}

/// Both databases must refuse the same text: PostgreSQL knows no NUL, neither raw nor escaped inside `jsonb`.
pub(crate) fn check(vals: &[Val]) -> Result<(), StoreError> {
    for val in vals {
        if let Val::Text(Some(text)) = val
            && (text.contains('\0') || (looks_like_json(text) && has_escaped_nul(text)))
        {
            return Err(StoreError::Invalid("null characters are not allowed".to_owned()));
        }
    }
    Ok(())
}

fn looks_like_json(text: &str) -> bool {
    text.starts_with(['{', '[', '"'])
}

/// Finds `\u0000` that is an escape, not the text "\\u0000".
fn has_escaped_nul(text: &str) -> bool {
    text.match_indices("\\u0000").any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0
    })
}

pub(crate) fn bind<'q, DB>(
    mut query: Query<'q, DB, <DB as Database>::Arguments>,
    vals: &[Val],
) -> Query<'q, DB, <DB as Database>::Arguments>
where
    DB: Database,
    for<'a> Option<i64>: Encode<'a, DB> + Type<DB>,
    for<'a> Option<f64>: Encode<'a, DB> + Type<DB>,
    for<'a> Option<bool>: Encode<'a, DB> + Type<DB>,
    for<'a> Option<&'a str>: Encode<'a, DB> + Type<DB>,
    for<'a> Option<&'a [u8]>: Encode<'a, DB> + Type<DB>,
{
    for val in vals {
        query = match val {
            Val::Int(value) => query.bind(*value),
            Val::Float(value) => query.bind(*value),
            Val::Bool(value) => query.bind(*value),
            Val::Text(value) => query.bind(value.as_deref()),
            Val::Bytes(value) => query.bind(value.as_deref()),
        };
    }
    query
}
