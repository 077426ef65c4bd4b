//! The field table of a resource, read once from the derived schema.

use crate::resource::numbered_key;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// What happens to the referring object when the target is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// The referring object goes too.
    Cascade,
    /// The field becomes null.
    SetNull,
    /// The entry leaves the list.
    Drop,
}

impl OnDelete {
    /// The action named by `used_by`.
    pub fn used_by_action(self) -> &'static str {
        match self {
            Self::Cascade => "cascade",
            Self::SetNull => "set_null",
            Self::Drop => "cascade_many",
        }
    }
    /// The word stored with a reference.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cascade => "cascade",
            Self::SetNull => "set_null",
            Self::Drop => "drop",
        }
    }
}

/// A field that points to another object.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Model or family of the target.
    pub model: String,
    /// Deletion rule.
    pub on_delete: OnDelete,
    /// The target is a document known by a number.
    pub is_numbered: bool,
}

impl Reference {
    /// The key of the target that a value names, as documents are indexed by it.
    pub fn target(&self, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if self.is_numbered => Some(numbered_key(number.as_i64()?)?.to_string()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// The type of a value on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `true` / `false`.
    Bool,
    /// Whole number within bounds.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Number.
    Float,
    /// Text; `blank` tells whether the empty text is allowed.
    Text {
        /// Empty text allowed.
        blank: bool,
        /// Longest text, characters.
        max: Option<usize>,
        /// Regular expression the whole text must match.
        pattern: Option<String>,
        /// `email`, `uri`, `expression`, `duration`, … or none.
        format: Option<String>,
    },
    /// UUID text.
    Uuid,
    /// RFC 3339 instant.
    DateTime,
    /// One of these texts.
    Choice(Vec<String>),
    /// Any JSON object.
    Object,
    /// Any JSON.
    Any,
    /// A list of values.
    List(Box<Kind>),
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Field {
    /// Wire name.
    pub name: String,
    /// Help text, from the doc comment.
    pub help: String,
    /// Type of the value.
    pub kind: Kind,
    /// No default: POST and PUT must name it.
    pub required: bool,
    /// `null` allowed.
    pub nullable: bool,
    /// Never given back.
    pub write_only: bool,
    /// Never taken from a client.
    pub read_only: bool,
    /// Lists only: the empty list is refused.
    pub non_empty: bool,
    /// Value when POST or PUT leave it out.
    pub default: Value,
    /// Set when the field points to another object (or, for lists, its entries do).
    pub reference: Option<Reference>,
}

impl Field {
    /// Whether this is a list of references.
    pub fn is_reference_list(&self) -> bool {
        self.reference.is_some() && matches!(self.kind, Kind::List(_))
    }

    /// Reads one property of a derived schema.
    pub fn from_schema(name: &str, schema: &Value, required: bool) -> Self {
        let (schema, nullable) = strip_null(schema);
        let text = |key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
        let flag = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or(false);
        let kind = kind_of(&schema);
        let target =
            text("x-ref").or_else(|| schema.get("items").and_then(|i| i.get("x-ref")?.as_str().map(str::to_owned)));
        let is_numbered =
            flag("x-numbered") || schema.get("items").and_then(|i| i.get("x-numbered")) == Some(&Value::Bool(true));
        let reference = target.map(|model| Reference {
            model,
            is_numbered,
            on_delete: match text("x-on-delete").as_deref() {
                Some("cascade") => OnDelete::Cascade,
                Some("set_null") => OnDelete::SetNull,
                _ if matches!(kind, Kind::List(_)) => OnDelete::Drop,
                _ if nullable => OnDelete::SetNull,
                _ => OnDelete::Cascade,
            },
        });
        Self {
            name: name.to_owned(),
            help: text("description").unwrap_or_default(),
            required: required && !flag("readOnly"),
            nullable,
            write_only: flag("writeOnly"),
            read_only: flag("readOnly"),
            non_empty: schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) > 0,
            default: schema.get("default").cloned().unwrap_or(Value::Null),
            kind,
            reference,
        }
    }
}

/// The schema that a type derives, with everything it refers to in place.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The field table of an object schema.
pub(crate) fn table(schema: &Value) -> Vec<Field> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, schema)| Field::from_schema(name, schema, required.contains(&name.as_str()))).collect()
}

/// The field table of a plain body or answer, for errors field by field.
pub fn fields_of<T: JsonSchema>() -> Vec<Field> {
    table(&schema_of::<T>())
}

/// Removes the null alternative that `Option` adds.
fn strip_null(schema: &Value) -> (Value, bool) {
    let mut schema = schema.clone();
    let mut nullable = false;
    if let Some(object) = schema.as_object_mut() {
        let alternatives = object.get("anyOf").and_then(Value::as_array).cloned();
        if let Some(list) = alternatives
            && list.iter().any(|s| s.get("type").and_then(Value::as_str) == Some("null"))
        {
            nullable = true;
            object.remove("anyOf");
            if let Some(inner) = list.into_iter().find(|s| s.get("type").and_then(Value::as_str) != Some("null"))
                && let Some(inner) = inner.as_object()
            {
                for (key, value) in inner {
                    object.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        if let Some(types) = object.get("type").and_then(Value::as_array).cloned() {
            nullable |= types.iter().any(|t| t == "null");
            if let Some(first) = types.into_iter().find(|t| t != "null") {
                object.insert("type".to_owned(), first);
            }
        }
        if let Some(values) = object.get_mut("enum").and_then(Value::as_array_mut) {
            values.retain(|v| !v.is_null());
        }
    }
    (schema, nullable)
}

fn kind_of(schema: &Value) -> Kind {
    let text = |key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| schema.get(key).and_then(Value::as_i64);
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Kind::Choice(values.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    if let Some(values) = schema.get("oneOf").and_then(Value::as_array) {
        // Documented enum variants: each carries its constant, or is itself a list of constants.
        let constants = values.iter().flat_map(|v| {
            let one = v.get("const").and_then(Value::as_str).map(str::to_owned);
            let many = v.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
            one.into_iter().chain(many.into_iter().filter_map(|m| m.as_str().map(str::to_owned)))
        });
        return Kind::Choice(constants.collect());
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => Kind::Bool,
        Some("integer") => {
            let (min, max) = match text("format").as_deref() {
                Some("int64") => (i64::MIN, i64::MAX),
                Some("uint32" | "uint64" | "uint" | "uint16") => (0, i64::from(i32::MAX)),
                _ => (i64::from(i32::MIN), i64::from(i32::MAX)),
            };
            Kind::Int { min: number("minimum").unwrap_or(min), max: number("maximum").unwrap_or(max) }
        }
        Some("number") => Kind::Float,
        Some("string") => match text("format").as_deref() {
            Some("uuid") => Kind::Uuid,
            Some("date-time") => Kind::DateTime,
            _ => Kind::Text {
                blank: number("minLength").unwrap_or(0) == 0,
                max: number("maxLength").and_then(|n| usize::try_from(n).ok()),
                pattern: text("pattern"),
                format: text("x-kind").or_else(|| text("format")),
            },
        },
        Some("array") => Kind::List(Box::new(schema.get("items").map_or(Kind::Any, kind_of))),
        Some("object") => Kind::Object,
        _ => Kind::Any,
    }
}
