//! Our definitions against the contract: what differs, in sentences.

use crate::{
    Facts, Method,
    generate::{self, Side},
    operations,
};
use serde_json::Value;
use std::collections::BTreeSet;
use weir_core::{Map, ResourceType};

/// What a client can tell apart. Help texts and defaults are ours.
const JUDGED: [&str; 11] = [
    "type",
    "format",
    "nullable",
    "readOnly",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "writeOnly",
];

/// Everything in which a definition departs from the contract, one sentence each; empty when it agrees.
pub fn differences(resource: &ResourceType, facts: &Facts) -> Vec<String> {
    let mut found = operation_differences(resource);
    let sides: &[Side] = if resource.operations.create || resource.operations.update {
        &[Side::Response, Side::Request, Side::Patch]
    } else {
        &[Side::Response]
    };
    for side in sides {
        let name = side.name(resource);
        let Some(theirs) = facts.schema(&name) else {
            let needed = *side == Side::Response || (*side == Side::Request && resource.operations.create);
            if needed {
                found.push(format!("{name}: not in the contract"));
            }
            continue;
        };
        schema_differences(&name, &generate::schema(resource, *side, facts), theirs, *side, facts, &mut found);
    }
    found
}

/// Read-only fields of the answer that the contract has and the definition does not: those the kind's hooks add.
pub fn computed(resource: &ResourceType, facts: &Facts) -> Vec<String> {
    let ours = generate::schema(resource, Side::Response, facts);
    let ours = ours.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let theirs = facts.schema(resource.schema).and_then(|s| s.get("properties")).and_then(Value::as_object);
    theirs.into_iter().flatten().map(|(name, _)| name.clone()).filter(|name| !ours.contains_key(name)).collect()
}

fn operation_differences(resource: &ResourceType) -> Vec<String> {
    let collection = format!("/{}/", resource.path);
    let item = format!("{collection}{{{}}}/", resource.param);
    let has = |path: &str, method| operations().iter().any(|o| o.path == path && o.method == method);
    let mut found = Vec::new();
    let mut judge = |what: &str, path: &str, method, ours: bool| {
        if has(path, method) != ours {
            let side = if ours { "served, but not in the contract" } else { "in the contract, but not served" };
            found.push(format!("{}: {what} ({} {path}) is {side}", resource.schema, Method::name(method)));
        }
    };
    judge("list", &collection, Method::Get, true);
    judge("retrieve", &item, Method::Get, true);
    judge("create", &collection, Method::Post, resource.operations.create);
    judge("update", &item, Method::Put, resource.operations.update);
    judge("partial update", &item, Method::Patch, resource.operations.update);
    judge("delete", &item, Method::Delete, resource.operations.destroy);
    judge("used_by", &format!("{item}used_by/"), Method::Get, resource.operations.used_by);
    found
}

fn schema_differences(name: &str, ours: &Value, theirs: &Value, side: Side, facts: &Facts, found: &mut Vec<String>) {
    let empty = Map::new();
    let properties = |s: &Value| s.get("properties").and_then(Value::as_object).unwrap_or(&empty).clone();
    let (our_properties, their_properties) = (properties(ours), properties(theirs));
    for (property, schema) in &our_properties {
        match their_properties.get(property) {
            Some(other) => property_differences(&format!("{name}.{property}"), schema, other, facts, found),
            None => found.push(format!("{name}.{property}: not in the contract")),
        }
    }
    for (property, schema) in &their_properties {
        let read_only = facts.resolve(schema).get("readOnly") == Some(&Value::Bool(true));
        // Hooks may add read-only fields to answers; whether they do is seen on answers, not on definitions.
        let from_hook = side == Side::Response && read_only;
        if !from_hook && !our_properties.contains_key(property) {
            found.push(format!("{name}.{property}: missing"));
        }
    }
    let required = |s: &Value| -> BTreeSet<String> {
        let list = s.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (ours, theirs) = (required(ours), required(theirs));
    for field in ours.difference(&theirs) {
        found.push(format!("{name}.{field}: required, optional in the contract"));
    }
    for field in theirs.difference(&ours).filter(|f| our_properties.contains_key(*f)) {
        found.push(format!("{name}.{field}: optional, required in the contract"));
    }
}

fn property_differences(name: &str, ours: &Value, theirs: &Value, facts: &Facts, found: &mut Vec<String>) {
    let (ours, theirs) = (facts.resolve(ours), facts.resolve(theirs));
    let shown = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), Value::to_string);
    for key in JUDGED {
        let (a, b) = (ours.get(key), theirs.get(key));
        if a != b {
            found.push(format!("{name}: {key} {}, contract {}", shown(a), shown(b)));
        }
    }
    let values = |s: &Map| -> BTreeSet<String> {
        s.get("enum").and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect()
    };
    let (a, b) = (values(&ours), values(&theirs));
    if a != b {
        let list = |set: Vec<&String>| set.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        found.push(format!(
            "{name}: enum has [{}] too much, [{}] too little",
            list(a.difference(&b).collect()),
            list(b.difference(&a).collect())
        ));
    }
    if let (Some(a), Some(b)) = (ours.get("items"), theirs.get("items")) {
        property_differences(&format!("{name}[]"), a, b, facts, found);
    }
}
