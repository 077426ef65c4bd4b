//! Nodes to JSON values. Everything outside the blueprint is asked for through a `Resolver`.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::percent::{format_percent, truth};
use super::{Lookup, Mode, Query, Shape, Tag};
use crate::error::BlueprintError;
use crate::limits::{MAX_EVALUATED_BYTES, MAX_EVALUATION_DEPTH, MAX_STEPS};
use crate::yaml::{Kind, Node};

type Result<T> = std::result::Result<T, BlueprintError>;

/// Where a blueprint comes from. Only the operator's own files may read other files and the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Shipped with the program or put on disk by its operator.
    Disk,
    /// Sent through the API.
    Submitted,
}

/// What tags need from outside.
#[async_trait]
pub trait Resolver: Send {
    /// The primary key of the first object of the model whose fields have these values.
    async fn find(&mut self, model: &str, fields: Vec<(String, Value)>) -> Result<Option<Value>>;

    /// The API representation of the same object.
    async fn find_object(&mut self, model: &str, fields: Vec<(String, Value)>) -> Result<Option<Value>>;

    /// The primary key of the object that an earlier entry with this id made or found. For a policy binding it is the
    /// key under which the object can be bound. `None` if there is no such entry.
    fn key_of(&self, id: &str, for_policy_binding: bool) -> Result<Option<Value>>;

    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;

    /// The text of a file, `None` if it cannot be read.
    fn file(&self, path: &str) -> Option<String>;
}

/// What a reference named that is not there, or not yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing {
    /// Line of the tag.
    pub line: usize,
    /// The field whose value it is or belongs to.
    pub field: String,
    /// What was looked for.
    pub wanted: Wanted,
}

/// What a reference looks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// The entry with this id.
    Id(String),
    /// An object of a model with these values.
    Object {
        /// `app_label.model`.
        model: String,
        /// Field and value.
        fields: Vec<(String, Value)>,
        /// Whether its key was to be the value, not something read from it.
        is_key: bool,
    },
}

/// Evaluates the nodes of one blueprint. The limits count over its whole life.
pub struct Evaluator<'a> {
    defaults: &'a [(String, Node)],
    context: &'a Map<String, Value>,
    source: Source,
    for_policy_binding: bool,
    loops: Vec<Option<(Value, Value)>>,
    missing: Vec<Missing>,
    depth: usize,
    steps: usize,
    bytes: usize,
}

/// Every level of nesting is on the heap: a deep blueprint must not exhaust the stack.
type Step<'s, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 's>>;

impl<'a> Evaluator<'a> {
    /// `context` wins over `defaults`, the context written in the blueprint.
    pub fn new(defaults: &'a [(String, Node)], context: &'a Map<String, Value>, source: Source) -> Self {
        let (loops, missing) = (Vec::new(), Vec::new());
        Self { defaults, context, source, for_policy_binding: false, loops, missing, depth: 0, steps: 0, bytes: 0 }
    }

    /// Whether `!KeyOf` stands in a policy binding and shall give the key things are bound under.
    pub fn set_for_policy_binding(&mut self, yes: bool) {
        self.for_policy_binding = yes;
    }

    /// The value of a node.
    pub async fn value<R: Resolver>(&mut self, node: &'a Node, resolver: &mut R) -> Result<Value> {
        self.loops.clear();
        self.depth = 0;
        self.evaluate(node, resolver).await
    }

    /// The same for a field: references that lead nowhere are noted, see `take_missing`.
    pub async fn field<R: Resolver>(&mut self, name: &str, node: &'a Node, resolver: &mut R) -> Result<Value> {
        let before = self.missing.len();
        let value = self.value(node, resolver).await;
        self.missing.iter_mut().skip(before).for_each(|missing| name.clone_into(&mut missing.field));
        value
    }

    /// The references since the last call that lead nowhere. What a condition asks for is none.
    pub fn take_missing(&mut self) -> Vec<Missing> {
        std::mem::take(&mut self.missing)
    }

    /// The text of a node: what is written, or what a tag gives.
    pub async fn text<R: Resolver>(&mut self, node: &'a Node, what: &str, resolver: &mut R) -> Result<String> {
        self.loops.clear();
        self.depth = 0;
        self.name(node, what, resolver).await
    }

    /// Whether a node's value counts as true.
    pub async fn is_true<R: Resolver>(&mut self, node: &'a Node, resolver: &mut R) -> Result<bool> {
        self.loops.clear();
        self.depth = 0;
        self.holds(node, resolver).await
    }

