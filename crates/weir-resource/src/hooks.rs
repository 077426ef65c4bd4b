//! Special behaviour beside a definition: checks that need the database, derived columns, read-only fields.

use crate::{ListQuery, Object, Site, Snapshot, Stored, Unit, UsedBy};
use async_trait::async_trait;
use std::{collections::BTreeMap, sync::Arc};
use weir_core::{ApiError, Map};
use weir_store::Val;

/// What a presentation may look at.
pub struct Presenting<'a> {
    /// The site.
    pub site: &'a Site,
    /// The snapshot of the request.
    pub snapshot: &'a Snapshot,
    /// Query parameters of the request.
    pub query: &'a [(String, String)],
    /// The user who asks, when signed in.
    pub user_id: Option<i64>,
    /// Digest of the browser session that asks.
    pub session: Option<&'a str>,
    /// Scheme and host of the request, e.g. `https://id.example.org`.
    pub base_url: &'a str,
    /// The operation that is answered; empty outside the interface.
    pub operation: &'a str,
}

impl Presenting<'_> {
    /// A query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A boolean query parameter.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        match self.parameter(name) {
            Some("true" | "True" | "1") => true,
            Some("false" | "False" | "0") => false,
            _ => default,
        }
    }
}

/// A piece of SQL with its values; `?` stands for the next value.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The text, with `?` for each value.
    pub sql: String,
    /// The values.
    pub vals: Vec<Val>,
}

impl Condition {
    /// A condition.
    pub fn new(sql: impl Into<String>, vals: Vec<Val>) -> Self {
        Self { sql: sql.into(), vals }
    }
}

/// How a long table counts.
#[derive(Clone, Copy, Debug)]
pub struct Counting {
    /// A statement that gives the number of all rows as `n`, for lists without conditions.
    pub all: &'static str,
    /// How many matches are counted exactly. Where there are more, `count` is a lower bound that goes at least one object
    /// beyond the page asked for, so that whoever follows the pages gets to the end.
    pub most: u64,
}

/// A filter over documents that stands for some query parameters.
pub struct Keep {
    /// The parameters it answers for; the generic filters pass them over.
    pub parameters: &'static [&'static str],
    test: Test,
}

/// Looks at an object and what stands beside it.
type ObjectTest = dyn Fn(&Snapshot, &Object) -> bool + Send + Sync;

enum Test {
    Document(Box<dyn Fn(&Map) -> bool + Send + Sync>),
    Object(Box<ObjectTest>),
    Referred { by: &'static str, wanted: bool },
}

impl Keep {
    /// A filter.
    pub fn new(parameters: &'static [&'static str], test: impl Fn(&Map) -> bool + Send + Sync + 'static) -> Self {
        Self { parameters, test: Test::Document(Box::new(test)) }
    }

    /// A filter that looks at other objects too.
    pub fn among(
        parameters: &'static [&'static str],
        test: impl Fn(&Snapshot, &Object) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { parameters, test: Test::Object(Box::new(test)) }
    }

    /// A filter by whether some document refers to the object by this field.
    pub fn referred(parameters: &'static [&'static str], by: &'static str, wanted: bool) -> Self {
        Self { parameters, test: Test::Referred { by, wanted } }
    }

    /// Whether an object stays in the list.
    pub fn keeps(&self, snapshot: &Snapshot, object: &Object) -> bool {
        match &self.test {
            Test::Document(test) => test(&object.doc),
            Test::Object(test) => test(snapshot, object),
            Test::Referred { by, wanted } => {
                snapshot.referring(&object.id.to_string()).any(|(_, field)| field == *by) == *wanted
            }
        }
    }
}

