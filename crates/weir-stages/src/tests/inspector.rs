//! What the inspector shows, and the diagram.

use super::{assert_end, site};
use serde_json::json;
use uuid::Uuid;
use weir_events::MASK;
use weir_flow::{Flow, diagram};

#[tokio::test]
async fn the_inspector_shows_passed_and_planned_stages() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    for (order, name) in [(0, "a"), (1, "b")] {
        site.step(flow, order, "dummy", name, json!({})).await;
    }
    let mut browser = site.browser();
    assert!(browser.inspect().await.is_none(), "nothing to inspect");
    browser.get("f", "").await;
    let shown = browser.inspect().await.unwrap();
    assert_eq!((&shown["is_completed"], &shown["plans"]), (&json!(false), &json!([])));
    assert_eq!(shown["current_plan"]["current_stage"]["stage_obj"]["name"], "a");
    assert_eq!(shown["current_plan"]["next_planned_stage"]["stage_obj"]["name"], "b");
    let digest = browser.who().await.1.unwrap().digest;
    assert_eq!(shown["current_plan"]["session_id"], digest);
    browser.post("f", "", json!({})).await;
    let shown = browser.inspect().await.unwrap();
    assert_eq!(shown["plans"][0]["current_stage"]["stage_obj"]["name"], "a");
    assert_eq!(shown["current_plan"]["current_stage"]["stage_obj"]["name"], "b");
    let none = &shown["current_plan"]["next_planned_stage"];
    // Clients insist on the fields of a binding.
    assert_eq!((&none["stage"], &none["target"]), (&json!(Uuid::nil()), &json!(flow)));
    assert_eq!((&none["stage_obj"]["name"], &none["invalid_response_action"]), (&json!(""), &json!("retry")));
    assert_end(&browser.post("f", "", json!({})).await, "/");
    let shown = browser.inspect().await.unwrap();
    assert_eq!(shown["is_completed"], true);
    assert_eq!(shown["plans"].as_array().unwrap().len(), 2);
    assert_eq!(shown["current_plan"], shown["plans"][1]);
    browser.get("f", "").await;
    assert_eq!(browser.inspect().await.unwrap()["plans"], json!([]), "a new plan begins a new history");
}

#[tokio::test]
async fn the_inspector_shows_users_and_no_secrets_and_none_are_kept_in_the_history() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    for (order, name) in [(0, "a"), (1, "b")] {
        site.step(flow, order, "dummy", name, json!({})).await;
    }
    let mut browser = site.browser();
    browser.get("f", "").await;
    let context = json!({
        "pending_user": {"pk": ann}, "prompt_data": {"password": "right horse", "color": "blue"},
        "goauthentik.io/stages/consent/token": "right horse",
    });
    browser.set_context(context).await;
    let shown = browser.inspect().await.unwrap();
    let context = &shown["current_plan"]["plan_context"];
    assert_eq!(context["pending_user"]["username"], "ann");
    assert_eq!(context["prompt_data"], json!({"password": MASK, "color": "blue"}));
    assert_eq!(context["goauthentik.io/stages/consent/token"], MASK);
    browser.post("f", "", json!({})).await;
    let shown = browser.inspect().await.unwrap();
    assert_eq!(shown["plans"][0]["plan_context"]["pending_user"]["username"], "ann");
    assert_end(&browser.post("f", "", json!({})).await, "/");
    assert!(!browser.state().await.write().contains("horse"), "a finished flow leaves no password in the session");
}

