//! Walking through a plan.

use super::{assert_denied, assert_end, component, error, site};
use serde_json::json;
use weir_flow::executor::{Input, Reply};

#[tokio::test]
async fn looking_does_not_advance_and_answering_does() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    let mut browser = site.browser();
    for _ in 0..3 {
        assert_eq!(browser.get("f", "").await["name"], "a");
    }
    let reply = browser.step("f", "", Input::Answer(Default::default())).await.unwrap();
    assert_eq!(reply, Reply::ToSelf, "while stages remain the client is sent back to the executor");
    assert_eq!(browser.get("f", "").await["name"], "b");
    assert_end(&browser.post("f", "", json!({})).await, "/");
    assert!(browser.state().await.plan.is_none(), "a finished flow leaves no plan");
}

#[tokio::test]
async fn looking_twice_writes_nothing() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "a", json!({})).await;
    site.guard(binding, "p", json!({"messages": ["hello"]}), json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    let version = browser.who().await.1.unwrap().flow_version;
    browser.get("f", "").await;
    browser.get("f", "").await;
    assert_eq!(browser.who().await.1.unwrap().flow_version, version);
}

#[tokio::test]
async fn two_browsers_never_share_a_plan() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    let (mut one, mut two) = (site.browser(), site.browser());
    one.get("f", "").await;
    two.get("f", "").await;
    assert_ne!(one.key, two.key);
    one.post("f", "", json!({})).await;
    assert_eq!(two.get("f", "").await["name"], "a");
}

#[tokio::test]
async fn an_answer_may_leave_its_component_out_but_not_name_another() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    for (order, name) in ["a", "b", "c"].iter().enumerate() {
        site.step(flow, i32::try_from(order).unwrap(), "dummy", name, json!({})).await;
    }
    let mut browser = site.browser();
    let foreign = browser.post("f", "", json!({"component": "ak-stage-password", "password": "x"})).await;
    assert_eq!(foreign["name"], "a", "the stage stays");
    assert!(foreign["response_errors"]["component"].is_array());
    let own = json!({"component": "ak-stage-dummy", "unknown": [1, 2]});
    assert_eq!(browser.post("f", "", own).await["name"], "b");
    let plain = json!({"component": "xak-flow-response-default"});
    assert_eq!(browser.post("f", "", plain).await["name"], "c");
    assert_end(&browser.post("f", "", json!({})).await, "/");
}

#[tokio::test]
async fn a_stage_whose_policies_refuse_is_skipped_also_on_an_answer() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, first) = site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    site.step(flow, 2, "dummy", "c", json!({})).await;
    let mut browser = site.browser();
    assert_eq!(browser.get("f", "").await["name"], "a");
    site.guard(first, "no", json!({"passing": false}), json!({})).await;
    // The answer goes to whichever stage is then first.
    assert_eq!(browser.post("f", "", json!({})).await["name"], "c");
}

#[tokio::test]
async fn when_all_stages_are_skipped_the_flow_is_over() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    for (order, name) in [(0, "a"), (1, "b")] {
        let (_, binding) = site.step(flow, order, "dummy", name, json!({})).await;
        site.guard(binding, name, json!({"passing": false}), json!({})).await;
    }
    assert_end(&site.browser().get("f", "next=/x").await, "/x");
}

#[tokio::test]
async fn stage_policies_are_asked_about_the_pending_user_and_see_the_context() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "a", json!({})).await;
    site.guard(binding, "p", json!({}), json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    assert_eq!(site.asked()[0].user, None);
    browser.set_context(json!({"pending_user": {"pk": ann}, "color": "blue"})).await;
    browser.get("f", "").await;
    let asked = site.asked();
    assert_eq!(asked[0].user.as_deref(), Some("ann"));
    assert_eq!(asked[0].context["color"], "blue");
    assert!(asked[0].has_plan);
}

#[tokio::test]
async fn messages_of_policies_reach_the_person_whether_they_pass_or_not() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, a) = site.step(flow, 0, "dummy", "a", json!({})).await;
    let (_, b) = site.step(flow, 1, "dummy", "b", json!({})).await;
    site.guard(a, "no", json!({"passing": false, "messages": ["skipped"]}), json!({})).await;
    site.guard(b, "yes", json!({"messages": ["welcome"]}), json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    assert_eq!(browser.notices, ["skipped", "welcome"]);
}