/// Optional behaviour of one kind of object.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Checks and completes a document before it is written. `old` is absent on creation.
    ///
    /// # Errors
    /// Refusals of the client's values.
    async fn prepare(&self, _unit: &mut Unit<'_>, _old: Option<&Stored>, _new: &mut Map) -> Result<(), ApiError> {
        Ok(())
    }

    /// Columns that the definition does not name (table-backed kinds).
    fn columns(&self, _site: &Site, _old: Option<&Stored>, _new: &Map) -> Vec<(&'static str, Val)> {
        Vec::new()
    }

    /// Runs after the row is written, in the same transaction.
    ///
    /// # Errors
    /// Anything; the transaction is rolled back.
    async fn written(&self, _unit: &mut Unit<'_>, _old: Option<&Stored>, _new: &Stored) -> Result<(), ApiError> {
        Ok(())
    }

    /// Runs before a row is deleted, in the same transaction.
    ///
    /// # Errors
    /// Anything; the transaction is rolled back.
    async fn deleting(&self, _unit: &mut Unit<'_>, _old: &Stored) -> Result<(), ApiError> {
        Ok(())
    }

    /// Adds read-only fields to a page of answers, `answers[i]` being the answer for `rows[i]`.
    ///
    /// # Errors
    /// Those of the store.
    async fn present(&self, _cx: &Presenting<'_>, _rows: &[Stored], _answers: &mut [Map]) -> Result<(), ApiError> {
        Ok(())
    }

    /// A filter of its own (table-backed kinds): the condition for a query parameter, or none when the generic
    /// filters should look at it.
    ///
    /// # Errors
    /// 400 for a bad value.
    fn filter(&self, _site: &Site, _name: &str, _value: &str) -> Result<Option<Condition>, ApiError> {
        Ok(None)
    }

    /// The column of what answers have beside the fields (table-backed kinds), for lists in its order.
    fn order(&self, _name: &str) -> Option<&'static str> {
        None
    }

    /// What `search` means, when it is more than words (table-backed kinds); none leaves it to the words.
    ///
    /// # Errors
    /// 400 for a bad value.
    fn search(&self, _site: &Site, _text: &str) -> Result<Option<Condition>, ApiError> {
        Ok(None)
    }

    /// How the matches of a list are counted, when there may be too many to count each time (table-backed kinds).
    fn counting(&self) -> Option<Counting> {
        None
    }

    /// Looks outside before the transaction of a client's write begins: calls to other servers belong here. Gets the
    /// body as it was sent and may complete it. Writes of blueprints and flows do not come by.
    ///
    /// # Errors
    /// Refusals of the client's values.
    async fn before(&self, _site: &Site, _old: Option<&Stored>, _body: &mut Map) -> Result<(), ApiError> {
        Ok(())
    }

    /// Conditions that follow from the whole query (table-backed kinds): parameters that may repeat or work together,
    /// and what stays out of a list unless asked for.
    ///
    /// # Errors
    /// 400 for a bad value.
    fn narrow(&self, _site: &Site, _query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
        Ok(Vec::new())
    }

    /// Rows of tables that refer to an object; documents that do are found without help. No more than a page of them.
    ///
    /// # Errors
    /// Those of the store.
    async fn used_by(&self, _unit: &mut Unit<'_>, _target: &Stored) -> Result<Vec<UsedBy>, ApiError> {
        Ok(Vec::new())
    }

    /// A filter of its own for kinds with documents.
    ///
    /// # Errors
    /// 400 for a bad value.
    fn keep(&self, _query: &ListQuery) -> Result<Option<Keep>, ApiError> {
        Ok(None)
    }
}

/// Hooks by model; several may stand behind one model and run in order.
#[derive(Clone, Default)]
pub struct HookSet(BTreeMap<&'static str, Vec<Arc<dyn Hooks>>>);

impl HookSet {
    /// Adds hooks for a model.
    pub fn add(&mut self, model: &'static str, hooks: Arc<dyn Hooks>) {
        self.0.entry(model).or_default().push(hooks);
    }

    /// The hooks of a model.
    pub fn of(&self, model: &str) -> Vec<Arc<dyn Hooks>> {
        self.0.get(model).cloned().unwrap_or_default()
    }
}
