//! Masks what must not be stored, by key name.

use serde_json::Value;

/// What stands in place of a secret.
pub const MASK: &str = "********************";

const SECRET_PARTS: [&str; 7] = ["api", "token", "key", "secret", "pass", "signature", "http_cookie"];
const CLEAR: [&str; 3] = ["auth_method", "auth_method_args", "authorized_application"];

/// Replaces the values of keys that name a secret, at every depth.
pub fn cleanse(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| {
                    let mask = is_secret(&key) && !value.is_null() && !is_summary(&value);
                    let value = if mask { Value::from(MASK) } else { cleanse(value) };
                    (key, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(cleanse).collect()),
        other => other,
    }
}

/// An object's address and name, as events carry it, tells no secret: which token was read is what the event is for.
fn is_summary(value: &Value) -> bool {
    const PARTS: [&str; 4] = ["app", "model_name", "pk", "name"];
    value.as_object().is_some_and(|map| map.len() == PARTS.len() && PARTS.iter().all(|part| map.contains_key(*part)))
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    !CLEAR.contains(&key.as_str()) && !key.contains("passing") && SECRET_PARTS.iter().any(|part| key.contains(part))
}