#[tokio::test]
async fn a_policy_may_change_the_context_and_have_the_browser_sent_elsewhere_next() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    let script = json!({"set": {"a": 1}, "unset": ["gone"], "redirect": "https://elsewhere.example/"});
    let (policy, _) = site.guard(binding, "p", script, json!({})).await;
    let mut browser = site.browser();
    assert_eq!(browser.get("f", "").await["name"], "a");
    assert_eq!(browser.context().await["a"], 1);
    site.change("weir_testkit.scriptedpolicy", policy, json!({"redirect": ""})).await;
    let shown = browser.post("f", "", json!({})).await;
    assert_eq!(
        shown,
        json!({"component": "xak-flow-redirect", "to": "https://elsewhere.example/", "final_redirect": false})
    );
    assert_eq!(browser.get("f", "").await, shown, "the plan stays where it is");
    assert_eq!(browser.post("f", "", json!({"to": "https://elsewhere.example/"})).await["name"], "b");
}

#[tokio::test]
async fn a_refused_stage_may_still_send_the_browser_elsewhere() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "a", json!({})).await;
    site.guard(binding, "p", json!({"passing": false, "redirect": "/over-there"}), json!({})).await;
    assert_eq!(site.browser().get("f", "").await["to"], "/over-there");
}

#[tokio::test]
async fn another_flow_drops_the_plan_with_its_whole_context() {
    let site = site().await;
    let (a, b) = (site.flow("a", "authentication", json!({})).await, site.flow("b", "recovery", json!({})).await);
    site.step(a, 0, "dummy", "a", json!({})).await;
    site.step(b, 0, "dummy", "b", json!({})).await;
    let mut browser = site.browser();
    browser.get("a", "next=/a").await;
    browser.set_context(json!({"secret_of_a": 1})).await;
    browser.get("b", "").await;
    assert!(!browser.context().await.contains_key("secret_of_a"));
    assert_end(&browser.post("b", "", json!({})).await, "/");
    browser.get("a", "").await;
    assert!(!browser.context().await.contains_key("secret_of_a"));
}

#[tokio::test]
async fn a_failing_stage_keeps_the_plan_and_tells_its_cause_to_few() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (stage, _) = site.step(flow, 0, "dummy", "a", json!({"throw_error": true})).await;
    let ann = site.user("ann", "").await;
    let root = site.admin("root", "").await;
    let debugger = site.user("dee", "").await;
    site.make(
        "authentik_core.group",
        json!({"name": "debuggers", "users": [debugger], "attributes": {"goauthentik.io/user/debug": true}}),
    )
    .await;
    for (visitor, told) in [(None, false), (Some(ann), false), (Some(root), true), (Some(debugger), true)] {
        let mut browser = site.browser();
        browser.bearer = visitor;
        for input in [Input::View, Input::Answer(Default::default())] {
            let Reply::Challenge(shown) = browser.step("f", "", input).await.unwrap() else { panic!("no challenge") };
            assert_eq!(component(&shown), "ak-stage-flow-error");
            assert_eq!(shown["request_id"].as_str().map(str::len), Some(32));
            assert_eq!(shown.get("error").is_some_and(|e| e == "Test error"), told, "{visitor:?}");
            assert_eq!(shown.get("traceback").is_some(), told);
            assert!(shown.get("flow_info").is_none());
        }
        assert!(browser.state().await.plan.is_some());
    }
    assert_eq!(site.events_of("system_exception").await.len(), 8);
    let mut browser = site.browser();
    browser.get("f", "").await;
    site.change("authentik_stages_dummy.dummystage", stage, json!({"throw_error": false})).await;
    assert_eq!(browser.get("f", "").await["name"], "a", "the fields of a stage are read when it runs");
}

#[tokio::test]
async fn a_stage_deleted_while_the_flow_runs_denies_instead_of_being_skipped() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (stage, _) = site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    site.delete("authentik_stages_dummy.dummystage", stage).await;
    assert_denied(&browser.post("f", "", json!({})).await, "Unknown error");
    assert!(browser.state().await.plan.is_none());
    assert_eq!(browser.get("f", "").await["name"], "b", "a new plan knows the new flow");
}

#[tokio::test]
async fn a_running_plan_knows_nothing_of_later_bindings_but_of_later_fields() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (a, binding) = site.step(flow, 0, "dummy", "a", json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    site.change("authentik_flows.flowstagebinding", binding, json!({"order": 5})).await;
    site.change("authentik_stages_dummy.dummystage", a, json!({"name": "renamed"})).await;
    assert_eq!(browser.get("f", "").await["name"], "renamed");
    assert_end(&browser.post("f", "", json!({})).await, "/");
}

#[tokio::test]
async fn a_plan_of_another_version_or_a_damaged_one_is_made_anew() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    let mut browser = site.browser();
    browser.post("f", "", json!({})).await;
    assert_eq!(browser.get("f", "").await["name"], "b");
    let text = browser.state().await.write().replace("\"version\":1", "\"version\":0");
    browser.write_state(&text).await;
    assert_eq!(browser.get("f", "").await["name"], "a");
    browser.write_state("{\"plan\": {\"steps\": 7").await;
    assert_eq!(browser.get("f", "").await["name"], "a");
}

