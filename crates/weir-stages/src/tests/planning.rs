//! Making plans.

use super::{assert_denied, assert_end, component, site};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_flow::FlowStageBinding;
use weir_testkit::TestSite;

const BINDING: &str = "authentik_flows.flowstagebinding";

/// Names of the dummy stages that a fresh browser walks through.
async fn walked(site: &TestSite, flow: &str) -> Vec<String> {
    let mut browser = site.browser();
    let mut challenge = browser.get(flow, "").await;
    let mut names = Vec::new();
    while component(&challenge) == "ak-stage-dummy" {
        names.push(challenge["name"].as_str().unwrap().to_owned());
        challenge = browser.post(flow, "", json!({})).await;
    }
    assert_end(&challenge, "/");
    names
}

#[tokio::test]
async fn stages_come_in_the_order_of_their_bindings() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    for (order, name) in [(10, "last"), (-5, "first"), (0, "middle")] {
        site.step(flow, order, "dummy", name, json!({})).await;
    }
    assert_eq!(walked(&site, "f").await, ["first", "middle", "last"]);
}

#[tokio::test]
async fn a_stage_may_be_bound_several_times_with_different_orders_only() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (stage, _) = site.step(flow, 1, "dummy", "twice", json!({})).await;
    site.bind(flow, stage, 2, json!({})).await;
    assert_eq!(walked(&site, "f").await, ["twice", "twice"]);
    let again = site.try_make(BINDING, json!({"target": flow, "stage": stage, "order": 2})).await.err().unwrap();
    assert_eq!(again.body()["non_field_errors"], json!(["The fields target, stage, order must make a unique set."]));
}

#[tokio::test]
async fn one_of_the_two_evaluations_must_be_on_judged_on_the_resulting_row() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let stage = site.stage("dummy", "d", json!({})).await;
    let text = json!(["Either evaluation on plan or evaluation on run must be enabled"]);
    let body = json!({"target": flow, "stage": stage, "order": 0, "re_evaluate_policies": false});
    assert_eq!(site.try_make(BINDING, body).await.err().unwrap().body()["non_field_errors"], text);
    let binding = site.bind(flow, stage, 0, json!({"evaluate_on_plan": true, "re_evaluate_policies": false})).await;
    let patch = site.try_change(BINDING, binding, json!({"evaluate_on_plan": false})).await.err().unwrap();
    assert_eq!(patch.body()["non_field_errors"], text);
    site.change(BINDING, binding, json!({"evaluate_on_plan": false, "re_evaluate_policies": true})).await;
}

#[tokio::test]
async fn a_binding_evaluated_at_planning_is_left_out_when_its_policies_refuse() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, out) = site.step(flow, 0, "dummy", "out", json!({})).await;
    site.step(flow, 1, "dummy", "in", json!({})).await;
    site.change(BINDING, out, json!({"evaluate_on_plan": true})).await;
    site.guard(out, "no", json!({"passing": false}), json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    let steps = browser.state().await.plan.unwrap().steps;
    assert_eq!(steps.len(), 1);
    assert_eq!(walked(&site, "f").await, ["in"]);
}

#[tokio::test]
async fn evaluation_at_planning_alone_does_not_ask_again_later() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "d", json!({})).await;
    site.change(BINDING, binding, json!({"evaluate_on_plan": true, "re_evaluate_policies": false})).await;
    site.guard(binding, "p", json!({}), json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    let asked = site.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].has_plan, "a policy at planning sees the plan");
    browser.get("f", "").await;
    browser.post("f", "", json!({})).await;
    assert!(site.asked().is_empty());
}

#[tokio::test]
async fn both_evaluations_ask_twice_and_the_default_asks_at_every_request() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "d", json!({})).await;
    site.guard(binding, "p", json!({}), json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    assert_eq!(site.asked().len(), 1);
    browser.get("f", "").await;
    assert_eq!(site.asked().len(), 1);
    browser.post("f", "", json!({})).await;
    assert_eq!(site.asked().len(), 1);
    site.change(BINDING, binding, json!({"evaluate_on_plan": true})).await;
    site.browser().get("f", "").await;
    assert_eq!(site.asked().len(), 2);
}

