//! The operations of the contract as a table.

use std::sync::OnceLock;

/// The five methods of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or acts.
    Post,
    /// Replaces.
    Put,
    /// Changes in part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// Upper-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of this upper-case name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// `operationId`.
    pub id: &'static str,
    /// Method.
    pub method: Method,
    /// Path below `/api/v3` with `{name}` for parameters; slashes at both ends.
    pub path: &'static str,
    /// Answers without credentials.
    pub public: bool,
    /// Names of the query parameters; a required one ends in `!`.
    query: &'static str,
}

impl Operation {
    /// Query parameters with whether they are required.
    pub fn query(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.query.split_whitespace().map(|name| name.strip_suffix('!').map_or((name, false), |name| (name, true)))
    }

    /// Names of the path parameters in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// Every operation, in the contract's order.
pub fn operations() -> &'static [Operation] {
    static TABLE: OnceLock<Vec<Operation>> = OnceLock::new();
    TABLE.get_or_init(|| include_str!(concat!(env!("OUT_DIR"), "/operations.tsv")).lines().filter_map(line).collect())
}

/// Operations of our own, all below `/weir/`, as `extensions.json` describes them. They are no part of the contract, and
/// part of the document that the server gives.
pub fn extensions() -> &'static [Operation] {
    static TABLE: OnceLock<Vec<Operation>> = OnceLock::new();
    TABLE.get_or_init(|| include_str!(concat!(env!("OUT_DIR"), "/extensions.tsv")).lines().filter_map(line).collect())
}

fn line(text: &'static str) -> Option<Operation> {
    let mut cells = text.split('\t');
    let mut next = || cells.next();
    Some(Operation {
        id: next()?,
        method: Method::parse(next()?)?,
        path: next()?,
        public: next()? == "public",
        query: next()?,
    })
}

/// An operation by its id: of the contract, or our own.
pub fn find(id: &str) -> Option<&'static Operation> {
    operations().iter().chain(extensions()).find(|o| o.id == id)
}
