//! How flows end and how they are denied.

use super::{assert_denied, assert_end, component, site};
use serde_json::json;

#[tokio::test]
async fn a_finished_flow_leads_to_a_local_next_or_to_the_start() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    for (query, to) in [
        ("", "/"),
        ("next=/if/user/", "/if/user/"),
        ("next=%2Fx%3Fa%3Db%23c", "/x?a=b#c"),
        ("next=relative/path", "relative/path"),
        ("next=/first&next=/last", "/last"),
        ("other=1", "/"),
    ] {
        let mut browser = site.browser();
        browser.get("f", query).await;
        assert_end(&browser.post("f", query, json!({})).await, to);
    }
}

#[tokio::test]
async fn a_site_below_a_path_names_that_path_in_all_addresses_it_makes() {
    let wiring = weir_testkit::Wiring {
        resources: crate::resources(),
        hooks: crate::hooks,
        stages: crate::kinds(),
        prefix: "/auth".to_owned(),
        ..Default::default()
    };
    let site = weir_testkit::TestSite::new(wiring).await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let enroll = site.flow("enroll", "enrollment", json!({"denied_action": "continue"})).await;
    site.guard(enroll, "no", json!({"passing": false}), json!({})).await;
    let fields = json!({"user_fields": ["username"], "enrollment_flow": enroll});
    site.step(flow, 0, "identification", "id", fields).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(shown["enroll_url"], "/auth/if/flow/enroll/");
    assert_eq!(shown["flow_info"]["cancel_url"], "/auth/flows/-/cancel/");
    assert_end(&browser.post("f", "", json!({"uid_field": "x"})).await, "/auth/");
    assert_eq!(browser.get("enroll", "").await["to"], "/auth/");
}

#[tokio::test]
async fn a_next_that_a_browser_would_take_elsewhere_is_refused() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    for next in [
        "",
        "//evil.example",
        "///evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "\\\\evil.example",
        "/\\evil.example",
        "/a b",
        "\t//evil.example",
        "/\n/evil.example",
        "https://id.example.org/same-host-but-absolute",
    ] {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        let mut browser = site.browser();
        browser.get("f", &query).await;
        assert_denied(&browser.post("f", &query, json!({})).await, "Invalid next URL");
        assert!(browser.state().await.plan.is_none());
    }
}

#[tokio::test]
async fn the_query_of_the_latest_request_counts() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "next=/old").await;
    assert_end(&browser.post("f", "next=/new", json!({})).await, "/new");
    browser.get("f", "next=/old").await;
    assert_end(&browser.post("f", "", json!({})).await, "/");
}

#[tokio::test]
async fn the_context_may_name_any_address_and_wins() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "next=/x").await;
    browser.set_context(json!({"redirect": "https://app.example/callback?code=1"})).await;
    assert_end(&browser.post("f", "next=/x", json!({})).await, "https://app.example/callback?code=1");
}

#[tokio::test]
async fn a_flow_without_stages_is_a_finished_flow() {
    let site = site().await;
    site.flow("f", "invalidation", json!({})).await;
    assert_end(&site.browser().get("f", "next=/x").await, "/x");
}

#[tokio::test]
async fn whoever_is_signed_in_is_sent_on_by_a_log_in_flow_that_does_not_apply() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    for (slug, designation, sent_on) in [("auth", "authentication", true), ("enroll", "enrollment", false)] {
        let more = json!({"authentication": "require_unauthenticated"});
        let flow = site.flow(slug, designation, more).await;
        site.step(flow, 0, "dummy", slug, json!({})).await;
        let mut browser = site.browser();
        browser.bearer = Some(ann);
        let shown = browser.get(slug, "next=/x").await;
        if sent_on {
            assert_end(&shown, "/x");
        } else {
            assert_denied(&shown, "Flow does not apply to current user.");
        }
    }
}

