//! Answers against the contract: used by tests on every answer they see.

use crate::Facts;
use serde_json::Value;
use weir_core::Map;

/// Deeper than any answer; ends loops between schemas.
const DEPTH: usize = 40;

impl Facts {
    /// How a body departs from the contract for this operation and status; empty when it conforms or the contract
    /// describes no JSON body.
    pub fn violations(&self, operation: &str, status: u16, body: &Value) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(schema) = self.response(operation, status) {
            self.judge(schema, body, "body", 0, &mut found);
        }
        found
    }

    fn judge(&self, schema: &Value, value: &Value, at: &str, depth: usize, found: &mut Vec<String>) {
        if depth > DEPTH || found.len() > 20 {
            return;
        }
        if let Some(target) = self.variant(schema, value) {
            return match target {
                Ok(target) => self.judge(&target, value, at, depth + 1, found),
                Err(sentence) => found.push(format!("{at}: {sentence}")),
            };
        }
        let schema = self.resolve(schema);
        if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
            return;
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array)
            && !values.contains(value)
        {
            found.push(format!("{at}: {value} is none of the contract's values"));
            return;
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(alternatives) = schema.get(key).and_then(Value::as_array) {
                let fits = alternatives.iter().any(|alternative| {
                    let mut tried = Vec::new();
                    self.judge(alternative, value, at, depth + 1, &mut tried);
                    tried.is_empty()
                });
                if !fits {
                    found.push(format!("{at}: fits no alternative"));
                }
                return;
            }
        }
        self.judge_type(&schema, value, at, depth, found);
    }

    /// The schema chosen by a discriminator.
    fn variant(&self, schema: &Value, value: &Value) -> Option<Result<Value, String>> {
        let schema = self.resolve(schema);
        let discriminator = schema.get("discriminator")?;
        let property = discriminator.get("propertyName")?.as_str()?;
        let mapping = discriminator.get("mapping")?.as_object()?;
        let name = value.get(property).and_then(Value::as_str).unwrap_or_default();
        Some(match mapping.get(name).and_then(Value::as_str) {
            Some(reference) => Ok(serde_json::json!({"$ref": reference})),
            None => Err(format!("{property} \"{name}\" is no variant of the contract")),
        })
    }

    fn judge_type(&self, schema: &Map, value: &Value, at: &str, depth: usize, found: &mut Vec<String>) {
        let expected = schema.get("type").and_then(Value::as_str);
        let fits = match expected {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            _ => true,
        };
        if !fits {
            let shown: String = value.to_string().chars().take(80).collect();
            found.push(format!("{at}: {shown} is no {}", expected.unwrap_or_default()));
            return;
        }
        match value {
            Value::Object(map) => self.judge_object(schema, map, at, depth, found),
            Value::Array(items) => {
                if let Some(item) = schema.get("items") {
                    for (index, value) in items.iter().enumerate() {
                        self.judge(item, value, &format!("{at}[{index}]"), depth + 1, found);
                    }
                }
            }
            Value::String(text) => {
                let fits = match schema.get("format").and_then(Value::as_str) {
                    Some("uuid") => uuid::Uuid::parse_str(text).is_ok(),
                    Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
                    Some("uri") => text.is_empty() || !text.contains(char::is_whitespace),
                    _ => true,
                };
                if !fits {
                    found.push(format!("{at}: \"{text}\" has the wrong format"));
                }
            }
            _ => {}
        }
    }

    fn judge_object(&self, schema: &Map, map: &Map, at: &str, depth: usize, found: &mut Vec<String>) {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !map.contains_key(name) {
                found.push(format!("{at}.{name}: missing"));
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        for (name, value) in map {
            match (properties.and_then(|p| p.get(name)), others) {
                (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => {
                    self.judge(schema, value, &format!("{at}.{name}"), depth + 1, found);
                }
                // Stricter than the schema language: a field that the contract does not know is ours by mistake.
                (None, _) if properties.is_some_and(|p| !p.is_empty()) => {
                    found.push(format!("{at}.{name}: not in the contract"));
                }
                _ => {}
            }
        }
    }
}