#[tokio::test]
async fn passwords_are_masked_whatever_their_fields_are_called() {
    let site = site().await;
    let flow = site.flow("f", "enrollment", json!({})).await;
    let mut fields = Vec::new();
    for (key, kind) in [("username", "username"), ("pin", "password"), ("pin_again", "password"), ("color", "text")] {
        let prompt = json!({"name": key, "field_key": key, "label": key, "type": kind});
        fields.push(site.make("authentik_stages_prompt.prompt", prompt).await);
    }
    site.step(flow, 0, "prompt", "ask", json!({"fields": fields})).await;
    site.step(flow, 1, "dummy", "wait", json!({})).await;
    site.step(flow, 2, "user_write", "write", json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    let answer = json!({"username": "ann", "pin": "right horse", "pin_again": "right horse", "color": "blue"});
    assert_eq!(browser.post("f", "", answer).await["name"], "wait");
    let shown = browser.inspect().await.unwrap();
    let masked = json!({"username": "ann", "pin": MASK, "pin_again": MASK, "color": "blue"});
    assert_eq!(shown["current_plan"]["plan_context"]["prompt_data"], masked);
    assert_end(&browser.post("f", "", json!({})).await, "/");
    let written = &site.events_of("user_write").await[0];
    assert_eq!((&written["pin"], &written["color"], &written["created"]), (&json!(MASK), &json!("blue"), &json!(true)));
    assert!(!browser.state().await.write().contains("horse"), "none is kept");
}

#[tokio::test]
async fn the_history_keeps_no_uploads() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    for (order, name) in [(0, "a"), (1, "b")] {
        site.step(flow, order, "dummy", name, json!({})).await;
    }
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.set_context(json!({"prompt_data": {"picture": "ü".repeat(100_000), "name": "short"}})).await;
    browser.post("f", "", json!({})).await;
    let state = browser.state().await;
    let kept = &state.history[0].context.0["prompt_data"];
    assert_eq!(kept["name"], "short");
    assert!(kept["picture"].as_str().is_some_and(|text| text.len() < 3000 && text.ends_with('…')));
    let running = &state.plan.unwrap().context.0["prompt_data"]["picture"];
    assert_eq!(running.as_str().map(str::len), Some(200_000), "the running plan has it all");
}

#[tokio::test]
async fn stages_without_a_row_are_shown_too() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "a", json!({})).await;
    site.guard(binding, "p", json!({"redirect": "/elsewhere"}), json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    let shown = browser.inspect().await.unwrap();
    let next = &shown["current_plan"]["next_planned_stage"];
    assert_eq!(next["stage_obj"]["meta_model_name"], "weir_flow.redirect");
    assert_eq!((&next["order"], &next["invalid_response_action"]), (&json!(0), &json!("retry")));
    assert_ne!(next["pk"], next["policybindingmodel_ptr_id"]);
}

#[tokio::test]
async fn the_diagram_draws_requirement_policies_and_stages() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({"authentication": "require_authenticated"})).await;
    site.guard(flow, "pre", json!({}), json!({"order": 7})).await;
    site.step(flow, 0, "dummy", "a \"quoted\"", json!({})).await;
    let (_, guarded) = site.step(flow, 1, "dummy", "b", json!({})).await;
    site.guard(guarded, "guard", json!({}), json!({})).await;
    let snapshot = site.app.site.snapshot();
    let definition = snapshot.get::<Flow>(flow).unwrap();
    let chart = diagram::diagram(&snapshot, flow, &definition, &|_| true);
    let lines: Vec<&str> = chart.lines().collect();
    assert_eq!(lines[0], "graph TD");
    for line in [
        "flow_auth_requirement[\"Flow authentication requirement\\nrequire_authenticated\"]",
        "flow_auth_requirement --Requirement not fulfilled--> done",
        "flow_auth_requirement --Requirement fulfilled--> flow_pre",
        "flow_pre[[\"Pre-flow policies\"]]",
        "flow_pre --Binding 7--> flow_policy_0",
        "flow_policy_0{{\"Policy (Scripted Policy)\\npre\"}}",
        "flow_policy_0 --Policy passed--> flow_start",
        "flow_policy_0 --Policy denied--> done",
        "flow_start[[\"Flow\\nf\"]]",
        "stage_0([\"Stage (Dummy Stage)\\na #quot;quoted#quot;\"])",
        "flow_start --> stage_0",
        "stage_0 --> stage_1_policy_0",
        "stage_1_policy_0 --Policy passed--> stage_1",
        "stage_1_policy_0 --Policy denied--> done",
        "stage_1 --> done",
        "done[[\"End of the flow\"]]",
    ] {
        assert!(lines.contains(&line), "{line}\n{chart}");
    }
    let first_edge = lines.iter().position(|l| l.contains("--")).unwrap();
    assert!(lines[first_edge..].iter().all(|l| l.contains("--")), "all elements come before the edges");
    let blind = diagram::diagram(&snapshot, flow, &definition, &|_| false);
    assert!(!blind.contains("stage_0") && !blind.contains("flow_pre"), "{blind}");
}
