//! Events of the parser to nodes: anchors, merge keys, duplicate keys, tags, limits.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::Engine as _;
use indexmap::IndexMap;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag as RawTag};
use serde_json::Value;

use super::node::{Kind, Node, Scalar};
use super::scalar::{self, plain_value};
use crate::error::BlueprintError;
use crate::limits::{MAX_DEPTH, MAX_NODES, MAX_TEXT_BYTES};
use crate::tags::Tag;

type Result<T> = std::result::Result<T, BlueprintError>;

/// Reads one YAML document. An empty text is the null scalar.
pub fn parse(text: &str) -> Result<Node> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(BlueprintError::invalid(format!("The text is longer than {MAX_TEXT_BYTES} bytes")));
    }
    if let Some(line) = text.lines().position(|line| line.contains(is_forbidden)) {
        return Err(BlueprintError::at(line + 1, "Control characters are not allowed"));
    }
    // The parser is foreign code that meets hostile text; should it give up on an assertion, that is one bad file.
    catch_unwind(AssertUnwindSafe(|| compose(text)))
        .unwrap_or_else(|_| Err(BlueprintError::invalid("The text is not valid YAML")))
}

fn is_forbidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\r' | '\u{85}')
}

fn compose(text: &str) -> Result<Node> {
    let mut parser = Parser::new_from_str(text);
    let mut composer = Composer::default();
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| BlueprintError::at(error.marker().line(), error.info()))?;
        composer.accept(event, span.start.line())?;
    }
    Ok(composer
        .root
        .unwrap_or(Node { line: 1, kind: Kind::Scalar(Scalar { text: String::new(), typed: Some(Value::Null) }) }))
}

#[derive(Default)]
struct Composer {
    root: Option<Node>,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    unique: usize,
}

struct Frame {
    line: usize,
    anchor: usize,
    tag: TagName,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { pairs: IndexMap<String, (Node, Node)>, key: Option<MappingKey>, merges: Vec<Node> },
}

enum MappingKey {
    Merge,
    Plain(Node),
}

/// What stands before a node.
#[derive(Clone, PartialEq)]
enum TagName {
    None,
    /// `!`: no type is to be guessed.
    NonSpecific,
    Core(String),
    Local(String),
}

impl TagName {
    fn read(tag: Option<&RawTag>) -> Self {
        let Some(tag) = tag else { return Self::None };
        let full = format!("{}{}", tag.handle, tag.suffix);
        if let Some(name) = full.strip_prefix("tag:yaml.org,2002:") {
            return Self::Core(name.to_owned());
        }
        match full.strip_prefix('!') {
            Some("") => Self::NonSpecific,
            Some(name) => Self::Local(name.to_owned()),
            None => Self::Local(full),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::NonSpecific => "!".to_owned(),
            Self::Core(name) => format!("!!{name}"),
            Self::Local(name) => format!("!{name}"),
        }
    }
}

