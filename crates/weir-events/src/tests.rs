//! Cleansing.

use crate::{MASK, cleanse};
use serde_json::json;

#[test]
fn secrets_are_masked_by_key_at_every_depth_and_results_stay_readable() {
    let cleansed = cleanse(json!({
        "Password": "x", "nested": [{"api_thing": 1, "ok": 2}], "passing": true, "auth_method": "password",
        "auth_method_args": {"token": "t", "known_device": true},
    }));
    assert_eq!(cleansed["Password"], MASK);
    assert_eq!(cleansed["nested"], json!([{"api_thing": MASK, "ok": 2}]));
    assert_eq!(cleansed["passing"], true);
    assert_eq!(cleansed["auth_method"], "password");
    assert_eq!(cleansed["auth_method_args"], json!({"token": MASK, "known_device": true}));
}

#[test]
fn which_secret_was_read_stays_readable() {
    let token = json!({"app": "authentik_core", "model_name": "token", "pk": "1", "name": "ci"});
    assert_eq!(cleanse(json!({"secret": token.clone()}))["secret"], token);
    assert_eq!(cleanse(json!({"secret": {"name": "x", "value": "y"}}))["secret"], MASK);
}
