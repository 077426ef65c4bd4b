//! The tags of a blueprint: what they are called and which arguments they take. `evaluate` gives them their value.

mod evaluate;
mod percent;

#[cfg(test)]
mod tests;

pub use evaluate::{Evaluator, Missing, Resolver, Source, Wanted};
pub use percent::{format_percent, python_str};

use crate::error::BlueprintError;
use crate::yaml::{Kind, Node};

type Result<T> = std::result::Result<T, BlueprintError>;

/// A tag with its arguments, not yet evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum Tag {
    /// The primary key of another entry of this blueprint.
    KeyOf(String),
    /// The primary key of the first object that matches.
    Find(Query),
    /// The API representation of the first object that matches.
    FindObject(Query),
    /// A value of the context.
    Context(Lookup),
    /// An environment variable.
    Env(Lookup),
    /// The text of a file.
    File(Lookup),
    /// `%` formatting.
    Format {
        /// The text with conversions.
        template: Node,
        /// One for each conversion.
        arguments: Vec<Node>,
    },
    /// One of two values, or the condition as a boolean.
    If {
        /// What decides.
        condition: Node,
        /// Then and else.
        branches: Option<(Node, Node)>,
    },
    /// Several values combined into a boolean.
    Condition {
        /// How to combine.
        mode: Mode,
        /// At least one.
        values: Vec<Node>,
    },
    /// A list or mapping made by repeating a body.
    Enumerate {
        /// A list, mapping or text.
        items: Node,
        /// What is made.
        shape: Shape,
        /// Evaluated for each item.
        body: Node,
    },
    /// Position or key of the current item of an enclosing `!Enumerate`.
    Index(usize),
    /// The current item of an enclosing `!Enumerate`.
    Value(usize),
    /// One element of a list or mapping.
    AtIndex {
        /// List or mapping.
        object: Node,
        /// Position or key.
        key: Node,
        /// When there is no such element.
        default: Option<Node>,
    },
    /// JSON text as a value.
    ParseJson(Node),
}

/// A model and the fields an object must have.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// `app_label.model`.
    pub model: Node,
    /// Field and value.
    pub fields: Vec<(Node, Node)>,
}

/// A name and what to use when there is nothing under it.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// The name.
    pub key: Node,
    /// Null if not given.
    pub default: Option<Node>,
}

/// How `!Condition` combines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All.
    And,
    /// Not all.
    Nand,
    /// At least one.
    Or,
    /// None.
    Nor,
    /// An odd number.
    Xor,
    /// An even number.
    Xnor,
}

/// What `!Enumerate` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A list.
    Sequence,
    /// A mapping.
    Mapping,
}

const NAMES: [&str; 14] = [
    "KeyOf",
    "Find",
    "FindObject",
    "Context",
    "Env",
    "File",
    "Format",
    "If",
    "Condition",
    "Enumerate",
    "Index",
    "Value",
    "AtIndex",
    "ParseJSON",
];

impl Tag {
    /// A tag written on a single value: `!KeyOf flow`.
    pub(crate) fn from_scalar(name: &str, text: String, line: usize) -> Result<Node> {
        let argument = || Node::text(line, text.clone());
        let lookup = || Lookup { key: argument(), default: None };
        let tag = match name {
            "KeyOf" if text.is_empty() => return Err(BlueprintError::at(line, "!KeyOf needs the id of an entry")),
            "KeyOf" => Self::KeyOf(text.clone()),
            "Context" => Self::Context(lookup()),
            "Env" => Self::Env(lookup()),
            "File" => Self::File(lookup()),
            "Format" => Self::Format { template: argument(), arguments: Vec::new() },
            "Index" => Self::Index(depth(name, &text, line)?),
            "Value" => Self::Value(depth(name, &text, line)?),
            "ParseJSON" => Self::ParseJson(argument()),
            _ if NAMES.contains(&name) => return Err(BlueprintError::at(line, format!("!{name} takes a list"))),
            _ => return Err(unknown(name, line)),
        };
        Ok(Node { line, kind: Kind::Tag(Box::new(tag)) })
    }

