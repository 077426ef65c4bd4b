//! Custom attributes: which keys the attributes of users, groups and entitlements may have, of what type, and which of
//! them must be there or differ. What is not described here stays free.

mod enforce;
mod hooks;
mod unique;

pub use enforce::BearerHooks;
pub use hooks::ObjectAttributeHooks;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::{FieldErrors, Resource, resource::UuidKeyed};

/// Kinds whose attributes can be described. Each has [`BearerHooks`] among its hooks.
pub const BEARERS: [&str; 3] = ["authentik_core.user", "authentik_core.group", weir_policy::entitlements::MODEL];

/// Longest regular expression of an attribute, in bytes of its compiled form.
const LARGEST_REGEX: usize = 1 << 20;

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttributeType {
    /// A text.
    Text,
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

fn yes() -> bool {
    true
}

/// A custom attribute of one kind of object.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ObjectAttribute {
    /// The kind of object, as `app_label.model`.
    #[schemars(length(min = 1))]
    pub object_type: String,
    /// Whether it is asked for.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The key among the object's attributes.
    #[schemars(length(min = 1))]
    pub key: String,
    /// What people read.
    #[schemars(length(min = 1))]
    pub label: String,
    /// Regular expression that the whole of a text must match.
    #[serde(default)]
    pub regex: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: AttributeType,
    /// Heading under which it is shown.
    #[serde(default)]
    pub group: String,
    /// Set when the server keeps this attribute.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub managed: Option<String>,
    /// No two objects may have the same value.
    #[serde(default)]
    pub is_unique: bool,
    /// Every object must have it. Accounts of programs need not.
    #[serde(default)]
    pub is_required: bool,
}

impl UuidKeyed for ObjectAttribute {}
impl Resource for ObjectAttribute {
    const MODEL: &'static str = "authentik_core.objectattribute";
    const PATH: &'static str = "core/object_attributes";
    const SCHEMA: &'static str = "ObjectAttribute";
    const VERBOSE: &'static str = "Object Attribute";
    const PARAM: &'static str = "attribute_id";
    const SEARCH: &'static [&'static str] = &["key", "label", "group"];
    const ORDER: &'static str = "key";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["object_type", "key"]];
    const OPERATIONS: weir_core::Operations =
        weir_core::Operations { create: true, update: true, destroy: true, used_by: false };

    fn check(&self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if !BEARERS.contains(&self.object_type.as_str()) {
            errors.add("object_type", "Objects of this kind have no custom attributes.", "invalid_choice");
        }
        if self.regex().is_err() {
            errors.add("regex", "Enter a valid regular expression.", "invalid");
        }
        errors
    }
}

impl ObjectAttribute {
    /// The expression over the whole text; none when every text will do.
    fn regex(&self) -> Result<Option<regex::Regex>, regex::Error> {
        if self.regex.is_empty() {
            return Ok(None);
        }
        let whole = format!("^(?:{})$", self.regex);
        regex::RegexBuilder::new(&whole).size_limit(LARGEST_REGEX).build().map(Some)
    }

    /// Why a value is none of this attribute.
    fn refusal(&self, value: &Value) -> Option<String> {
        let label = &self.label;
        match (self.kind, value) {
            (AttributeType::Text, Value::String(text)) => match self.regex() {
                Ok(Some(regex)) if !regex.is_match(text) => Some(format!("{label} does not have the expected form.")),
                _ => None,
            },
            (AttributeType::Number, Value::Number(_)) | (AttributeType::Boolean, Value::Bool(_)) => None,
            (AttributeType::Text, _) => Some(format!("{label} must be a text.")),
            (AttributeType::Number, _) => Some(format!("{label} must be a number.")),
            (AttributeType::Boolean, _) => Some(format!("{label} must be true or false.")),
        }
    }
}
