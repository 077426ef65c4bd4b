//! Our own OpenAPI 3.0.3 document: resources from their definitions, the rest from the contract's facts, our own
//! operations from their description.

use crate::{
    Facts, extensions,
    facts::reference_name,
    generate::{self, Side},
    operations,
};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use weir_core::{Map, Registry, ResourceType};

/// The document for the operations that `served` names.
///
/// # Errors
/// Never for a sound build.
pub fn openapi(registry: &Registry, served: &dyn Fn(&str) -> bool) -> Result<Value> {
    let facts = Facts::load()?;
    let own = own_schemas(registry, &facts);
    let mut paths = Map::new();
    for operation in operations().iter().chain(extensions()).filter(|o| served(o.id)) {
        let Some(described) = facts.operation(operation.id) else { continue };
        let mut described = described.clone();
        if let Some(summary) = summary(registry, operation.path, operation.id)
            && let Some(object) = described.as_object_mut()
        {
            object.insert("summary".to_owned(), summary.into());
        }
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(operation.method.name().to_lowercase(), described);
        }
    }
    let paths = Value::Object(paths);
    let components = components(&paths, &own, &facts);
    Ok(json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Weir",
            "version": crate::VERSION,
            "description": "Sign-in flows, identities and their administration.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v3"}],
        "paths": paths,
        "components": components,
    }))
}

/// Generated schemas by component name. Read-only fields that hooks add are described by the contract's facts.
fn own_schemas(registry: &Registry, facts: &Facts) -> BTreeMap<String, Value> {
    let mut own = BTreeMap::new();
    for resource in registry.all() {
        for side in [Side::Response, Side::Request, Side::Patch] {
            let mut schema = generate::schema(resource, side, facts);
            if side == Side::Response {
                add_computed(&mut schema, resource, facts);
            }
            own.insert(side.name(resource), schema);
        }
        own.insert(generate::page_name(resource), generate::page(resource));
    }
    own
}

fn add_computed(schema: &mut Value, resource: &ResourceType, facts: &Facts) {
    let computed = crate::computed(resource, facts);
    let Some(theirs) = facts.schema(resource.schema) else { return };
    let theirs_required = theirs.get("required").and_then(Value::as_array);
    for name in computed {
        let Some(property) = theirs.get("properties").and_then(|p| p.get(&name)) else { continue };
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert(name.clone(), property.clone());
        }
        if theirs_required.is_some_and(|r| r.iter().any(|n| n == &name))
            && let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut)
        {
            required.push(name.into());
        }
    }
}

/// One line about an operation of a resource.
fn summary(registry: &Registry, path: &str, id: &str) -> Option<String> {
    let resource = registry.all().chain(registry.views()).find(|r| {
        let collection = format!("/{}/", r.path);
        let item = format!("{collection}{{{}}}/", r.param);
        path == collection || path == item || path == format!("{item}used_by/")
    })?;
    let name = resource.verbose_name;
    let sentence = match id.rsplit('_').next()? {
        "list" if path.ends_with("used_by/") => format!("What refers to an object of the kind {name}"),
        "list" => format!("A page of objects of the kind {name}"),
        "create" => format!("Make an object of the kind {name}"),
        "retrieve" => format!("Read an object of the kind {name}"),
        "update" if id.ends_with("partial_update") => format!("Change an object of the kind {name} in part"),
        "update" => format!("Replace an object of the kind {name}"),
        "destroy" => format!("Delete an object of the kind {name}"),
        _ => return None,
    };
    Some(sentence)
}

/// Everything the paths refer to, directly and through other components.
fn components(paths: &Value, own: &BTreeMap<String, Value>, facts: &Facts) -> Value {
    let mut wanted = Vec::new();
    references(paths, &mut wanted);
    let mut seen = BTreeSet::new();
    let mut out: BTreeMap<&str, Map> = BTreeMap::new();
    while let Some(reference) = wanted.pop() {
        if !seen.insert(reference.clone()) {
            continue;
        }
        let mut parts = reference.rsplit('/');
        let (Some(name), Some(kind)) = (parts.next(), parts.next()) else { continue };
        let kind = match kind {
            "schemas" => "schemas",
            "parameters" => "parameters",
            "responses" => "responses",
            _ => continue,
        };
        let found = own.get(name).filter(|_| kind == "schemas").or_else(|| facts.component(kind, name));
        if let Some(found) = found {
            references(found, &mut wanted);
            out.entry(kind).or_default().insert(name.to_owned(), found.clone());
        }
    }
    for part in out.values_mut() {
        part.sort_keys();
    }
    let mut components = json!(out);
    if let (Some(components), Some(schemes)) =
        (components.as_object_mut(), facts.component("securitySchemes", "authentik"))
    {
        components.insert("securitySchemes".to_owned(), json!({"authentik": schemes}));
    }
    components
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => found.push(text.clone()),
                    // The mapping of a discriminator names schemas by plain texts.
                    Value::String(text) if text.starts_with("#/components/") && reference_name(text).is_some() => {
                        found.push(text.clone());
                    }
                    value => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}
