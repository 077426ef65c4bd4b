use crate::tests::{assert_denied, site};
use serde_json::json;

#[tokio::test]
async fn whoever_arrives_is_refused_with_the_configured_message() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (stage, _) = site.step(flow, 0, "deny", "no", json!({"deny_message": "Go away."})).await;
    assert_denied(&site.browser().get("f", "").await, "Go away.");
    assert_denied(&site.browser().post("f", "", json!({})).await, "Go away.");
    site.change("authentik_stages_deny.denystage", stage, json!({"deny_message": ""})).await;
    assert_denied(&site.browser().get("f", "").await, "Unknown error");
}

#[tokio::test]
async fn a_message_in_the_context_wins_even_when_it_is_empty() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "deny", "no", json!({"deny_message": "Go away."})).await;
    let (policy, _) = site.guard(binding, "p", json!({"set": {"deny_message": "Not you."}}), json!({})).await;
    assert_denied(&site.browser().get("f", "").await, "Not you.");
    site.change("weir_testkit.scriptedpolicy", policy, json!({"set": {"deny_message": ""}})).await;
    assert_denied(&site.browser().get("f", "").await, "Unknown error");
}
