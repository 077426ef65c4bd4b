//! Queries over configuration, answered from the snapshot.

use super::{
    Asking, Query,
    condition::{Condition, parts, split, unknown_field, unsupported},
};
use crate::expression::objects;
use serde_json::Value as Json;
use std::{cmp::Ordering, sync::Arc};
use weir_core::ResourceType;
use weir_expression::{Raise, Value};
use weir_resource::{Object, Snapshot};

/// All matching objects in order.
pub fn find(query: &Query, kinds: &[&'static ResourceType], cx: &Asking<'_>) -> Result<Vec<Arc<Object>>, Raise> {
    let mut found = Vec::new();
    for kind in kinds {
        for object in cx.snapshot.of_model(kind.model) {
            let mut fits = true;
            for condition in &query.conditions {
                fits = fits && meets(cx.snapshot, object, condition)?;
            }
            if fits {
                found.push(Arc::clone(object));
            }
        }
    }
    for name in query.order.iter().rev() {
        let (name, down) = name.strip_prefix('-').map_or((name.as_str(), false), |rest| (rest, true));
        let mut keyed = Vec::with_capacity(found.len());
        for object in found {
            keyed.push((value(&object, name)?.to_json(), object));
        }
        keyed.sort_by(|(a, _), (b, _)| if down { compare(b, a) } else { compare(a, b) });
        found = keyed.into_iter().map(|(_, object)| object).collect();
    }
    if query.order.is_empty() {
        found.sort_by_key(|o| (o.name(), o.id));
    }
    if query.reversed {
        found.reverse();
    }
    Ok(found)
}

/// A field of a document by look-up name.
pub fn value(object: &Object, name: &str) -> Result<Value, Raise> {
    let parts = parts(name);
    let Some((first, rest)) = parts.split_first() else { return Err(unknown_field(name, &choices(object))) };
    let json = field(object, first).ok_or_else(|| unknown_field(first, &choices(object)))?;
    Ok(objects::dig(Value::from(json), rest))
}

fn choices(object: &Object) -> String {
    let mut names: Vec<&str> =
        object.kind.fields.iter().filter(|f| !f.write_only).map(|f| f.name.as_str()).chain(["pk"]).collect();
    names.sort_unstable();
    names.join(", ")
}

fn field(object: &Object, name: &str) -> Option<Json> {
    let own = |name: &str| object.kind.find_field(name);
    // Some kinds are addressed by a field of their own: `slug` is the slug, not the key.
    let is_key = name == "pk" || name == object.kind.pk || (name == object.kind.param && own(name).is_none());
    if is_key {
        return Some(weir_resource::Stored::of(object).pk_value());
    }
    let name = name.strip_suffix("_id").filter(|n| own(n).is_some()).unwrap_or(name);
    let field = own(name).filter(|f| !f.write_only)?;
    Some(object.doc.get(&field.name).cloned().unwrap_or(Json::Null))
}

fn meets(snapshot: &Snapshot, object: &Object, condition: &Condition) -> Result<bool, Raise> {
    match condition {
        Condition::All(items) => {
            for item in items {
                if !meets(snapshot, object, item)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Condition::Any(items) => {
            for item in items {
                if meets(snapshot, object, item)? {
                    return Ok(true);
                }
            }
            Ok(items.is_empty())
        }
        Condition::Not(inner) => Ok(!meets(snapshot, object, inner)?),
        Condition::Test(path, value) => test(snapshot, object, &parts(path), value),
    }
}

fn test(snapshot: &Snapshot, object: &Object, parts: &[String], wanted: &Value) -> Result<bool, Raise> {
    let Some((first, rest)) = parts.split_first() else { return Err(unknown_field("", &choices(object))) };
    let json = field(object, first).ok_or_else(|| unknown_field(first, &choices(object)))?;
    let is_reference = object.kind.find_field(first).is_some_and(|f| f.reference.is_some());
    let (path, look_up) = split(rest, 0);
    if is_reference && !path.is_empty() {
        let ids = match &json {
            Json::Array(items) => items.iter().filter_map(|v| uuid::Uuid::parse_str(v.as_str()?).ok()).collect(),
            Json::String(text) => uuid::Uuid::parse_str(text).into_iter().collect(),
            _ => Vec::new(),
        };
        for id in ids {
            if let Some(target) = snapshot.find(id)
                && test(snapshot, target, rest, wanted)?
            {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let found = path.iter().try_fold(&json, |value, key| value.get(key));
    compare_with(found, look_up, wanted)
}

fn compare_with(found: Option<&Json>, look_up: &str, wanted: &Value) -> Result<bool, Raise> {
    let null = found.is_none_or(Json::is_null);
    if look_up == "isnull" {
        return Ok(null == wanted.is_truthy());
    }
    let found = found.cloned().unwrap_or(Json::Null);
    let wanted_json = match wanted.as_object() {
        Some(object) => Json::from(object.id.split_once(':').map_or(object.id.as_str(), |(_, key)| key)),
        None => wanted.to_json(),
    };
    let holds = |item: &Json| *item == wanted_json;
    Ok(match look_up {
        // A list of references is compared entry by entry.
        "exact" if !wanted_json.is_array() && found.is_array() => found.as_array().is_some_and(|l| l.iter().any(holds)),
        "exact" => found == wanted_json,
        "contains" if found.is_array() => found.as_array().is_some_and(|l| l.iter().any(holds)),
        "in" => {
            let items =
                wanted.as_items().ok_or_else(|| Raise::new("TypeError", "This look-up needs a list of values."))?;
            items.iter().any(|item| compare_with(Some(&found), "exact", item).unwrap_or(false))
        }
        "gt" => !null && compare(&found, &wanted_json) == Ordering::Greater,
        "gte" => !null && compare(&found, &wanted_json) != Ordering::Less,
        "lt" => !null && compare(&found, &wanted_json) == Ordering::Less,
        "lte" => !null && compare(&found, &wanted_json) != Ordering::Greater,
        _ => {
            let (left, right) = (text(&found), text(&wanted_json));
            let (plain, left, right) = match look_up.strip_prefix('i') {
                Some(plain) if plain != "n" => (plain, left.to_lowercase(), right.to_lowercase()),
                _ => (look_up, left, right),
            };
            let fits = match plain {
                "exact" => left == right,
                "contains" => left.contains(&right),
                "startswith" => left.starts_with(&right),
                "endswith" => left.ends_with(&right),
                other => return Err(unsupported(other)),
            };
            !null && fits
        }
    })
}

fn text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

fn compare(a: &Json, b: &Json) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => text(a).cmp(&text(b)),
    }
}
