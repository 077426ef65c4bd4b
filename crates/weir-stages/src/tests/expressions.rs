//! Expressions inside flows, run by the real worker: what administrators write into policies and prompts.

use super::{assert_denied, assert_end, component, error, site_with_worker};
use crate::prompt::preview;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_testkit::{TestSite, map};

const PROMPT: &str = "authentik_stages_prompt.prompt";

/// An expression policy bound to a target.
async fn policy(site: &TestSite, target: Uuid, expression: &str) {
    let name = format!("e-{}", site.app.site.random.text(8));
    let body = json!({"name": name, "expression": expression});
    let policy = site.make("authentik_policies_expression.expressionpolicy", body).await;
    site.make("authentik_policies.policybinding", json!({"target": target, "policy": policy, "order": 0})).await;
}

async fn prompt(site: &TestSite, key: &str, more: Value) -> Uuid {
    let mut body = map(json!({"name": key, "field_key": key, "label": key, "type": "text", "required": false}));
    body.extend(map(more));
    site.make(PROMPT, Value::Object(body)).await
}

#[tokio::test]
async fn a_policy_may_choose_whom_a_flow_is_about() {
    let site = site_with_worker().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "consent", "who", json!({"mode": "always_require"})).await;
    let choose = "context['flow_plan'].context['pending_user'] = ak_user_by(username='ann')\nreturn True";
    policy(&site, binding, choose).await;
    let (_, login) = site.step(flow, 1, "user_login", "login", json!({})).await;
    policy(&site, login, "return request.context['pending_user'].username == 'ann' and request.user.pk is not None")
        .await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(shown["pending_user"], "ann");
    let token = shown["token"].clone();
    assert_end(&browser.post("f", "", json!({"token": token})).await, "/");
    assert_eq!(browser.who().await.0.map(|u| u.id), Some(ann));
}

#[tokio::test]
async fn a_policy_may_look_at_a_claimed_name() {
    let site = site_with_worker().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "identification", "id", json!({"user_fields": ["username"]})).await;
    let (_, binding) = site.step(flow, 1, "dummy", "for zoe", json!({})).await;
    policy(&site, binding, "return context['pending_user'].username == 'zoe'").await;
    site.step(flow, 2, "dummy", "end", json!({})).await;
    for (typed, name) in [("zoe", "for zoe"), ("yan", "end")] {
        assert_eq!(site.browser().post("f", "", json!({"uid_field": typed})).await["name"], name);
    }
}

#[tokio::test]
async fn a_policy_may_set_keys_that_stages_read() {
    let site = site_with_worker().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "deny", "no", json!({"deny_message": "No."})).await;
    policy(
        &site,
        binding,
        "context['flow_plan'].context['deny_message'] = 'Closed on ' + http_request.method\nreturn True",
    )
    .await;
    assert_denied(&site.browser().get("f", "").await, "Closed on GET");
    let end = site.flow("g", "authentication", json!({})).await;
    let (_, binding) = site.step(end, 0, "dummy", "d", json!({})).await;
    policy(&site, binding, "request.context['flow_plan'].context['redirect'] = 'https://app.example/x'\nreturn True")
        .await;
    let mut browser = site.browser();
    browser.get("g", "").await;
    assert_end(&browser.post("g", "next=/y", json!({})).await, "https://app.example/x");
}

#[tokio::test]
async fn a_policy_may_send_the_browser_elsewhere_and_speak() {
    let site = site_with_worker().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let (_, binding) = site.step(flow, 0, "dummy", "a", json!({})).await;
    policy(
        &site,
        binding,
        "ak_message('Off you go.')\ncontext['flow_plan'].redirect('https://elsewhere.example/')\nreturn False",
    )
    .await;
    let mut browser = site.browser();
    assert_eq!(browser.get("f", "").await["to"], "https://elsewhere.example/");
    assert_eq!(browser.notices, ["Off you go."]);
}

