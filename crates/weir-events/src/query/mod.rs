//! The search language of events: `action = "login" and user.username ~ "ann"`.
//!
//! One parsed [`Query`] can be asked of an event in memory and of the table; both give the same answer. Everything a
//! client can make large has a limit here, so that neither parsing nor the database can be overwhelmed by a text.

mod lexer;
mod matching;
mod parser;
mod sql;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use std::{fmt, str::FromStr};

/// Longest text, bytes.
pub const MAX_LENGTH: usize = 4096;
/// Deepest nesting of parentheses and `not`.
pub const MAX_DEPTH: usize = 32;
/// Most comparisons in a query.
pub const MAX_COMPARISONS: usize = 64;
/// Most values in an `in (…)`.
pub const MAX_VALUES: usize = 100;
/// Most names in a dotted path.
pub const MAX_PATH: usize = 12;

/// What is wrong with a query, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// For people.
    pub message: String,
    /// Offset in bytes.
    pub at: usize,
}

impl QueryError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), at }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {})", self.message, self.at + 1)
    }
}

impl std::error::Error for QueryError {}

/// A parsed query.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    root: Node,
}

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        parser::parse(text).map(|root| Self { root })
    }
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// What is wrong and where; a caller that searches falls back to plain words then.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        text.parse()
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare(Comparison),
}

#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    field: Field,
    test: Test,
}

/// Where the value is found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    /// A column with text.
    Text(&'static str),
    /// A column with a time.
    Time(&'static str),
    /// A path in a column with JSON; an empty path is all of it, as text.
    Json(&'static str, Vec<String>),
}

/// What the value must meet. Negated forms are [`Node::Not`] around these.
#[derive(Clone, Debug, PartialEq)]
enum Test {
    Is(Value),
    Order(Order, Value),
    Contains(String),
    StartsWith(String),
    In(Vec<Value>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    None,
    Bool(bool),
    Number(f64, String),
    Text(String),
    Time(DateTime<Utc>, String),
}

impl Value {
    /// The value as the text that is compared; none for [`Value::None`].
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Number(_, text) | Self::Text(text) | Self::Time(_, text) => Some(text),
        }
    }
}
