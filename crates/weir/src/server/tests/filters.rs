//! Filters that look beside the fields of an object: at keys, times, several values, names of others.

use serde_json::{Value, json};
use weir_flow::{Flow, FlowStageBinding};
use weir_identity::reputation;
use weir_policy::{DummyPolicy, PolicyBinding};
use weir_stages::dummy::DummyStage;

use super::stand::Stand;

async fn count(stand: &Stand, list: &str, query: &str) -> Value {
    stand.get(&stand.admin, &format!("{list}?{query}")).await.expect(200)["pagination"]["count"].clone()
}

#[tokio::test]
async fn flows_and_bindings_are_found_by_each_of_their_keys() {
    let stand = Stand::start().await;
    let mut flows = Vec::new();
    for slug in ["one", "two", "three"] {
        let body = json!({"name": slug, "slug": slug, "title": slug, "designation": "authentication"});
        flows.push(stand.make::<Flow>(body).await.pk);
    }
    let policy = stand.make::<DummyPolicy>(json!({"name": "gate of all"})).await.pk;
    let mut bindings = Vec::new();
    for (flow, order) in flows.iter().zip(0..) {
        let stage = stand.make::<DummyStage>(json!({"name": format!("stage {order}")})).await.pk;
        stand.make::<PolicyBinding>(json!({"target": flow, "policy": policy, "order": order})).await;
        bindings.push(stand.make::<FlowStageBinding>(json!({"target": flow, "stage": stage, "order": order})).await.pk);
    }
    stand.make::<PolicyBinding>(json!({"target": bindings[0], "policy": policy, "order": 0})).await;
    let known = stand.get(&stand.admin, &format!("/flows/bindings/{}/", bindings[1])).await.expect(200);
    let target = stand.get(&stand.admin, "/flows/instances/three/").await.expect(200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();

    assert_eq!(count(&stand, "/flows/instances/", &format!("flow_uuid={}", flows[1])).await, 1);
    let own = text(&known["policybindingmodel_ptr_id"]);
    assert_eq!(count(&stand, "/flows/bindings/", &format!("pbm_uuid={own}")).await, 1);
    assert_eq!(count(&stand, "/flows/bindings/", &format!("policies={policy}")).await, 1);
    assert_eq!(count(&stand, "/flows/bindings/", &format!("policies={}", flows[0])).await, 0);
    assert_eq!(count(&stand, "/flows/bindings/", "search=STAGE%202").await, 1);

    let several = format!("target_in={}&target_in={}", flows[0], text(&target["policybindingmodel_ptr_id"]));
    assert_eq!(count(&stand, "/policies/bindings/", &several).await, 2);
    assert_eq!(count(&stand, "/policies/bindings/", &format!("target_in={policy}")).await, 0);
    assert_eq!(count(&stand, "/policies/bindings/", "search=gate").await, 4);
    assert_eq!(count(&stand, "/policies/bindings/", "search=door").await, 0);
    let bad = stand.get(&stand.admin, "/policies/bindings/?target_in=x").await.expect(400);
    assert_eq!(bad, json!({"target_in": ["Enter a valid UUID."]}));
}

#[tokio::test]
async fn policies_are_found_by_their_times() {
    let stand = Stand::start().await;
    let policy = stand.make::<DummyPolicy>(json!({"name": "new"})).await.pk;
    let object = stand.core.site.snapshot().find(policy.parse().unwrap()).unwrap().clone();
    let written = object.created.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    for name in ["created", "last_updated"] {
        assert_eq!(count(&stand, "/policies/dummy/", &format!("{name}={written}")).await, 1);
        assert_eq!(count(&stand, "/policies/dummy/", &format!("{name}=2001-01-01T00:00:00Z")).await, 0);
        let bad = stand.get(&stand.admin, &format!("/policies/dummy/?{name}=yesterday")).await.expect(400);
        assert_eq!(bad, json!({name: ["Enter a valid date/time."]}));
    }
}

#[tokio::test]
async fn scores_of_several_names_are_found_at_once() {
    let stand = Stand::start().await;
    let site = &stand.core.site;
    let mut unit = stand.unit();
    for name in ["ann", "bob", "cy"] {
        let limits = reputation::Limits { lower: -5, upper: 5 };
        let subject = (name, "192.0.2.1");
        reputation::add(&mut unit.tx, &*site.random, site.clock.now(), subject, 1, limits).await.unwrap();
    }
    unit.commit().await.unwrap();
    let list = "/policies/reputation/scores/";
    assert_eq!(count(&stand, list, "identifier_in=ann,cy,nobody").await, 2);
    assert_eq!(count(&stand, list, "identifier_in=ann&search=bob").await, 0);
    assert_eq!(count(&stand, list, "search=bob").await, 1);
}