#[tokio::test]
async fn prompts_compute_their_values() {
    let site = site_with_worker().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    let computed = |initial: &str, placeholder: &str| {
        json!({
            "initial_value": initial, "initial_value_expression": true,
            "placeholder": placeholder, "placeholder_expression": true,
        })
    };
    let fields = [
        prompt(&site, "name", computed("return user.username", "return 1 + 1")).await,
        prompt(&site, "flag", computed("return True", "return None")).await,
        prompt(&site, "seen", computed("return prompt_context.get('before', '?')", "return http_request.method")).await,
        prompt(&site, "broken", computed("return 1 / 0", "return (")).await,
    ];
    site.step(flow, 0, "prompt", "ask", json!({"fields": fields})).await;
    let mut browser = site.browser();
    browser.bearer = Some(ann);
    browser.get("f", "").await;
    browser.set_context(json!({"prompt_data": {"before": "B"}})).await;
    let shown = browser.get("f", "").await;
    let values: Vec<(&str, &str)> = shown["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["initial_value"].as_str().unwrap(), f["placeholder"].as_str().unwrap()))
        .collect();
    assert_eq!(values, [("ann", "2"), ("True", "None"), ("B", "GET"), ("return 1 / 0", "return (")]);
    let events = site.events_of("property_mapping_exception").await;
    assert!(events.iter().any(|e| e["expression"] == "return 1 / 0"), "{events:?}");
    assert_end(&browser.post("f", "", json!({"flag": "typed"})).await, "/");
}

#[tokio::test]
async fn prompts_compute_their_choices() {
    let site = site_with_worker().await;
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    let field = prompt(&site, "x", json!({"type": "dropdown", "required": true, "placeholder_expression": true})).await;
    site.step(flow, 0, "prompt", "ask", json!({"fields": [field]})).await;
    site.step(flow, 1, "dummy", "inside", json!({})).await;
    for (source, choices, initial) in [
        ("return ['a', 'b']", json!([{"label": "a", "value": "a"}, {"label": "b", "value": "b"}]), "a"),
        ("return ('a',)", json!([{"label": "a", "value": "a"}]), "a"),
        ("return {'a'}", json!([{"label": "a", "value": "a"}]), "a"),
        ("return 'one'", json!([{"label": "one", "value": "one"}]), "one"),
        ("return [{'label': 'L', 'value': 7}]", json!([{"label": "L", "value": "7"}]), "7"),
        ("return []", json!([]), ""),
    ] {
        site.change(PROMPT, field, json!({"placeholder": source})).await;
        let shown = site.browser().get("f", "").await["fields"][0].clone();
        assert_eq!((&shown["choices"], shown["initial_value"].as_str().unwrap()), (&choices, initial), "{source}");
        assert_eq!(shown["placeholder"], "");
    }
    site.change(PROMPT, field, json!({"placeholder": "return ['a', 'b']"})).await;
    let refused = site.browser().post("f", "", json!({"x": "c"})).await;
    assert_eq!(error(&refused, "x"), ("\"c\" is not a valid choice.", "invalid_choice"));
    assert_eq!(site.browser().post("f", "", json!({"x": "b"})).await["name"], "inside");
}

#[tokio::test]
async fn a_validation_policy_sees_the_answer_and_its_words_are_the_errors() {
    let site = site_with_worker().await;
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    let field = prompt(&site, "color", json!({})).await;
    let source = "if request.context['prompt_data']['color'] == 'red':\n    ak_message('Not red.')\n    return False\nreturn True";
    let body = json!({"name": "no red", "expression": source});
    let policy = site.make("authentik_policies_expression.expressionpolicy", body).await;
    site.step(flow, 0, "prompt", "ask", json!({"fields": [field], "validation_policies": [policy]})).await;
    let mut browser = site.browser();
    let refused = browser.post("f", "", json!({"color": "red"})).await;
    assert_eq!(error(&refused, "non_field_errors"), ("Not red.", "invalid"));
    assert_end(&browser.post("f", "", json!({"color": "blue"})).await, "/");
}

#[tokio::test]
async fn a_preview_computes_and_tells_why_it_cannot() {
    let site = site_with_worker().await;
    let ann = site.user("ann", "").await;
    let ann = site.account(ann).await;
    let shown = async |initial: &str| {
        let body = json!({
            "field_key": "k", "label": "L", "type": "text", "initial_value": initial, "initial_value_expression": true,
        });
        let mut unit = site.unit();
        preview(&site.app, &mut unit, &site.request(), Some(&ann), &map(body)).await.map_err(|e| e.body())
    };
    assert_eq!(shown("return user.username.upper()").await.unwrap()["fields"][0]["initial_value"], "ANN");
    let refused = shown("return missing_name").await.unwrap_err();
    let text = refused["non_field_errors"][0].as_str().unwrap();
    assert!(text.contains("missing_name"), "{text}");
}

#[tokio::test]
async fn the_first_run_prefills_the_administrator() {
    let site = site_with_worker().await;
    let admin = site.user("akadmin", "").await;
    let flow = site.flow("initial-setup", "stage_configuration", json!({})).await;
    let usable = "return context.get('goauthentik.io/core/setup/started-by') == 'setup' \
                  and not ak_user_by(username='akadmin').has_usable_password()";
    policy(&site, flow, usable).await;
    let field = prompt(&site, "password", json!({"type": "password", "required": true})).await;
    let ask = site.stage("prompt", "ask", json!({"fields": [field]})).await;
    site.bind(flow, ask, 10, json!({"evaluate_on_plan": true, "re_evaluate_policies": false})).await;
    let (_, write) = site.step(flow, 20, "user_write", "write", json!({"user_creation_mode": "never_create"})).await;
    policy(&site, write, "context['flow_plan'].context['pending_user'] = ak_user_by(username='akadmin')\nreturn True")
        .await;
    site.step(flow, 100, "user_login", "login", json!({})).await;
    assert_eq!(component(&site.browser().get("initial-setup", "").await), "ak-stage-access-denied");
    let mut unit = site.unit();
    let Ok(plan) = weir_flow::setup::plan(&site.app, &mut unit, &site.request()).await else {
        panic!("not applicable")
    };
    unit.commit().await.unwrap();
    let mut browser = site.browser();
    browser.adopt(plan, None).await;
    assert_end(&browser.post("initial-setup", "", json!({"password": "a good password"})).await, "/");
    assert_eq!(browser.who().await.0.map(|u| u.id), Some(admin));
    let mut unit = site.unit();
    assert!(weir_flow::setup::plan(&site.app, &mut unit, &site.request()).await.is_err(), "not a second time");
}