#[tokio::test]
async fn every_challenge_tells_about_its_flow() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let more = json!({"title": "Hello %(user)s at %(app)s", "layout": "sidebar_left", "background": "https://cdn.example/x.jpg"});
    let flow = site.flow("f", "authentication", more).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "next=%2Fa%3Fb%3Dc").await;
    assert_eq!(shown["flow_info"]["title"], "Hello  at ");
    assert_eq!(shown["flow_info"]["layout"], "sidebar_left");
    assert_eq!(shown["flow_info"]["background"], "https://cdn.example/x.jpg");
    assert_eq!(shown["flow_info"]["background_themed_urls"], json!(null));
    assert_eq!(shown["flow_info"]["cancel_url"], "/flows/-/cancel/?next=%2Fa%3Fb%3Dc");
    assert!(shown.get("pending_user").is_none() && shown.get("response_errors").is_none());
    browser.set_context(json!({"pending_user": {"pk": ann}, "application": {"name": "Wiki"}})).await;
    let shown = browser.get("f", "").await;
    assert_eq!(shown["flow_info"]["title"], "Hello ann at Wiki");
    assert_eq!(shown["flow_info"]["cancel_url"], "/flows/-/cancel/");
    for (background, url, themed) in [
        ("", "/static/dist/assets/images/flow_background.jpg", json!(null)),
        (
            "bg-%(theme)s.png",
            "/media/public/bg-%(theme)s.png",
            json!({"light": "/media/public/bg-light.png", "dark": "/media/public/bg-dark.png"}),
        ),
    ] {
        site.change("authentik_flows.flow", flow, json!({"background": background})).await;
        let info = browser.get("f", "").await["flow_info"].clone();
        assert_eq!((info["background"].as_str(), &info["background_themed_urls"]), (Some(url), &themed));
    }
}

#[tokio::test]
async fn the_brand_has_a_say_in_the_background() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let body = json!({"domain": "example.org", "branding_default_flow_background": "/static/own.jpg"});
    let brand = site.make("authentik_brands.brand", body).await;
    let mut browser = site.browser();
    browser.request.brand = Some(brand);
    assert_eq!(browser.get("f", "").await["flow_info"]["background"], "/static/own.jpg");
}

#[tokio::test]
async fn challenges_about_a_person_show_who_is_meant() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    site.step(flow, 0, "consent", "c", json!({"mode": "always_require"})).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(shown["pending_user"], "");
    assert_eq!(shown["pending_user_avatar"], "/static/dist/assets/images/user_default.png");
    browser.bearer = Some(bob);
    assert_eq!(browser.get("f", "").await["pending_user"], "bob");
    browser.set_context(json!({"pending_user": {"pk": ann}})).await;
    assert_eq!(browser.get("f", "").await["pending_user"], "ann");
    browser.set_context(json!({"pending_user_identifier": "ann@example.org"})).await;
    assert_eq!(browser.get("f", "").await["pending_user"], "ann@example.org");
}

#[tokio::test]
async fn errors_stand_beside_their_field_and_the_challenge_is_made_anew() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "consent", "c", json!({"mode": "always_require"})).await;
    let mut browser = site.browser();
    let first = browser.get("f", "").await;
    let second = browser.post("f", "", json!({})).await;
    assert_eq!(error(&second, "token"), ("This field is required.", "required"));
    assert_ne!(first["token"], second["token"]);
    let third = browser.post("f", "", json!({"token": null})).await;
    assert_eq!(error(&third, "token"), ("This field may not be null.", "null"));
    let fourth = browser.post("f", "", json!({"token": ""})).await;
    assert_eq!(error(&fourth, "token"), ("This field may not be blank.", "blank"));
}

#[tokio::test]
async fn an_anonymous_session_ends_and_a_visit_begins_anew() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    let mut browser = site.browser();
    assert_eq!(browser.post("f", "", json!({})).await["name"], "b");
    site.clock.advance(site.app.anonymous_session_life - chrono::TimeDelta::seconds(1));
    assert_eq!(browser.get("f", "").await["name"], "b");
    let old = browser.key.clone();
    site.clock.advance(chrono::TimeDelta::seconds(1));
    assert_eq!(browser.get("f", "").await["name"], "a");
    assert_ne!(browser.key, old);
}

#[tokio::test]
async fn a_key_that_the_client_chose_is_never_adopted() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let mut browser = site.browser();
    browser.key = Some("chosen by an attacker".to_owned());
    browser.get("f", "").await;
    assert_ne!(browser.key.as_deref(), Some("chosen by an attacker"));
}