#[tokio::test]
async fn policies_of_the_flow_are_asked_once_for_a_plan_about_the_visitor() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    site.guard(flow, "p", json!({}), json!({})).await;
    let mut browser = site.browser();
    browser.bearer = Some(site.user("ann", "").await);
    browser.get("f", "").await;
    let asked = site.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].user.as_deref(), Some("ann"));
    assert!(!asked[0].has_plan, "there is no plan yet");
    browser.post("f", "", json!({})).await;
    assert!(site.asked().is_empty());
}

#[tokio::test]
async fn a_refusing_flow_policy_gives_its_messages_or_the_general_one() {
    let site = site().await;
    let flow = site.flow("f", "enrollment", json!({"policy_engine_mode": "all"})).await;
    site.step(flow, 0, "dummy", "d", json!({})).await;
    let (policy, _) = site.guard(flow, "p", json!({"passing": false}), json!({})).await;
    let denied = site.browser().get("f", "").await;
    assert_denied(&denied, "Flow does not apply to current user.");
    site.change("weir_testkit.scriptedpolicy", policy, json!({"messages": ["Not today.", "Nor tomorrow."]})).await;
    site.guard(flow, "q", json!({"messages": ["Fine with me."]}), json!({"order": 1})).await;
    let denied = site.browser().get("f", "").await;
    assert_denied(&denied, "Not today.\nNor tomorrow.\nFine with me.");
}

#[tokio::test]
async fn negation_failure_results_and_disabled_bindings_decide_whether_a_flow_applies() {
    let site = site().await;
    for (slug, script, binding, applies) in [
        ("negated", json!({"passing": false}), json!({"negate": true}), true),
        ("negated-pass", json!({}), json!({"negate": true}), false),
        ("failing", json!({"error": "broken"}), json!({}), false),
        ("failing-ok", json!({"error": "broken"}), json!({"failure_result": true}), true),
        ("failing-ok-negated", json!({"error": "broken"}), json!({"failure_result": true, "negate": true}), true),
        ("disabled", json!({"passing": false}), json!({"enabled": false}), true),
    ] {
        let flow = site.flow(slug, "enrollment", json!({})).await;
        site.step(flow, 0, "dummy", slug, json!({})).await;
        site.guard(flow, slug, script, binding).await;
        let shown = site.browser().get(slug, "").await;
        let expected = if applies { "ak-stage-dummy" } else { "ak-stage-access-denied" };
        assert_eq!(component(&shown), expected, "{slug}");
    }
    assert_eq!(site.events_of("policy_exception").await.len(), 3);
}

#[tokio::test]
async fn group_and_user_bindings_admit_members_and_never_anonymous_visitors() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let group = site.group("staff", &[ann]).await;
    for (slug, binding, admitted) in [
        ("group", json!({"group": group}), vec![ann]),
        ("not-group", json!({"group": group, "negate": true}), vec![bob]),
        ("user", json!({"user": bob}), vec![bob]),
    ] {
        let flow = site.flow(slug, "enrollment", json!({})).await;
        site.step(flow, 0, "dummy", slug, json!({})).await;
        let mut body = binding.as_object().cloned().unwrap();
        body.extend(weir_testkit::map(json!({"target": flow, "order": 0})));
        site.make("authentik_policies.policybinding", Value::Object(body)).await;
        for visitor in [None, Some(ann), Some(bob)] {
            let mut browser = site.browser();
            browser.bearer = visitor;
            let shown = browser.get(slug, "").await;
            let is_admitted = visitor.is_some_and(|v| admitted.contains(&v));
            assert_eq!(component(&shown) == "ak-stage-dummy", is_admitted, "{slug} {visitor:?}");
        }
    }
}

#[tokio::test]
async fn the_requirement_of_a_flow_is_held_against_the_request() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let root = site.admin("root", "").await;
    // Superuser through an ancestor group.
    let deep = site.user("deep", "").await;
    let top = site.make("authentik_core.group", json!({"name": "top", "is_superuser": true})).await;
    site.make("authentik_core.group", json!({"name": "below", "parents": [top], "users": [deep]})).await;
    for (requirement, admitted) in [
        ("none", vec![None, Some(ann), Some(root), Some(deep)]),
        ("require_authenticated", vec![Some(ann), Some(root), Some(deep)]),
        ("require_unauthenticated", vec![None]),
        ("require_superuser", vec![Some(root), Some(deep)]),
        ("require_redirect", vec![]),
        ("require_outpost", vec![]),
        ("require_token", vec![]),
    ] {
        let slug = requirement.replace('_', "-");
        let flow = site.flow(&slug, "enrollment", json!({"authentication": requirement})).await;
        site.step(flow, 0, "dummy", &slug, json!({})).await;
        for visitor in [None, Some(ann), Some(root), Some(deep)] {
            let mut browser = site.browser();
            browser.bearer = visitor;
            let shown = browser.get(&slug, "").await;
            if admitted.contains(&visitor) {
                assert_eq!(component(&shown), "ak-stage-dummy", "{slug} {visitor:?}");
            } else if requirement == "require_token" {
                assert_denied(&shown, "This link is invalid or has expired. Please request a new one.");
            } else {
                assert_denied(&shown, "Flow does not apply to current user.");
            }
        }
    }
}