    /// A condition may ask for what is not there.
    async fn holds<R: Resolver>(&mut self, node: &'a Node, resolver: &mut R) -> Result<bool> {
        let before = self.missing.len();
        let value = self.evaluate(node, resolver).await?;
        self.missing.truncate(before);
        Ok(truth(&value))
    }

    fn miss(&mut self, line: usize, wanted: Wanted) {
        self.missing.push(Missing { line, field: String::new(), wanted });
    }

    fn charge(&mut self, steps: usize, bytes: usize, line: usize) -> Result<()> {
        self.steps = self.steps.saturating_add(steps);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.steps > MAX_STEPS || self.bytes > MAX_EVALUATED_BYTES {
            return Err(BlueprintError::at(line, "The blueprint grows too large when it is evaluated"));
        }
        Ok(())
    }

    fn charge_value(&mut self, value: &Value, line: usize) -> Result<()> {
        let (steps, bytes) = weigh(value);
        self.charge(steps, bytes, line)
    }

    fn evaluate<'s, R: Resolver>(&'s mut self, node: &'a Node, resolver: &'s mut R) -> Step<'s, Value> {
        Box::pin(async move {
            if self.depth >= MAX_EVALUATION_DEPTH {
                return Err(BlueprintError::at(node.line, "Values refer to each other too deeply"));
            }
            self.depth += 1;
            let value = match &node.kind {
                Kind::Scalar(scalar) => {
                    self.charge(1, scalar.text.len(), node.line)?;
                    scalar.value()
                }
                Kind::Sequence(items) => Value::Array(Box::pin(self.list(items, node.line, resolver)).await?),
                Kind::Mapping(pairs) => Box::pin(self.mapping(pairs, node.line, resolver)).await?,
                Kind::Tag(tag) => {
                    self.charge(1, 0, node.line)?;
                    Box::pin(self.tag(tag, node.line, resolver)).await.map_err(|error| error.or_at(node.line))?
                }
            };
            self.depth -= 1;
            Ok(value)
        })
    }

    async fn list<R: Resolver>(&mut self, items: &'a [Node], line: usize, resolver: &mut R) -> Result<Vec<Value>> {
        self.charge(1, 0, line)?;
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(self.evaluate(item, resolver).await?);
        }
        Ok(values)
    }

    async fn mapping<R: Resolver>(
        &mut self,
        pairs: &'a [(Node, Node)],
        line: usize,
        resolver: &mut R,
    ) -> Result<Value> {
        self.charge(1, 0, line)?;
        let mut map = Map::new();
        for (key, value) in pairs {
            let name = key_text(&self.evaluate(key, resolver).await?, key.line)?;
            map.insert(name, self.evaluate(value, resolver).await?);
        }
        Ok(Value::Object(map))
    }

    async fn name<R: Resolver>(&mut self, node: &'a Node, what: &str, resolver: &mut R) -> Result<String> {
        if let Some(text) = node.as_text() {
            self.charge(1, text.len(), node.line)?;
            return Ok(text.to_owned());
        }
        match self.evaluate(node, resolver).await? {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(BlueprintError::at(node.line, format!("{what} must be text, not {}", kind_of(&other)))),
        }
    }

    async fn tag<R: Resolver>(&mut self, tag: &'a Tag, line: usize, resolver: &mut R) -> Result<Value> {
        match tag {
            Tag::KeyOf(id) => self.key_of(id, line, resolver),
            Tag::Find(query) => {
                let (model, fields) = Box::pin(self.query(query, resolver)).await?;
                let found = resolver.find(&model, fields.clone()).await?;
                if found.is_none() {
                    self.miss(line, Wanted::Object { model, fields, is_key: true });
                }
                Ok(found.unwrap_or(Value::Null))
            }
            Tag::FindObject(query) => {
                let (model, fields) = Box::pin(self.query(query, resolver)).await?;
                let found = resolver.find_object(&model, fields.clone()).await?;
                if found.is_none() {
                    self.miss(line, Wanted::Object { model, fields, is_key: false });
                }
                let found = found.unwrap_or(Value::Null);
                self.charge_value(&found, line)?;
                Ok(found)
            }
            Tag::Context(lookup) => Box::pin(self.context(lookup, line, resolver)).await,
            Tag::Env(lookup) => Box::pin(self.outside(lookup, "!Env", line, resolver)).await,
            Tag::File(lookup) => Box::pin(self.outside(lookup, "!File", line, resolver)).await,
            Tag::Format { template, arguments } => {
                let template = Box::pin(self.name(template, "The text of !Format", resolver)).await?;
                let arguments = Box::pin(self.list(arguments, line, resolver)).await?;
                let text = format_percent(&template, &arguments, self.bytes_left())
                    .map_err(|problem| BlueprintError::at(line, format!("!Format: {problem}")))?;
                self.charge(1, text.len(), line)?;
                Ok(Value::String(text))
            }
            Tag::If { condition, branches } => {
                let holds = Box::pin(self.holds(condition, resolver)).await?;
                match branches {
                    None => Ok(Value::Bool(holds)),
                    Some((then, otherwise)) => self.evaluate(if holds { then } else { otherwise }, resolver).await,
                }
            }
            Tag::Condition { mode, values } => {
                let before = self.missing.len();
                let values = Box::pin(self.list(values, line, resolver)).await?;
                self.missing.truncate(before);
                let true_count = values.iter().filter(|value| truth(value)).count();
                Ok(Value::Bool(mode.holds(true_count, values.len())))
            }
            Tag::Enumerate { items, shape, body } => {
                Box::pin(self.enumerate(items, *shape, body, line, resolver)).await
            }
            Tag::Index(depth) => {
                let index = self.current(*depth, line)?.0.clone();
                self.charge_value(&index, line)?;
                Ok(index)
            }
            Tag::Value(depth) => {
                // Weighed before it is copied: a large item may be asked for in a long loop.
                let (steps, bytes) = weigh(&self.current(*depth, line)?.1);
                self.charge(steps, bytes, line)?;
                Ok(self.current(*depth, line)?.1.clone())
            }
            Tag::AtIndex { object, key, default } => {
                let object = self.evaluate(object, resolver).await?;
                let key = self.evaluate(key, resolver).await?;
                match (at_index(object, &key), default) {
                    (Some(value), _) => Ok(value),
                    (None, Some(default)) => self.evaluate(default, resolver).await,
                    (None, None) => Err(BlueprintError::at(line, format!("!AtIndex: there is no element {key}"))),
                }
            }
            Tag::ParseJson(text) => {
                let text = Box::pin(self.name(text, "The text of !ParseJSON", resolver)).await?;
                let value = serde_json::from_str(&text)
                    .map_err(|error| BlueprintError::at(line, format!("!ParseJSON: {error}")))?;
                self.charge_value(&value, line)?;
                Ok(value)
            }
        }
    }

    fn key_of<R: Resolver>(&mut self, id: &str, line: usize, resolver: &R) -> Result<Value> {
        let found = resolver.key_of(id, self.for_policy_binding)?;
        found.ok_or_else(|| {
            self.miss(line, Wanted::Id(id.to_owned()));
            BlueprintError::at(line, format!("!KeyOf {id}: no entry was applied under this id"))
        })
    }

    fn bytes_left(&self) -> usize {
        MAX_EVALUATED_BYTES.saturating_sub(self.bytes)
    }

    async fn query<R: Resolver>(
        &mut self,
        query: &'a Query,
        resolver: &mut R,
    ) -> Result<(String, Vec<(String, Value)>)> {
        let model = self.name(&query.model, "A model", resolver).await?.to_ascii_lowercase();
        let mut fields = Vec::with_capacity(query.fields.len());
        for (field, value) in &query.fields {
            let field = self.name(field, "A field name", resolver).await?;
            fields.push((field, self.evaluate(value, resolver).await?));
        }
        Ok((model, fields))
    }

    async fn context<R: Resolver>(&mut self, lookup: &'a Lookup, line: usize, resolver: &mut R) -> Result<Value> {
        let key = self.name(&lookup.key, "A context key", resolver).await?;
        if let Some(value) = self.context.get(&key) {
            self.charge_value(value, line)?;
            return Ok(value.clone());
        }
        let defaults = self.defaults;
        match defaults.iter().rev().find(|(name, _)| *name == key) {
            Some((_, node)) => self.evaluate(node, resolver).await,
            None => self.fallback(lookup, resolver).await,
        }
    }

    async fn fallback<R: Resolver>(&mut self, lookup: &'a Lookup, resolver: &mut R) -> Result<Value> {
        match &lookup.default {
            Some(default) => self.evaluate(default, resolver).await,
            None => Ok(Value::Null),
        }
    }

    async fn outside<R: Resolver>(
        &mut self,
        lookup: &'a Lookup,
        tag: &str,
        line: usize,
        resolver: &mut R,
    ) -> Result<Value> {
        if self.source == Source::Submitted {
            return Err(BlueprintError::at(line, format!("{tag} works only in blueprints on the server's disk")));
        }
        let name = self.name(&lookup.key, "A name", resolver).await?;
        let found = if tag == "!Env" {
            resolver.env(&name).filter(|text| !text.is_empty())
        } else {
            resolver.file(&name).map(|text| text.trim().to_owned())
        };
        match found {
            Some(text) => {
                self.charge(1, text.len(), line)?;
                Ok(Value::String(text))
            }
            None => self.fallback(lookup, resolver).await,
        }
    }

    fn current(&self, depth: usize, line: usize) -> Result<&(Value, Value)> {
        let position = self.loops.len().checked_sub(depth).and_then(|n| n.checked_sub(1));
        match position.and_then(|position| self.loops.get(position)) {
            Some(Some(pair)) => Ok(pair),
            Some(None) => Err(BlueprintError::at(line, "The items of !Enumerate cannot refer to themselves")),
            None => Err(BlueprintError::at(line, format!("There is no !Enumerate {depth} levels up from here"))),
        }
    }

    async fn enumerate<R: Resolver>(
        &mut self,
        items: &'a Node,
        shape: Shape,
        body: &'a Node,
        line: usize,
        resolver: &mut R,
    ) -> Result<Value> {
        // Depths count from the tag itself, so its own loop exists already while the items are evaluated.
        self.loops.push(None);
        let source = self.evaluate(items, resolver).await?;
        let pairs: Vec<(Value, Value)> = match source {
            Value::Array(values) => values.into_iter().enumerate().map(|(n, value)| (Value::from(n), value)).collect(),
            Value::Object(map) => map.into_iter().map(|(key, value)| (Value::String(key), value)).collect(),
            Value::String(text) => {
                self.charge(text.len(), text.len(), line)?;
                text.chars().enumerate().map(|(n, c)| (Value::from(n), Value::String(c.into()))).collect()
            }
            other => {
                return Err(BlueprintError::at(line, format!("!Enumerate cannot go through {}", kind_of(&other))));
            }
        };
        let mut list = Vec::new();
        let mut map = Map::new();
        for pair in pairs {
            if let Some(current) = self.loops.last_mut() {
                *current = Some(pair);
            }
            let value = self.evaluate(body, resolver).await?;
            match shape {
                Shape::Sequence => list.push(value),
                Shape::Mapping => merge_into(&mut map, value, line)?,
            }
        }
        self.loops.pop();
        Ok(match shape {
            Shape::Sequence => Value::Array(list),
            Shape::Mapping => Value::Object(map),
        })
    }
}