    /// A tag written on a list: `!Find [model, [field, value]]`.
    pub(crate) fn from_sequence(name: &str, items: Vec<Node>, line: usize) -> Result<Node> {
        let mut items = items.into_iter();
        let wrong = |needs: &str| BlueprintError::at(line, format!("!{name} {needs}"));
        let tag = match name {
            "Find" => Self::Find(query(name, &mut items, line)?),
            "FindObject" => Self::FindObject(query(name, &mut items, line)?),
            "Context" => Self::Context(lookup(name, &mut items, line)?),
            "Env" => Self::Env(lookup(name, &mut items, line)?),
            "File" => Self::File(lookup(name, &mut items, line)?),
            "Format" => {
                let template = items.next().ok_or_else(|| wrong("needs a text"))?;
                Self::Format { template, arguments: items.collect() }
            }
            "If" => {
                let condition = items.next().ok_or_else(|| wrong("needs a condition"))?;
                let branches = match (items.next(), items.next(), items.next()) {
                    (None, ..) => None,
                    (Some(then), Some(otherwise), None) => Some((then, otherwise)),
                    _ => return Err(wrong("takes one or three arguments: condition, value if true, value if false")),
                };
                Self::If { condition, branches }
            }
            "Condition" => {
                let mode = items.next().as_ref().and_then(Node::as_text).and_then(Mode::read);
                let mode = mode.ok_or_else(|| wrong("needs one of AND, NAND, OR, NOR, XOR, XNOR first"))?;
                let values: Vec<Node> = items.collect();
                if values.is_empty() {
                    return Err(wrong("needs at least one value"));
                }
                Self::Condition { mode, values }
            }
            "Enumerate" => enumerate(&mut items, line)?,
            "AtIndex" => match (items.next(), items.next(), items.next(), items.next()) {
                (Some(object), Some(key), default, None) => Self::AtIndex { object, key, default },
                _ => return Err(wrong("takes two or three arguments: object, key, default")),
            },
            "ParseJSON" => match (items.next(), items.next()) {
                (Some(text), None) => Self::ParseJson(text),
                _ => return Err(wrong("takes one text")),
            },
            _ if NAMES.contains(&name) => return Err(wrong("takes a single value")),
            _ => return Err(unknown(name, line)),
        };
        Ok(Node { line, kind: Kind::Tag(Box::new(tag)) })
    }

    /// No tag takes a mapping.
    pub(crate) fn on_mapping(name: &str, line: usize) -> BlueprintError {
        if NAMES.contains(&name) {
            return BlueprintError::at(line, format!("!{name} cannot be used on a mapping"));
        }
        unknown(name, line)
    }

    /// The nodes inside, for counting.
    pub(crate) fn arguments(&self) -> Vec<&Node> {
        match self {
            Self::KeyOf(_) | Self::Index(_) | Self::Value(_) => Vec::new(),
            Self::Find(query) | Self::FindObject(query) => {
                let pairs = query.fields.iter().flat_map(|(field, value)| [field, value]);
                std::iter::once(&query.model).chain(pairs).collect()
            }
            Self::Context(lookup) | Self::Env(lookup) | Self::File(lookup) => {
                std::iter::once(&lookup.key).chain(&lookup.default).collect()
            }
            Self::Format { template, arguments } => std::iter::once(template).chain(arguments).collect(),
            Self::If { condition, branches: None } => vec![condition],
            Self::If { condition, branches: Some((then, otherwise)) } => vec![condition, then, otherwise],
            Self::Condition { values, .. } => values.iter().collect(),
            Self::Enumerate { items, body, .. } => vec![items, body],
            Self::AtIndex { object, key, default } => [object, key].into_iter().chain(default).collect(),
            Self::ParseJson(text) => vec![text],
        }
    }
}

impl Mode {
    fn read(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "AND" => Self::And,
            "NAND" => Self::Nand,
            "OR" => Self::Or,
            "NOR" => Self::Nor,
            "XOR" => Self::Xor,
            "XNOR" => Self::Xnor,
            _ => return None,
        })
    }
}

fn unknown(name: &str, line: usize) -> BlueprintError {
    BlueprintError::at(line, format!("The tag !{name} is not known"))
}

fn depth(name: &str, text: &str, line: usize) -> Result<usize> {
    text.parse().map_err(|_| BlueprintError::at(line, format!("!{name} takes a depth: 0 or more")))
}

fn query(name: &str, items: &mut impl Iterator<Item = Node>, line: usize) -> Result<Query> {
    let model = items.next().ok_or_else(|| BlueprintError::at(line, format!("!{name} needs a model")))?;
    let fields = items.map(|item| pair(name, item)).collect::<Result<Vec<_>>>()?;
    if fields.is_empty() {
        return Err(BlueprintError::at(line, format!("!{name} needs at least one [field, value]")));
    }
    Ok(Query { model, fields })
}

fn pair(name: &str, node: Node) -> Result<(Node, Node)> {
    let line = node.line;
    if let Kind::Sequence(items) = node.kind {
        let mut items = items.into_iter();
        if let (Some(field), Some(value), None) = (items.next(), items.next(), items.next()) {
            return Ok((field, value));
        }
    }
    Err(BlueprintError::at(line, format!("!{name} takes pairs of [field, value]")))
}

fn lookup(name: &str, items: &mut impl Iterator<Item = Node>, line: usize) -> Result<Lookup> {
    match (items.next(), items.next(), items.next()) {
        (Some(key), default, None) => Ok(Lookup { key, default }),
        _ => Err(BlueprintError::at(line, format!("!{name} takes a name and optionally a default"))),
    }
}

fn enumerate(items: &mut impl Iterator<Item = Node>, line: usize) -> Result<Tag> {
    let (Some(source), Some(shape), Some(body), None) = (items.next(), items.next(), items.next(), items.next()) else {
        return Err(BlueprintError::at(line, "!Enumerate takes three arguments: items, SEQ or MAP, body"));
    };
    let shape = match shape.as_text().map(str::to_ascii_uppercase).as_deref() {
        Some("SEQ") => Shape::Sequence,
        Some("MAP") => Shape::Mapping,
        _ => return Err(BlueprintError::at(shape.line, "!Enumerate makes either SEQ or MAP")),
    };
    Ok(Tag::Enumerate { items: source, shape, body })
}
