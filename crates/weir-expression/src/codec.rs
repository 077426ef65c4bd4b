//! Encoding of values between the processes.
//!
//! Both directions count nesting: the other side of the pipe executes what administrators typed and must not be able to
//! overflow our stack by answering with a very deep list.

use std::cell::Cell;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use crate::{Object, Value};

/// How deep values may be nested when they cross between the processes.
pub const MAX_VALUE_DEPTH: usize = 100;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Leaves one level of nesting when dropped, also on the error paths.
struct Level;

impl Level {
    fn enter() -> Option<Self> {
        DEPTH.with(|depth| {
            let next = depth.get() + 1;
            (next <= MAX_VALUE_DEPTH).then(|| {
                depth.set(next);
                Self
            })
        })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

/// Mirror of [`Value`] that carries the derived encoding.
#[derive(Serialize)]
#[serde(rename = "Value")]
enum Borrowed<'a> {
    None,
    Bool(bool),
    Int(i64),
    BigInt(&'a str),
    Float(f64),
    Decimal(&'a str),
    Str(&'a str),
    Bytes(&'a [u8]),
    List(&'a [Value]),
    Tuple(&'a [Value]),
    Set(&'a [Value]),
    Dict(&'a [(Value, Value)]),
    DateTime(&'a chrono::DateTime<chrono::FixedOffset>),
    NaiveDateTime(&'a chrono::NaiveDateTime),
    Date(&'a chrono::NaiveDate),
    Time(&'a chrono::NaiveTime),
    TimeDelta(i64),
    IpAddress(&'a std::net::IpAddr),
    Object { class: &'a str, id: &'a str, text: Option<&'a str>, attrs: &'a [(String, Value)] },
    Exception { class: &'a str, message: &'a str },
    Repr(&'a str),
}

/// Mirror of [`Value`] for reading; the variants are those of [`Borrowed`], in the same order.
#[derive(Deserialize)]
#[serde(rename = "Value")]
enum Owned {
    None,
    Bool(bool),
    Int(i64),
    BigInt(String),
    Float(f64),
    Decimal(String),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    DateTime(chrono::DateTime<chrono::FixedOffset>),
    NaiveDateTime(chrono::NaiveDateTime),
    Date(chrono::NaiveDate),
    Time(chrono::NaiveTime),
    TimeDelta(i64),
    IpAddress(std::net::IpAddr),
    Object { class: String, id: String, text: Option<String>, attrs: Vec<(String, Value)> },
    Exception { class: String, message: String },
    Repr(String),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(_level) = Level::enter() else {
            return Err(S::Error::custom("value is nested too deeply"));
        };
        let borrowed = match self {
            Self::None => Borrowed::None,
            Self::Bool(value) => Borrowed::Bool(*value),
            Self::Int(value) => Borrowed::Int(*value),
            Self::BigInt(text) => Borrowed::BigInt(text),
            Self::Float(value) => Borrowed::Float(*value),
            Self::Decimal(text) => Borrowed::Decimal(text),
            Self::Str(text) => Borrowed::Str(text),
            Self::Bytes(bytes) => Borrowed::Bytes(bytes),
            Self::List(items) => Borrowed::List(items),
            Self::Tuple(items) => Borrowed::Tuple(items),
            Self::Set(items) => Borrowed::Set(items),
            Self::Dict(pairs) => Borrowed::Dict(pairs),
            Self::DateTime(value) => Borrowed::DateTime(value),
            Self::NaiveDateTime(value) => Borrowed::NaiveDateTime(value),
            Self::Date(value) => Borrowed::Date(value),
            Self::Time(value) => Borrowed::Time(value),
            Self::TimeDelta(micros) => Borrowed::TimeDelta(*micros),
            Self::IpAddress(address) => Borrowed::IpAddress(address),
            Self::Object(object) => Borrowed::Object {
                class: &object.class,
                id: &object.id,
                text: object.text.as_deref(),
                attrs: &object.attrs,
            },
            Self::Exception { class, message } => Borrowed::Exception { class, message },
            Self::Repr(text) => Borrowed::Repr(text),
        };
        borrowed.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(_level) = Level::enter() else {
            return Err(D::Error::custom("value is nested too deeply"));
        };
        Ok(match Owned::deserialize(deserializer)? {
            Owned::None => Self::None,
            Owned::Bool(value) => Self::Bool(value),
            Owned::Int(value) => Self::Int(value),
            Owned::BigInt(text) => Self::BigInt(text),
            Owned::Float(value) => Self::Float(value),
            Owned::Decimal(text) => Self::Decimal(text),
            Owned::Str(text) => Self::Str(text),
            Owned::Bytes(bytes) => Self::Bytes(bytes),
            Owned::List(items) => Self::List(items),
            Owned::Tuple(items) => Self::Tuple(items),
            Owned::Set(items) => Self::Set(items),
            Owned::Dict(pairs) => Self::Dict(pairs),
            Owned::DateTime(value) => Self::DateTime(value),
            Owned::NaiveDateTime(value) => Self::NaiveDateTime(value),
            Owned::Date(value) => Self::Date(value),
            Owned::Time(value) => Self::Time(value),
            Owned::TimeDelta(micros) => Self::TimeDelta(micros),
            Owned::IpAddress(address) => Self::IpAddress(address),
            Owned::Object { class, id, text, attrs } => Self::Object(Box::new(Object { class, id, text, attrs })),
            Owned::Exception { class, message } => Self::Exception { class, message },
            Owned::Repr(text) => Self::Repr(text),
        })
    }
}
