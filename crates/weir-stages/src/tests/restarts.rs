//! What a refused answer does.

use super::{assert_denied, assert_end, component, error, site};
use serde_json::{Value, json};
use weir_flow::executor::{Input, Reply};
use weir_testkit::{TestSite, map};

const BINDING: &str = "authentik_flows.flowstagebinding";

/// A flow with a dummy and a consent stage that refuses wrong tokens with this action.
async fn refusing(site: &TestSite, action: &str) {
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let (_, binding) = site.step(flow, 1, "consent", "c", json!({"mode": "always_require"})).await;
    site.change(BINDING, binding, json!({"invalid_response_action": action})).await;
}

async fn refused(site: &TestSite) -> (Value, serde_json::Map<String, Value>) {
    let mut browser = site.browser();
    browser.post("f", "", json!({})).await;
    browser.set_context(json!({"mark": 1})).await;
    let shown = browser.post("f", "", json!({"token": "wrong"})).await;
    let context = browser.context().await;
    (shown, context)
}

#[tokio::test]
async fn retry_shows_the_stage_again_with_its_errors() {
    let site = site().await;
    refusing(&site, "retry").await;
    let (shown, context) = refused(&site).await;
    assert_eq!(error(&shown, "token").0, "Invalid consent token, re-showing prompt");
    assert_eq!(context["mark"], 1);
}

#[tokio::test]
async fn restart_begins_from_nothing() {
    let site = site().await;
    refusing(&site, "restart").await;
    let (shown, context) = refused(&site).await;
    assert_eq!(shown["name"], "a");
    assert!(shown.get("response_errors").is_none());
    assert!(!context.contains_key("mark"));
}

#[tokio::test]
async fn restart_with_context_keeps_what_is_known() {
    let site = site().await;
    refusing(&site, "restart_with_context").await;
    let (shown, context) = refused(&site).await;
    assert_eq!(shown["name"], "a");
    assert_eq!(context["mark"], 1);
}

#[tokio::test]
async fn a_restart_answers_with_a_redirect_to_the_executor() {
    let site = site().await;
    refusing(&site, "restart").await;
    let mut browser = site.browser();
    browser.post("f", "", json!({})).await;
    let reply = browser.step("f", "", Input::Answer(map(json!({"token": "wrong"})))).await.unwrap();
    assert_eq!(reply, Reply::ToSelf);
}

#[tokio::test]
async fn a_restart_asks_requirement_and_policies_again_about_the_old_context() {
    let site = site().await;
    let flow = site.flow("f", "enrollment", json!({})).await;
    let (_, binding) = site
        .step(
            flow,
            0,
            "identification",
            "id",
            json!({
                "user_fields": ["username"], "pretend_user_exists": false,
            }),
        )
        .await;
    site.change(BINDING, binding, json!({"invalid_response_action": "restart_with_context"})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    // Refuses whoever has tried a name.
    site.guard(flow, "p", json!({"only_with": "pending_user"}), json!({"negate": true})).await;
    let shown = browser.post("f", "", json!({"uid_field": "nobody"})).await;
    assert_denied(&shown, "Flow does not apply to current user.");
    let asked = site.asked();
    assert_eq!(asked[0].context["pending_user"]["username"], "nobody", "the claimed name is visible to policies");
}

#[tokio::test]
async fn a_denial_by_a_stage_honours_the_action_and_cannot_loop() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let (_, binding) = site.step(flow, 1, "deny", "no", json!({"deny_message": "No."})).await;
    site.change(BINDING, binding, json!({"invalid_response_action": "restart"})).await;
    let mut browser = site.browser();
    for _ in 0..10 {
        // With something to answer in between, starting over is as good as reloading the page.
        assert_eq!(browser.post("f", "", json!({})).await["name"], "a");
    }
    let loops = site.flow("g", "authentication", json!({})).await;
    let (_, binding) = site.step(loops, 0, "deny", "never", json!({})).await;
    site.change(BINDING, binding, json!({"invalid_response_action": "restart"})).await;
    let mut browser = site.browser();
    for _ in 0..2 {
        assert_denied(&browser.get("g", "").await, "Unknown error");
        assert_eq!(browser.state().await.restarts, 0, "the next visit begins anew");
    }
}

#[tokio::test]
async fn a_restart_into_an_empty_flow_ends_it() {
    let site = site().await;
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    let (_, binding) = site.step(flow, 0, "consent", "c", json!({"mode": "always_require"})).await;
    site.change(BINDING, binding, json!({"invalid_response_action": "restart"})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    site.delete(BINDING, binding).await;
    assert_end(&browser.post("f", "", json!({"token": "wrong"})).await, "/");
}

#[tokio::test]
async fn a_restart_of_a_log_in_flow_that_no_longer_applies_is_denied() {
    let site = site().await;
    refusing(&site, "restart").await;
    let mut browser = site.browser();
    browser.post("f", "", json!({})).await;
    let flow = site.app.site.snapshot().get_by::<weir_flow::Flow>("slug", "f").unwrap().0;
    site.change("authentik_flows.flow", flow, json!({"authentication": "require_superuser"})).await;
    let shown = browser.post("f", "", json!({"token": "wrong"})).await;
    assert_eq!(component(&shown), "ak-stage-access-denied");
    assert!(browser.state().await.plan.is_none());
}