impl Composer {
    fn accept(&mut self, event: Event<'_>, line: usize) -> Result<()> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(BlueprintError::at(line, "Only one YAML document is expected"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let name = TagName::read(tag.as_deref());
                let node = scalar_node(line, text, style, &name)?;
                self.charge(1, line)?;
                let is_merge = style == ScalarStyle::Plain && name == TagName::None && node.as_text() == Some("<<");
                self.finish(node, anchor, is_merge)
            }
            Event::SequenceStart(anchor, tag) => self.open(line, anchor, tag.as_deref(), Content::Sequence(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                let content = Content::Mapping { pairs: IndexMap::new(), key: None, merges: Vec::new() };
                self.open(line, anchor, tag.as_deref(), content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(line),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(BlueprintError::at(line, "An alias may not refer to a node that contains it"));
                };
                self.charge(node.size(), line)?;
                self.finish(node, 0, false)
            }
            Event::DocumentStart(_) | Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => {
                Ok(())
            }
        }
    }

    fn charge(&mut self, nodes: usize, line: usize) -> Result<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(BlueprintError::at(line, format!("More than {MAX_NODES} values, aliases expanded")));
        }
        Ok(())
    }

    fn open(&mut self, line: usize, anchor: usize, tag: Option<&RawTag>, content: Content) -> Result<()> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(BlueprintError::at(line, format!("Nested more than {MAX_DEPTH} levels deep")));
        }
        self.charge(1, line)?;
        self.stack.push(Frame { line, anchor, tag: TagName::read(tag), content });
        Ok(())
    }

    fn close(&mut self, line: usize) -> Result<()> {
        let Some(frame) = self.stack.pop() else {
            return Err(BlueprintError::at(line, "The text is not valid YAML"));
        };
        let node = match frame.content {
            Content::Sequence(items) => match &frame.tag {
                TagName::None | TagName::NonSpecific => Node { line: frame.line, kind: Kind::Sequence(items) },
                TagName::Core(name) if name == "seq" => Node { line: frame.line, kind: Kind::Sequence(items) },
                TagName::Local(name) => Tag::from_sequence(name, items, frame.line)?,
                TagName::Core(_) => return Err(misplaced(&frame.tag, "a list", frame.line)),
            },
            Content::Mapping { pairs, merges, .. } => {
                let is_plain = match &frame.tag {
                    TagName::None | TagName::NonSpecific => true,
                    TagName::Core(name) => name == "map",
                    TagName::Local(name) => return Err(Tag::on_mapping(name, frame.line)),
                };
                if !is_plain {
                    return Err(misplaced(&frame.tag, "a mapping", frame.line));
                }
                let pairs = self.merged(pairs, merges)?;
                Node { line: frame.line, kind: Kind::Mapping(pairs.into_values().collect()) }
            }
        };
        self.finish(node, frame.anchor, false)
    }

    /// Merged pairs come first; own pairs win over them, earlier merges over later ones.
    fn merged(
        &mut self,
        own: IndexMap<String, (Node, Node)>,
        merges: Vec<Node>,
    ) -> Result<IndexMap<String, (Node, Node)>> {
        if merges.is_empty() {
            return Ok(own);
        }
        let mut result: IndexMap<String, (Node, Node)> = IndexMap::new();
        for source in merges {
            let line = source.line;
            let maps = match source.kind {
                Kind::Mapping(pairs) => vec![pairs],
                Kind::Sequence(items) => items.into_iter().map(mapping_pairs).collect::<Result<_>>()?,
                _ => return Err(BlueprintError::at(line, "A merge key (<<) takes a mapping or a list of mappings")),
            };
            for (key, value) in maps.into_iter().flatten() {
                let fingerprint = self.fingerprint(&key)?;
                result.entry(fingerprint).or_insert((key, value));
            }
        }
        for (fingerprint, pair) in own {
            result.insert(fingerprint, pair);
        }
        Ok(result)
    }

    /// Two keys with the same fingerprint are one key. Keys made by tags are compared when they are evaluated.
    fn fingerprint(&mut self, key: &Node) -> Result<String> {
        match &key.kind {
            Kind::Scalar(scalar) => Ok(scalar.value().to_string()),
            Kind::Tag(_) => {
                self.unique += 1;
                Ok(format!("!{}", self.unique))
            }
            Kind::Sequence(_) | Kind::Mapping(_) => {
                Err(BlueprintError::at(key.line, format!("The key of a mapping cannot be {}", key.kind_name())))
            }
        }
    }

    fn finish(&mut self, node: Node, anchor: usize, is_merge: bool) -> Result<()> {
        if anchor != 0 {
            self.charge(node.size(), node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let taken = match &mut frame.content {
            Content::Sequence(items) => {
                items.push(node);
                return Ok(());
            }
            Content::Mapping { key, .. } => key.take(),
        };
        match taken {
            None => {
                let next = if is_merge { MappingKey::Merge } else { MappingKey::Plain(node) };
                if let Content::Mapping { key, .. } = &mut frame.content {
                    *key = Some(next);
                }
            }
            Some(MappingKey::Merge) => {
                if let Content::Mapping { merges, .. } = &mut frame.content {
                    merges.push(node);
                }
            }
            Some(MappingKey::Plain(written)) => {
                let fingerprint = self.fingerprint(&written)?;
                if let Some(Frame { content: Content::Mapping { pairs, .. }, .. }) = self.stack.last_mut() {
                    pairs.insert(fingerprint, (written, node));
                }
            }
        }
        Ok(())
    }
}

fn mapping_pairs(node: Node) -> Result<Vec<(Node, Node)>> {
    match node.kind {
        Kind::Mapping(pairs) => Ok(pairs),
        _ => Err(BlueprintError::at(node.line, "A merge key (<<) takes a mapping or a list of mappings")),
    }
}

fn misplaced(tag: &TagName, on: &str, line: usize) -> BlueprintError {
    BlueprintError::at(line, format!("The tag {} cannot be used on {on}", tag.written()))
}

fn scalar_node(line: usize, text: Cow<'_, str>, style: ScalarStyle, tag: &TagName) -> Result<Node> {
    let text = text.into_owned();
    let typed = match tag {
        TagName::Local(name) => return Tag::from_scalar(name, text, line),
        TagName::NonSpecific => None,
        TagName::None if style == ScalarStyle::Plain => {
            plain_value(&text).map_err(|error| BlueprintError::at(line, error.0))?
        }
        TagName::None => None,
        TagName::Core(name) => core_value(name, &text, line, tag)?,
    };
    Ok(Node { line, kind: Kind::Scalar(Scalar { text, typed }) })
}

/// A scalar whose type is written out, such as `!!int "12"`.
fn core_value(name: &str, text: &str, line: usize, tag: &TagName) -> Result<Option<Value>> {
    let wrong = || BlueprintError::at(line, format!("{text:?} is not a value of {}", tag.written()));
    let typed = |value: Option<Value>| value.map(Some).ok_or_else(wrong);
    match name {
        "str" => Ok(None),
        "null" => Ok(Some(Value::Null)),
        "bool" => typed(scalar::boolean(text).map(Value::Bool)),
        "int" => typed(scalar::integer(text)),
        "float" => {
            let float = scalar::float(text).map_err(|error| BlueprintError::at(line, error.0))?;
            typed(float.or_else(|| scalar::integer(text)))
        }
        "timestamp" => typed(scalar::timestamp(text).map_err(|error| BlueprintError::at(line, error.0))?),
        "binary" => {
            let compact: String = text.split_ascii_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(compact).map_err(|_| wrong())?;
            let text = String::from_utf8(bytes)
                .map_err(|_| BlueprintError::at(line, "Binary data that is not text cannot be used"))?;
            typed(Some(Value::String(text)))
        }
        _ => Err(BlueprintError::at(line, format!("The tag {} is not known", tag.written()))),
    }
}
