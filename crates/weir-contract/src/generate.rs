//! Schemas of the contract's form made from resource definitions.

use crate::Facts;
use serde_json::{Value, json};
use weir_core::{Family, Field, Kind, Map, ResourceType};

/// What a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// An answer.
    Response,
    /// A body of POST and PUT.
    Request,
    /// A body of PATCH.
    Patch,
}

impl Side {
    /// The component's name for a resource.
    pub(crate) fn name(self, resource: &ResourceType) -> String {
        match self {
            Self::Response => resource.schema.to_owned(),
            Self::Request => format!("{}Request", resource.schema),
            Self::Patch => format!("Patched{}Request", resource.schema),
        }
    }
}

/// The component's name for the pages of a resource.
pub(crate) fn page_name(resource: &ResourceType) -> String {
    format!("Paginated{}List", resource.schema)
}

/// The schema of pages.
pub(crate) fn page(resource: &ResourceType) -> Value {
    json!({
        "type": "object",
        "properties": {
            "pagination": {"$ref": "#/components/schemas/Pagination"},
            "results": {"type": "array", "items": {"$ref": format!("#/components/schemas/{}", resource.schema)}},
            "autocomplete": {"$ref": "#/components/schemas/Autocomplete"},
        },
        "required": ["autocomplete", "pagination", "results"],
    })
}

/// The schema of one side of a resource. Names of enums come from the contract where its values are ours.
pub(crate) fn schema(resource: &ResourceType, side: Side, facts: &Facts) -> Value {
    let known = facts.schema(&side.name(resource)).and_then(|s| s.get("properties")).and_then(Value::as_object);
    let mut properties = Map::new();
    let mut required = Vec::new();
    if side == Side::Response {
        for (name, mut schema) in server_made(resource) {
            // A few keys are not marked as made by the server, though nobody else can make them.
            let theirs = known.and_then(|p| p.get(name)).map(|s| facts.resolve(s));
            if theirs.is_some_and(|s| !s.contains_key("readOnly"))
                && let Some(schema) = schema.as_object_mut()
            {
                schema.shift_remove("readOnly");
            } else {
                required.push(name.to_owned());
            }
            properties.insert(name.to_owned(), schema);
        }
    }
    if side != Side::Response && resource.key_is_chosen {
        properties.insert(resource.pk.to_owned(), json!({"type": "string", "format": "uuid"}));
    }
    for field in &resource.fields {
        let shown = if side == Side::Response { !field.write_only } else { !field.read_only };
        if !shown {
            continue;
        }
        if side != Side::Patch && (field.required || field.read_only) {
            required.push(field.name.clone());
        }
        let known = known.and_then(|p| p.get(&field.name));
        properties.insert(field.name.clone(), property(field, side, facts, known));
    }
    required.sort();
    let mut schema = json!({"type": "object", "properties": properties});
    if let Some(object) = schema.as_object_mut()
        && !required.is_empty()
    {
        object.insert("required".to_owned(), json!(required));
    }
    schema
}

/// Read-only fields that follow from the kind and not from its definition.
fn server_made(resource: &ResourceType) -> Vec<(&'static str, Value)> {
    let text = || json!({"type": "string", "readOnly": true});
    let key = if resource.key_is_number() {
        json!({"type": "integer", "readOnly": true})
    } else {
        json!({"type": "string", "format": "uuid", "readOnly": true})
    };
    let mut made = vec![(resource.pk, key)];
    if resource.family.is_some() && resource.shows_family {
        made.extend(["component", "verbose_name", "verbose_name_plural", "meta_model_name"].map(|n| (n, text())));
    }
    match resource.family {
        Some(Family::Stage) => made.push((
            "flow_set",
            json!({"type": "array", "items": {"$ref": "#/components/schemas/FlowSet"}, "readOnly": true}),
        )),
        Some(Family::Policy) => made.push(("bound_to", json!({"type": "integer", "readOnly": true}))),
        Some(Family::Source | Family::PropertyMapping | Family::Connector | Family::Provider) | None => {}
    }
    made
}

