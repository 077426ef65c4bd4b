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
                    (storable(key), value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(cleanse).collect()),
        Value::String(text) => Value::String(storable(text)),
        other => other,
    }
}

/// No database keeps the character NUL. Whoever puts one into a request must not prevent its event by that.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Longest text of a request that is kept, characters, and most parameters.
const LONGEST: usize = 2048;
const MOST: usize = 100;

/// What a request says of itself, cut to what an event needs: nobody fills the trail by long addresses.
pub(crate) fn bounded(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.into_iter().take(MOST).map(|(key, value)| (cut(key), bounded(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().take(MOST).map(bounded).collect()),
        Value::String(text) => Value::String(cut(text)),
        other => other,
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text,
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
