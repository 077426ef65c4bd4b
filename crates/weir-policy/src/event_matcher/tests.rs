//! Wildcards, fields, queries.

use super::EventMatcherPolicy;
use crate::{RequestInfo, tests::World};
use serde_json::json;

#[tokio::test]
async fn what_is_set_must_agree_and_what_is_not_stands_for_everything() {
    let world = World::without_worker().await;
    let event = json!({
        "action": "model_updated", "app": "authentik.core", "client_ip": "10.0.0.1", "user": {"username": "ann"},
        "context": {"model": {"app": "authentik_core", "model_name": "user", "pk": "1", "name": "ann"}},
    });
    let custom = json!({"action": "custom_alarm", "app": "a", "client_ip": null, "context": {}});
    for (fields, with, passing) in [
        (json!({}), &event, true),
        (json!({"action": "model_updated"}), &event, true),
        (json!({"action": "login"}), &event, false),
        (json!({"client_ip": "10.0.0.1"}), &event, true),
        (json!({"client_ip": "10.0.0.10"}), &event, false),
        (json!({"app": "authentik.core"}), &event, true),
        (json!({"app": "authentik.rbac"}), &event, false),
        (json!({"model": "authentik_core.user"}), &event, true),
        (json!({"model": "authentik_core.group"}), &event, false),
        (json!({"action": "model_updated", "client_ip": "10.0.0.2"}), &event, false),
        (json!({"query": "user.username = \"ann\""}), &event, true),
        (json!({"query": "user.username = \"bob\""}), &event, false),
        (json!({"action": "custom_"}), &custom, true),
        (json!({"action": "custom_"}), &event, false),
        (json!({"model": "authentik_core.user"}), &custom, false),
    ] {
        let mut body = fields.clone();
        body.as_object_mut().unwrap().insert("name".to_owned(), format!("{fields}{}", with["action"]).into());
        let policy = world.create::<EventMatcherPolicy>(body).await.pk;
        let tried = world.try_policy(&policy, None, &RequestInfo::default(), json!({"event": with})).await;
        assert_eq!(tried.passing, Some(passing), "{fields}");
        let set = fields.as_object().unwrap().len();
        assert_eq!(tried.messages.len(), set, "one for each that is looked at");
        let without = world.try_policy(&policy, None, &RequestInfo::default(), json!({})).await;
        assert_eq!(without.passing, Some(false));
    }
}

#[tokio::test]
async fn what_is_unknown_or_cannot_be_read_is_not_saved() {
    let world = World::without_worker().await;
    for (field, value) in [
        ("action", "dance"),
        ("app", "authentik.nothing"),
        ("model", "a.b"),
        ("query", "action = ("),
        ("client_ip", ""),
    ] {
        let refused = world.try_create::<EventMatcherPolicy>(json!({"name": "x", field: value})).await.err().unwrap();
        assert!(refused.body()[field].is_array(), "{field}: {:?}", refused.body());
    }
    assert!(world.try_create::<EventMatcherPolicy>(json!({"name": "x", "action": null, "query": null})).await.is_ok());
}
