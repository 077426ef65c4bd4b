//! Made-up values for looking at templates.

use serde_json::{Value, json};
use weir_core::Map;

/// Variables that show every part of our templates, and most of an administrator's.
pub fn data(base_url: &str) -> Map {
    let value = json!({
        "url": format!("{base_url}/if/flow/example/?flow_token=this-is-only-a-preview"),
        "user": {
            "pk": 0, "username": "jane", "name": "Jane Doe", "email": "jane@example.org",
            "attributes": {"settings": {}},
        },
        "expires": "2026-05-01T12:30:00Z",
        "lifetime": 1800,
        "code": "123456",
        "token": "123456",
        "title": "Example",
        "severity": "notice",
        "body": "An example of a notification.",
        "key_value": {"Action": "login_failed", "Client": "203.0.113.7"},
        "source": {"from": "Weir"},
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