#[tokio::test]
async fn an_outpost_opens_its_flows_and_is_known_to_every_plan() {
    let site = site().await;
    for requirement in ["require_outpost", "none"] {
        let slug = requirement.replace('_', "-");
        let flow = site.flow(&slug, "authentication", json!({"authentication": requirement})).await;
        site.step(flow, 0, "dummy", &slug, json!({})).await;
        let mut browser = site.browser();
        browser.request.outpost = Some(json!({"username": "ak-outpost"}));
        assert_eq!(component(&browser.get(&slug, "").await), "ak-stage-dummy");
        assert_eq!(browser.context().await["outpost"], json!({"username": "ak-outpost"}));
    }
}

fn cached(site: &TestSite, flow: Uuid) -> usize {
    site.app.plans.count(Some(flow), site.app.site.snapshot().revision, site.now())
}

#[tokio::test]
async fn plans_are_kept_by_flow_and_user_until_the_configuration_changes_or_time_is_up() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let other = site.flow("other", "authentication", json!({})).await;
    let (stage, _) = site.step(flow, 0, "dummy", "d", json!({})).await;
    site.step(other, 0, "dummy", "o", json!({})).await;
    site.browser().get("f", "").await;
    site.browser().get("f", "").await;
    assert_eq!(cached(&site, flow), 1, "all anonymous visitors share one entry");
    let mut browser = site.browser();
    browser.bearer = Some(site.user("ann", "").await);
    browser.get("f", "").await;
    assert_eq!((cached(&site, flow), cached(&site, other)), (2, 0));
    site.change("authentik_stages_dummy.dummystage", stage, json!({"name": "new"})).await;
    assert_eq!(cached(&site, flow), 0);
    site.browser().get("f", "").await;
    site.clock.advance(chrono::TimeDelta::seconds(301));
    assert_eq!(cached(&site, flow), 0);
    site.browser().get("f", "").await;
    site.app.plans.clear();
    assert_eq!(cached(&site, flow), 0);
}

#[tokio::test]
async fn a_kept_plan_gets_the_new_context() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "d", json!({})).await;
    let mut first = site.browser();
    first.get("f", "").await;
    first.set_context(json!({"mine": 1})).await;
    let mut second = site.browser();
    second.get("f", "").await;
    assert!(!second.context().await.contains_key("mine"));
}

#[tokio::test]
async fn set_up_flows_and_plans_that_policies_had_a_say_in_are_not_kept() {
    let site = site().await;
    let flow = site.flow("conf", "stage_configuration", json!({})).await;
    site.step(flow, 0, "dummy", "d", json!({})).await;
    site.browser().get("conf", "").await;
    assert_eq!(cached(&site, flow), 0);
    let asks = site.flow("asks", "authentication", json!({})).await;
    let (_, binding) = site.step(asks, 0, "dummy", "e", json!({})).await;
    site.change(BINDING, binding, json!({"evaluate_on_plan": true})).await;
    site.guard(binding, "p", json!({}), json!({})).await;
    site.browser().get("asks", "").await;
    assert_eq!(cached(&site, asks), 0);
}

#[tokio::test]
async fn a_policy_may_change_the_plan_it_is_asked_about() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "d", json!({})).await;
    site.change(BINDING, binding, json!({"evaluate_on_plan": true})).await;
    site.guard(binding, "p", json!({"set": {"seen": "yes"}}), json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    assert_eq!(browser.context().await["seen"], "yes");
}

#[tokio::test]
async fn the_default_of_a_binding_is_evaluation_when_presented() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "d", json!({})).await;
    let binding = site.app.site.snapshot().get::<FlowStageBinding>(binding).unwrap();
    assert!(!binding.evaluate_on_plan && binding.re_evaluate_policies);
    assert_eq!(json!(binding.invalid_response_action), "retry");
}
