//! Documents to YAML text, for export. What is written reads back as the same values, here and with PyYAML.

use std::fmt::Write as _;

use serde_json::{Number, Value};

use crate::entry::State;
use crate::format::Metadata;
use crate::yaml::plain_value;

#[cfg(test)]
mod tests;

/// YAML readers take a key on one line only up to this many characters.
const MAX_SIMPLE_KEY: usize = 128;

/// A value to be written, possibly with tags in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Plain data.
    Value(Value),
    /// The primary key of another entry.
    KeyOf(String),
    /// What the context of the import says.
    Context(String),
    /// The primary key of an object that is not part of the document.
    Find {
        /// `app_label.model`.
        model: String,
        /// What identifies it.
        fields: Vec<(String, Output)>,
    },
    /// A list with tags in it.
    Sequence(Vec<Output>),
    /// A mapping with tags in it.
    Mapping(Vec<(String, Output)>),
}

impl From<Value> for Output {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// A document to be written.
#[derive(Clone, Debug, Default)]
pub struct OutputDocument {
    /// Name and labels.
    pub metadata: Option<Metadata>,
    /// In the order in which they are to be applied.
    pub entries: Vec<OutputEntry>,
}

/// An entry to be written.
#[derive(Clone, Debug)]
pub struct OutputEntry {
    /// `app_label.model`.
    pub model: String,
    /// Name for `!KeyOf`.
    pub id: Option<String>,
    /// Left out if it is `present`.
    pub state: State,
    /// How the object is looked up.
    pub identifiers: Vec<(String, Output)>,
    /// What it shall have.
    pub attrs: Vec<(String, Output)>,
}

/// The document as text.
pub fn write(document: &OutputDocument) -> String {
    let mut root = vec![("version".to_owned(), Output::Value(Value::from(1)))];
    if let Some(metadata) = &document.metadata {
        let mut pairs = vec![("name".to_owned(), text(&metadata.name))];
        if !metadata.labels.is_empty() {
            let labels = metadata.labels.iter().map(|(key, value)| (key.clone(), text(value))).collect();
            pairs.push(("labels".to_owned(), Output::Mapping(labels)));
        }
        root.push(("metadata".to_owned(), Output::Mapping(pairs)));
    }
    let entries = document.entries.iter().map(OutputEntry::as_output).collect();
    root.push(("entries".to_owned(), Output::Sequence(entries)));
    let mut writer = Writer { out: String::new() };
    writer.mapping(&root, 0, false);
    writer.out
}

fn text(text: &str) -> Output {
    Output::Value(Value::String(text.to_owned()))
}

impl OutputEntry {
    fn as_output(&self) -> Output {
        let mut pairs = vec![("model".to_owned(), text(&self.model))];
        if let Some(id) = &self.id {
            pairs.push(("id".to_owned(), text(id)));
        }
        let state = match self.state {
            State::Present => None,
            State::Created => Some("created"),
            State::MustCreated => Some("must_created"),
            State::Absent => Some("absent"),
        };
        if let Some(state) = state {
            pairs.push(("state".to_owned(), text(state)));
        }
        if !self.identifiers.is_empty() {
            pairs.push(("identifiers".to_owned(), Output::Mapping(self.identifiers.clone())));
        }
        if !self.attrs.is_empty() {
            pairs.push(("attrs".to_owned(), Output::Mapping(self.attrs.clone())));
        }
        Output::Mapping(pairs)
    }
}

struct Writer {
    out: String,
}

impl Writer {
    fn indent(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    /// Pairs, one per line. `started`: the first line is indented already, by a dash.
    fn mapping(&mut self, pairs: &[(String, Output)], indent: usize, mut started: bool) {
        for (key, value) in pairs {
            if !started {
                self.indent(indent);
            }
            started = false;
            let key = scalar_text(key);
            if key.len() > MAX_SIMPLE_KEY {
                self.out.push_str("? ");
                self.out.push_str(&key);
                self.out.push('\n');
                self.indent(indent);
            } else {
                self.out.push_str(&key);
            }
            self.out.push(':');
            self.after_indicator(value, indent, false);
        }
    }

    fn sequence(&mut self, items: &[Output], indent: usize, mut started: bool) {
        for item in items {
            if !started {
                self.indent(indent);
            }
            started = false;
            self.out.push('-');
            self.after_indicator(item, indent, true);
        }
    }

    /// What follows `key:` or `-`. Collections in a list start on the line of the dash.
    fn after_indicator(&mut self, value: &Output, indent: usize, in_list: bool) {
        let value = expanded(value);
        match value.as_ref() {
            Output::Mapping(pairs) if !pairs.is_empty() => {
                self.out.push(if in_list { ' ' } else { '\n' });
                self.mapping(pairs, indent + 2, in_list);
            }
            Output::Sequence(items) if !items.is_empty() => {
                self.out.push(if in_list { ' ' } else { '\n' });
                self.sequence(items, indent + 2, in_list);
            }
            Output::Value(Value::String(text)) if is_literal(text) => self.literal(text, indent + 2),
            other => {
                self.out.push(' ');
                self.flow(other);
                self.out.push('\n');
            }
        }
    }

    fn literal(&mut self, text: &str, indent: usize) {
        let body = text.trim_end_matches('\n');
        let chomping = match text.len() - body.len() {
            0 => "-",
            1 => "",
            _ => "+",
        };
        let _ = writeln!(self.out, " |{chomping}");
        let kept = if chomping == "+" { text.strip_suffix('\n').unwrap_or(text) } else { body };
        for line in kept.split('\n') {
            if !line.is_empty() {
                self.indent(indent);
                self.out.push_str(line);
            }
            self.out.push('\n');
        }
    }

    /// One line. Collections in flow style, as arguments of tags or when empty.
    fn flow(&mut self, value: &Output) {
        match expanded(value).as_ref() {
            Output::Value(Value::Null) => self.out.push_str("null"),
            Output::Value(Value::Bool(yes)) => self.out.push_str(if *yes { "true" } else { "false" }),
            Output::Value(Value::Number(number)) => self.out.push_str(&number_text(number)),
            Output::Value(Value::String(text)) => self.out.push_str(&scalar_text(text)),
            Output::Value(_) => self.out.push_str("null"),
            Output::KeyOf(id) => {
                let _ = write!(self.out, "!KeyOf {}", scalar_text(id));
            }
            Output::Context(key) => {
                let _ = write!(self.out, "!Context {}", scalar_text(key));
            }
            Output::Find { model, fields } => {
                let _ = write!(self.out, "!Find [{}", scalar_text(model));
                for (field, value) in fields {
                    let _ = write!(self.out, ", [{}, ", scalar_text(field));
                    self.flow(value);
                    self.out.push(']');
                }
                self.out.push(']');
            }
            Output::Sequence(items) => {
                self.out.push('[');
                for (n, item) in items.iter().enumerate() {
                    self.out.push_str(if n == 0 { "" } else { ", " });
                    self.flow(item);
                }
                self.out.push(']');
            }
            Output::Mapping(pairs) => {
                self.out.push('{');
                for (n, (key, value)) in pairs.iter().enumerate() {
                    let explicit = if scalar_text(key).len() > MAX_SIMPLE_KEY { "? " } else { "" };
                    let _ = write!(self.out, "{}{explicit}{}: ", if n == 0 { "" } else { ", " }, scalar_text(key));
                    self.flow(value);
                }
                self.out.push('}');
            }
        }
    }
}

/// JSON collections as output collections, so that each is handled once.
fn expanded(value: &Output) -> std::borrow::Cow<'_, Output> {
    use std::borrow::Cow;
    match value {
        Output::Value(Value::Array(items)) => {
            Cow::Owned(Output::Sequence(items.iter().cloned().map(Output::Value).collect()))
        }
        Output::Value(Value::Object(map)) => Cow::Owned(Output::Mapping(
            map.iter().map(|(key, value)| (key.clone(), Output::Value(value.clone()))).collect(),
        )),
        other => Cow::Borrowed(other),
    }
}

/// YAML 1.1 sees a float only with a dot, and an exponent only with a sign.
fn number_text(number: &Number) -> String {
    let text = number.to_string();
    if !number.is_f64() {
        return text;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text.as_str(), None), |(m, e)| (m, Some(e)));
    let dot = if mantissa.contains('.') { "" } else { ".0" };
    match exponent {
        None => format!("{mantissa}{dot}"),
        Some(exponent) if exponent.starts_with(['-', '+']) => format!("{mantissa}{dot}e{exponent}"),
        Some(exponent) => format!("{mantissa}{dot}e+{exponent}"),
    }
}

/// Whether a text can stand as a literal block: several lines, none of them ambiguous.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
        && text.split('\n').all(|line| line.is_empty() || !line.trim_matches([' ', '\t']).is_empty())
}

fn is_printable(c: char) -> bool {
    let is_break = matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    let is_mark = matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    !c.is_control() && !is_break && !is_mark
}

/// Plain where nobody can take it for something else, else in double quotes.
fn scalar_text(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

fn is_plain(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/'));
    let inside =
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '@' | ' ' | '-' | '+'));
    starts && inside && !text.ends_with(' ') && plain_value(text) == Ok(None)
}