#[tokio::test]
async fn a_denied_flow_does_what_its_action_says() {
    let site = site().await;
    const DENIED: Option<&str> = None;
    for (action, next, expected) in [
        ("message", None, DENIED),
        ("message", Some("/local"), DENIED),
        ("message_continue", None, DENIED),
        ("message_continue", Some("/local"), Some("/local")),
        ("message_continue", Some("https://evil.example"), DENIED),
        ("continue", None, Some("/")),
        ("continue", Some("/local"), Some("/local")),
        ("continue", Some("//evil.example"), Some("/")),
    ] {
        let slug = format!("f{}", site.app.site.random.text(8));
        let more = json!({"denied_action": action, "authentication": "require_authenticated"});
        let flow = site.flow(&slug, "enrollment", more).await;
        site.step(flow, 0, "dummy", &slug, json!({})).await;
        let mut browser = site.browser();
        browser.request.query = next.map(|n| ("next".to_owned(), n.to_owned())).into_iter().collect();
        // The `next` inside the page's query is not looked at for denials.
        let shown = browser.get(&slug, "next=/inside").await;
        match expected {
            None => assert_denied(&shown, "Flow does not apply to current user."),
            Some(to) => {
                let redirect = json!({"component": "xak-flow-redirect", "to": to, "final_redirect": false});
                assert_eq!(shown, redirect, "{action} {next:?}");
            }
        }
        assert!(browser.state().await.plan.is_none());
    }
}

#[tokio::test]
async fn a_denial_shows_the_page_of_the_flow_and_who_is_meant() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "authentication", json!({"title": "T"})).await;
    site.step(flow, 0, "deny", "no", json!({"deny_message": "No."})).await;
    let mut browser = site.browser();
    browser.bearer = Some(ann);
    let shown = browser.get("f", "").await;
    assert_denied(&shown, "No.");
    assert_eq!(shown["flow_info"]["title"], "T");
    assert_eq!(shown["pending_user"], "ann");
    assert!(shown["pending_user_avatar"].is_string());
}

#[tokio::test]
async fn runs_that_end_leave_a_record_without_secrets() {
    let site = site().await;
    let ann = site.user("ann", "right horse").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "identification", "id", json!({"user_fields": ["username"]})).await;
    let backends = json!({"backends": ["authentik.core.auth.InbuiltBackend"]});
    let (_, binding) = site.step(flow, 1, "password", "pw", backends).await;
    site.guard(binding, "guard", json!({"messages": ["look"]}), json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.post("f", "", json!({"uid_field": "ann"})).await;
    browser.post("f", "", json!({"password": "wrong horse"})).await;
    assert!(site.runs().await.is_empty(), "a run is recorded when it ends");
    assert_end(&browser.post("f", "", json!({"password": "right horse"})).await, "/");
    let runs = site.runs().await;
    assert_eq!(runs.len(), 1);
    let (outcome, record) = &runs[0];
    assert_eq!(outcome, "finished");
    let text = record.to_string();
    assert!(!text.contains("horse"), "{text}");
    let told: Vec<&str> = record["lines"].as_array().unwrap().iter().map(|l| l["what"].as_str().unwrap()).collect();
    // What is asked again with the same answer before anything moved on is not told twice.
    let expected = ["planned", "shown", "passed", "policies", "shown", "refused", "policies", "passed", "finished"];
    assert_eq!(told, expected);
    let row = site.db.read_one("SELECT user_id, flow_slug FROM flow_run", &[]).await.unwrap().unwrap();
    assert_eq!((row.int("user_id").unwrap(), row.text("flow_slug").unwrap()), (ann, "f".to_owned()));
}

#[tokio::test]
async fn denied_runs_leave_a_record_too() {
    let site = site().await;
    let flow = site.flow("f", "enrollment", json!({})).await;
    site.guard(flow, "no", json!({"passing": false, "messages": ["Closed."]}), json!({})).await;
    let shown = site.browser().get("f", "").await;
    assert_eq!(component(&shown), "ak-stage-access-denied");
    let runs = site.runs().await;
    assert_eq!(runs[0].0, "denied");
    assert_eq!(runs[0].1["lines"][0]["asked"][0]["policy"], "no");
    assert_eq!(runs[0].1["lines"][1]["message"], "Closed.");
}
