//! Prompt data as changes to a user: which keys count, and where they go.

use serde_json::Value;
use weir_core::Map;

/// Fields of a user that prompts may write.
const WRITABLE: [&str; 5] = ["username", "name", "email", "is_active", "path"];
/// Types that prompts may give.
const TYPES: [&str; 3] = ["internal", "external", "service_account"];
/// A type that only Weir gives.
const INTERNAL_SERVICE_ACCOUNT: &str = "internal_service_account";

/// What prompt data means for a user.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Plain fields.
    pub fields: Map,
    /// Attributes after the change.
    pub attributes: Map,
    /// New password.
    pub password: Option<String>,
}

/// Sorts prompt data into changes.
///
/// # Errors
/// When `attributes` is no object, or `type` no type.
pub fn changes(prompt_data: &Map, attributes: &Map) -> Result<Changes, ()> {
    let mut changes = Changes { attributes: attributes.clone(), ..Changes::default() };
    for (key, value) in prompt_data {
        match key.as_str() {
            "component" | "groups" => {}
            "password" => changes.password = value.as_str().filter(|p| !p.is_empty()).map(str::to_owned),
            "attributes" => match value {
                Value::Object(new) => merge(&mut changes.attributes, new),
                _ => return Err(()),
            },
            "type" => match value.as_str() {
                Some(kind) if TYPES.contains(&kind) => {
                    changes.fields.insert(key.clone(), value.clone());
                }
                Some(INTERNAL_SERVICE_ACCOUNT) => {}
                _ => return Err(()),
            },
            name if WRITABLE.contains(&name) => {
                changes.fields.insert(key.clone(), value.clone());
            }
            name => {
                let path = name.strip_prefix("attributes.").or_else(|| name.strip_prefix("attributes_"));
                if let Some(path) = path {
                    let path: Vec<&str> = path.split('.').collect();
                    set_path(&mut changes.attributes, &path, value.clone());
                }
                // Anything else is no field of a user that prompts may write.
            }
        }
    }
    Ok(changes)
}

/// Objects merge, everything else is replaced.
fn merge(into: &mut Map, new: &Map) {
    for (key, value) in new {
        match (into.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Sets a value below nested keys; neighbours stay.
fn set_path(map: &mut Map, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            map.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let slot = map.entry((*first).to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            if let Value::Object(inner) = slot {
                set_path(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn only_plain_fields_and_attributes_are_written() {
        let data = map(json!({
            "username": "ann", "pk": 1, "is_superuser": true, "uid": "x", "groups": ["a"], "component": "c", "password": "p",
            "type": "internal_service_account", "attributes.a.b": 1, "attributes_c": 2, "attributes": {"d": {"e": 3}},
        }));
        let changes = changes(&data, &map(json!({"a": {"z": 0}, "d": {"f": 4}}))).unwrap();
        assert_eq!(Value::Object(changes.fields), json!({"username": "ann"}));
        assert_eq!(changes.password.as_deref(), Some("p"));
        assert_eq!(Value::Object(changes.attributes), json!({"a": {"z": 0, "b": 1}, "d": {"f": 4, "e": 3}, "c": 2}));
    }

    #[test]
    fn attributes_that_are_no_object_and_types_that_are_none_are_refused() {
        for wrong in [json!({"attributes": "x"}), json!({"type": "superhero"}), json!({"type": 1})] {
            assert_eq!(changes(&map(wrong.clone()), &Map::new()), Err(()), "{wrong}");
        }
    }
}