impl Mode {
    fn holds(self, true_count: usize, count: usize) -> bool {
        match self {
            Self::And => true_count == count,
            Self::Nand => true_count != count,
            Self::Or => true_count > 0,
            Self::Nor => true_count == 0,
            Self::Xor => !true_count.is_multiple_of(2),
            Self::Xnor => true_count.is_multiple_of(2),
        }
    }
}

fn merge_into(map: &mut Map<String, Value>, value: Value, line: usize) -> Result<()> {
    match value {
        Value::Object(more) => {
            map.extend(more);
            Ok(())
        }
        Value::Array(items) => {
            let [key, value]: [Value; 2] = items
                .try_into()
                .map_err(|_| BlueprintError::at(line, "!Enumerate MAP needs bodies of [key, value]"))?;
            map.insert(key_text(&key, line)?, value);
            Ok(())
        }
        other => {
            let made = kind_of(&other);
            Err(BlueprintError::at(
                line,
                format!("!Enumerate MAP needs bodies of [key, value] or mappings, not {made}"),
            ))
        }
    }
}

fn at_index(object: Value, key: &Value) -> Option<Value> {
    match object {
        Value::Array(mut items) => {
            let position = key.as_i64()?;
            let length = i64::try_from(items.len()).ok()?;
            let position = if position < 0 { position.checked_add(length)? } else { position };
            let position = usize::try_from(position).ok().filter(|n| *n < items.len())?;
            Some(items.swap_remove(position))
        }
        Value::Object(mut map) => map.swap_remove(&key_text(key, 0).ok()?),
        _ => None,
    }
}

/// A mapping key as JSON has it: numbers, booleans and null by their JSON text.
fn key_text(key: &Value, line: usize) -> Result<String> {
    match key {
        Value::String(text) => Ok(text.clone()),
        Value::Array(_) | Value::Object(_) => {
            Err(BlueprintError::at(line, format!("The key of a mapping cannot be {}", kind_of(key))))
        }
        other => Ok(other.to_string()),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn weigh(value: &Value) -> (usize, usize) {
    match value {
        Value::String(text) => (1, text.len()),
        Value::Array(items) => items.iter().map(weigh).fold((1, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        Value::Object(map) => map.iter().fold((1, 0), |sum, (key, value)| {
            let inner = weigh(value);
            (sum.0 + inner.0, sum.1 + inner.1 + key.len())
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => (1, 0),
    }
}