fn property(field: &Field, side: Side, facts: &Facts, known: Option<&Value>) -> Value {
    let mut schema = of_kind(&field.kind, field.reference.is_some(), side, facts, known);
    if let Kind::Int { min, max: i64::MAX } = field.kind
        && field.reference.is_none()
    {
        schema.insert("format".to_owned(), "int64".into());
        schema.insert("maximum".to_owned(), i64::MAX.into());
        schema.insert("minimum".to_owned(), min.into());
    }
    let is_reference = schema.contains_key("$ref");
    let mut siblings = Map::new();
    // What the server sets is only absent before it is set, i.e. never in an answer.
    let set_by_server = field.read_only && known.is_some_and(|k| !facts.resolve(k).contains_key("nullable"));
    if field.nullable && !set_by_server {
        siblings.insert("nullable".to_owned(), true.into());
    }
    if field.read_only {
        siblings.insert("readOnly".to_owned(), true.into());
    }
    if side != Side::Response && field.write_only {
        siblings.insert("writeOnly".to_owned(), true.into());
    }
    if field.non_empty && side != Side::Response {
        siblings.insert("minItems".to_owned(), 1.into());
    }
    if !field.help.is_empty() {
        siblings.insert("description".to_owned(), field.help.clone().into());
    }
    // OpenAPI 3.0 ignores everything beside `$ref`, hence the wrapping.
    if is_reference && !siblings.is_empty() {
        schema = Map::from_iter([("allOf".to_owned(), json!([schema]))]);
    }
    schema.extend(siblings);
    Value::Object(schema)
}

fn of_kind(kind: &Kind, is_reference: bool, side: Side, facts: &Facts, known: Option<&Value>) -> Map {
    let request = side != Side::Response;
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    match kind {
        Kind::Bool => set("type", "boolean".into()),
        Kind::Int { min, max } => {
            set("type", "integer".into());
            if !is_reference && (*min, *max) != (i64::MIN, i64::MAX) {
                set("maximum", (*max).into());
                set("minimum", (*min).into());
            }
        }
        Kind::Float => {
            set("type", "number".into());
            set("format", "double".into());
        }
        Kind::Text { blank, max, pattern, format } => {
            set("type", "string".into());
            if request && !blank {
                set("minLength", 1.into());
            }
            if let Some(max) = max {
                set("maxLength", (*max).into());
            }
            if let Some(pattern) = pattern {
                set("pattern", pattern.clone().into());
            }
            // The rest are words of our own (expression, duration) that other tools would not understand.
            match format.as_deref() {
                Some(format @ ("email" | "uri")) => set("format", format.into()),
                Some("launch_url") => set("format", "uri".into()),
                _ => {}
            }
        }
        Kind::Uuid => {
            set("type", "string".into());
            set("format", "uuid".into());
        }
        Kind::DateTime => {
            set("type", "string".into());
            set("format", "date-time".into());
        }
        Kind::Choice(choices) => match known.and_then(|k| enum_reference(k, choices, facts)) {
            Some(reference) => set("$ref", reference.into()),
            None => {
                set("type", "string".into());
                set("enum", json!(choices));
            }
        },
        Kind::Object => {
            set("type", "object".into());
            set("additionalProperties", json!({}));
        }
        Kind::Any => {}
        Kind::List(item) => {
            let known = known.map(|k| facts.resolve(k)).and_then(|k| k.get("items").cloned());
            set("type", "array".into());
            set("items", Value::Object(of_kind(item, is_reference, side, facts, known.as_ref())));
        }
    }
    out
}

/// The contract's name for an enum, when its values are exactly ours.
fn enum_reference(known: &Value, choices: &[String], facts: &Facts) -> Option<String> {
    let reference = known
        .get("$ref")
        .or_else(|| known.get("allOf")?.get(0)?.get("$ref"))
        .and_then(Value::as_str)
        .map(str::to_owned)?;
    let resolved = facts.resolve(known);
    let theirs: Vec<&str> = resolved.get("enum")?.as_array()?.iter().filter_map(Value::as_str).collect();
    let same = theirs.len() == choices.len() && choices.iter().all(|c| theirs.contains(&c.as_str()));
    same.then_some(reference)
}
