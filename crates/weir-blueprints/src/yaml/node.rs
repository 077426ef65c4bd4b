//! The tree a blueprint is read into.

use serde_json::Value;

use crate::tags::Tag;

/// One node of the text, with the line it starts at.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Line, counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a node can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the text; no key occurs twice.
    Mapping(Vec<(Node, Node)>),
    /// One of the blueprint tags with its arguments.
    Tag(Box<Tag>),
}

/// A single value, with the text it was written as: tags take their names from the text (`!KeyOf 010`).
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The text as written, after unquoting and folding.
    pub text: String,
    /// The value if it is not simply the text.
    pub typed: Option<Value>,
}

impl Scalar {
    /// The value as JSON.
    pub fn value(&self) -> Value {
        self.typed.clone().unwrap_or_else(|| Value::String(self.text.clone()))
    }
}

impl Node {
    /// A plain text node.
    pub fn text(line: usize, text: impl Into<String>) -> Self {
        Self { line, kind: Kind::Scalar(Scalar { text: text.into(), typed: None }) }
    }

    /// The written text of a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether this is the null scalar (also an omitted value).
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(Scalar { typed: Some(Value::Null), .. }))
    }

    /// How many nodes this is, itself included. Tags count their arguments.
    pub fn size(&self) -> usize {
        match &self.kind {
            Kind::Scalar(_) => 1,
            Kind::Sequence(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Kind::Mapping(pairs) => 1 + pairs.iter().map(|(key, value)| key.size() + value.size()).sum::<usize>(),
            Kind::Tag(tag) => 1 + tag.arguments().into_iter().map(Self::size).sum::<usize>(),
        }
    }

    /// What it is called in messages.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(_) => "a single value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
            Kind::Tag(_) => "a tag",
        }
    }
}
