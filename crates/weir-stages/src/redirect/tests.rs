use crate::tests::{assert_denied, assert_end, component, error, site};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_testkit::{TestSite, map};

const MODEL: &str = "authentik_stages_redirect.redirectstage";

/// The flow `a` with a redirect stage, and the flow `b` with a dummy stage; gives the stage, its binding and `b`.
async fn flows(site: &TestSite, settings: Value) -> (Uuid, Uuid, Uuid) {
    let (a, b) = (site.flow("a", "authentication", json!({})).await, site.flow("b", "recovery", json!({})).await);
    site.step(b, 0, "dummy", "in b", json!({})).await;
    let mut body = map(json!({"mode": "flow", "target_flow": b}));
    body.extend(map(settings));
    let (stage, binding) = site.step(a, 0, "redirect", "go", Value::Object(body)).await;
    site.step(a, 1, "dummy", "in a", json!({})).await;
    (stage, binding, b)
}

fn to(address: &str) -> Value {
    json!({"component": "xak-flow-redirect", "to": address, "final_redirect": false})
}

#[tokio::test]
async fn a_target_of_the_chosen_kind_must_be_there() {
    let site = site().await;
    for (body, text) in [
        (json!({"mode": "static"}), "Target URL should be present when mode is Static."),
        (json!({"mode": "flow", "target_static": "/x"}), "Target Flow should be present when mode is Flow."),
    ] {
        let mut body = map(body);
        body.insert("name".to_owned(), "r".into());
        let refused = site.try_make(MODEL, Value::Object(body)).await.err().unwrap();
        assert_eq!(refused.body(), json!({"non_field_errors": [text]}));
    }
    let refused = site.try_make(MODEL, json!({"name": "r"})).await.err().unwrap();
    assert_eq!(refused.body(), json!({"mode": ["This field is required."]}));
}

#[tokio::test]
async fn an_address_is_shown_and_the_plan_waits_for_an_answer() {
    let site = site().await;
    flows(&site, json!({"mode": "static", "target_static": "https://elsewhere.example/?a=b"})).await;
    let mut browser = site.browser();
    for _ in 0..2 {
        assert_eq!(browser.get("a", "next=/x").await, to("https://elsewhere.example/?a=b"));
    }
    let refused = browser.post("a", "next=/x", json!({})).await;
    assert_eq!(error(&refused, "to"), ("This field is required.", "required"));
    let passed = browser.post("a", "next=/x", json!({"to": "https://elsewhere.example/?a=b"})).await;
    assert_eq!(passed["name"], "in a");
}

#[tokio::test]
async fn another_flow_goes_on_with_the_context_and_the_query() {
    let site = site().await;
    let (stage, ..) = flows(&site, json!({})).await;
    let a = site.app.site.snapshot().get_by::<weir_flow::Flow>("slug", "a").unwrap().0;
    let begin = site.flow("begin", "authentication", json!({})).await;
    site.step(begin, 0, "dummy", "start", json!({})).await;
    site.bind(begin, stage, 1, json!({})).await;
    for keep in [true, false] {
        site.change(MODEL, stage, json!({"keep_context": keep})).await;
        let mut browser = site.browser();
        browser.get("begin", "next=/x").await;
        browser.set_context(json!({"mark": 1})).await;
        assert_eq!(browser.post("begin", "next=/x", json!({})).await, to("/if/flow/b/?next=/x"));
        assert_eq!(browser.get("b", "next=/x").await["name"], "in b");
        let context = browser.context().await;
        assert_eq!(context.contains_key("mark"), keep);
        assert_eq!(context["is_redirected"], json!(begin));
        assert_end(&browser.post("b", "next=/x", json!({})).await, "/x");
    }
    let mut browser = site.browser();
    browser.get("a", "").await;
    assert_eq!(browser.context().await["is_redirected"], json!(a));
    assert_eq!(site.runs().await.iter().filter(|r| r.0 == "switched").count(), 3);
}

#[tokio::test]
async fn a_flow_that_wants_to_be_redirected_to_is_reached_this_way_only() {
    let site = site().await;
    let (_, _, b) = flows(&site, json!({})).await;
    site.change("authentik_flows.flow", b, json!({"authentication": "require_redirect"})).await;
    let mut browser = site.browser();
    assert_denied(&browser.get("b", "").await, "Flow does not apply to current user.");
    assert_eq!(browser.get("a", "").await, to("/if/flow/b/"));
    assert_eq!(browser.get("b", "").await["name"], "in b");
}

#[tokio::test]
async fn the_context_may_name_another_target() {
    let site = site().await;
    let (_, binding, _) = flows(&site, json!({})).await;
    let c = site.flow("c", "recovery", json!({})).await;
    site.step(c, 0, "dummy", "in c", json!({})).await;
    let (policy, _) = site.guard(binding, "p", json!({}), json!({})).await;
    for (wish, expected) in [
        ("https://elsewhere.example/", "https://elsewhere.example/"),
        ("ak-flow://c", "/if/flow/c/"),
        ("ak-flow://unknown", "/if/flow/b/"),
    ] {
        site.change("weir_testkit.scriptedpolicy", policy, json!({"set": {"redirect_stage_target": wish}})).await;
        assert_eq!(site.browser().get("a", "").await, to(expected));
    }
}

#[tokio::test]
async fn a_flow_that_does_not_apply_or_is_gone_denies() {
    let site = site().await;
    let (_, _, b) = flows(&site, json!({})).await;
    let (policy, _) = site.guard(b, "no", json!({"passing": false, "messages": ["secret reason"]}), json!({})).await;
    assert_denied(&site.browser().get("a", "").await, "Unknown error");
    site.delete("weir_testkit.scriptedpolicy", policy).await;
    site.delete("authentik_flows.flow", b).await;
    let text = "No target found for Redirect stage. The stage's target_flow may have been deleted.";
    assert_denied(&site.browser().get("a", "").await, text);
}

#[tokio::test]
async fn an_empty_flow_is_a_finished_one() {
    let site = site().await;
    let (stage, ..) = flows(&site, json!({})).await;
    let empty = site.flow("empty", "recovery", json!({})).await;
    site.change(MODEL, stage, json!({"target_flow": empty})).await;
    let mut browser = site.browser();
    assert_eq!(browser.get("a", "next=/x").await, to("/if/flow/empty/?next=/x"));
    assert_end(&browser.get("empty", "next=/x").await, "/x");
}

#[tokio::test]
async fn the_other_flow_knows_its_own_user() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let (_, _, b) = flows(&site, json!({})).await;
    site.change("authentik_flows.flow", b, json!({"authentication": "require_authenticated"})).await;
    assert_denied(&site.browser().get("a", "").await, "Unknown error");
    let mut browser = site.browser();
    browser.bearer = Some(ann);
    assert_eq!(component(&browser.get("a", "").await), "xak-flow-redirect");
}
