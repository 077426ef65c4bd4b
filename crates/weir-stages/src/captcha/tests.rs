use super::proof;
use crate::tests::{component, error, service::Service, site};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_flow::Input;
use weir_testkit::{Browser, TestSite, map};

const MODEL: &str = "authentik_stages_captcha.captchastage";
const RETRY: &str = "Invalid captcha response. Retrying may solve this issue.";
const REFUSED: &str = "Invalid captcha response";
const AWAY: &str = "Failed to validate token";

/// Fields of a stage that has the browser compute a little.
pub(crate) fn own() -> Value {
    json!({"public_key": "8", "private_key": "unused", "js_url": "/static/dist/flow/proof-of-work.js"})
}

/// The token for the task of a challenge.
pub(crate) fn solve(challenge: &Value) -> String {
    proof::solve(challenge["site_key"].as_str().unwrap())
}

/// A captcha and something behind it.
async fn flow(site: &TestSite, fields: Value) -> Uuid {
    let id = site.flow("f", "authentication", json!({})).await;
    let (stage, _) = site.step(id, 0, "captcha", "human?", fields).await;
    site.step(id, 1, "dummy", "inside", json!({})).await;
    stage
}

/// The same with a provider that says this.
async fn asking(site: &TestSite, service: &Service, more: Value) -> Uuid {
    let api = format!("{}/siteverify", service.url);
    let mut fields = map(json!({"public_key": "public", "private_key": "very private", "api_url": api}));
    fields.extend(map(more));
    flow(site, Value::Object(fields)).await
}

async fn answer(browser: &mut Browser<'_>, token: &str) -> Value {
    browser.get("f", "").await;
    browser.post("f", "", json!({"token": token})).await
}

async fn always(status: u16, body: &'static str) -> Service {
    Service::start(move |_| (status, body.to_owned())).await
}

#[tokio::test]
async fn the_browser_gets_what_the_widget_needs_and_nothing_secret() {
    let site = site().await;
    flow(&site, json!({"public_key": "public", "private_key": "very private", "interactive": true})).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(component(&shown), "ak-stage-captcha");
    assert_eq!((&shown["site_key"], &shown["interactive"]), (&json!("public"), &json!(true)));
    assert_eq!(shown["js_url"], "https://www.recaptcha.net/recaptcha/api.js");
    assert!(shown.get("pending_user").is_some() && !shown.to_string().contains("very private"));
    browser.set_context(json!({"goauthentik.io/stages/captcha/site_key": "another"})).await;
    assert_eq!(browser.get("f", "").await["site_key"], "another");
    for bad in [json!({}), json!({"token": ""}), json!({"token": null}), json!({"token": 7})] {
        let shown = browser.post("f", "", bad).await;
        assert_eq!(component(&shown), "ak-stage-captcha");
        assert!(shown["response_errors"]["token"].is_array());
    }
}

#[tokio::test]
async fn the_provider_is_asked_by_form_with_the_secret_and_the_client() {
    let site = site().await;
    let service = always(200, r#"{"success": true, "score": 0.7, "hostname": "id.example.org"}"#).await;
    asking(&site, &service, json!({})).await;
    let mut browser = site.browser();
    assert_eq!(answer(&mut browser, "the token&+ü").await["name"], "inside");
    let asked = service.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/siteverify"));
    assert_eq!(asked[0].header("content-type"), "application/x-www-form-urlencoded");
    let fields: Vec<(String, String)> =
        [("secret", "very private"), ("response", "the token&+ü"), ("remoteip", "203.0.113.7")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into();
    assert_eq!(asked[0].form(), fields);
    let context = browser.context().await;
    assert_eq!(context["captcha"]["response"]["score"], 0.7);
    assert_eq!(context["captcha"]["stage"]["name"], "human?");
    let kept = format!("{:?} {:?} {:?}", site.events().await, browser.state().await, browser.inspect().await);
    assert!(!kept.contains("very private"));
}

#[tokio::test]
async fn the_provider_is_asked_by_json_where_it_wants_that() {
    let site = site().await;
    let service = always(200, r#"{"success": true}"#).await;
    asking(&site, &service, json!({"request_content_type": "application/json"})).await;
    assert_eq!(answer(&mut site.browser(), "t").await["name"], "inside");
    let asked = service.asked();
    assert_eq!(asked[0].header("content-type"), "application/json");
    let body: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(body, json!({"secret": "very private", "response": "t", "remoteip": "203.0.113.7"}));
}

#[tokio::test]
async fn an_expression_can_change_the_secret_and_nobody_sees_it() {
    let site = site().await;
    let service = always(200, r#"{"success": true}"#).await;
    asking(&site, &service, json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.set_context(json!({"goauthentik.io/stages/captcha/private_key": "for this tenant"})).await;
    assert!(!browser.inspect().await.unwrap().to_string().contains("for this tenant"));
    assert_eq!(browser.post("f", "", json!({"token": "t"})).await["name"], "inside");
    assert_eq!(service.asked()[0].field("secret"), "for this tenant");
    assert!(!browser.inspect().await.unwrap().to_string().contains("for this tenant"));
}

#[tokio::test]
async fn what_the_provider_refuses_is_refused_in_words_that_tell_whether_to_try_again() {
    let site = site().await;
    let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let says = std::sync::Arc::clone(&said);
    let service = Service::start(move |_| (200, says.lock().unwrap().clone())).await;
    let stage = asking(&site, &service, json!({})).await;
    for (says, text) in [
        (r#"{"success": false, "error-codes": ["timeout-or-duplicate"]}"#, RETRY),
        (r#"{"success": false, "error-codes": ["expired-input-response", "already-seen-response"]}"#, RETRY),
        (r#"{"success": false, "error-codes": ["timeout-or-duplicate", "invalid-input-secret"]}"#, REFUSED),
        (r#"{"success": false, "error-codes": []}"#, REFUSED),
        (r#"{"success": false}"#, REFUSED),
        (r#"{"success": "true"}"#, REFUSED),
        (r#"{}"#, REFUSED),
        (r#"{"success": true, "score": 0.49}"#, REFUSED),
        (r#"{"success": true, "score": 1.01}"#, REFUSED),
        (r#"{"success": true, "score": "0.7"}"#, REFUSED),
        (r#"{"success": true, "score": 0.5}"#, ""),
        (r#"{"success": true, "score": 1}"#, ""),
        (r#"{"success": true, "score": null}"#, ""),
    ] {
        says.clone_into(&mut said.lock().unwrap());
        let mut browser = site.browser();
        let shown = answer(&mut browser, "t").await;
        match text {
            "" => assert_eq!(shown["name"], "inside", "{says}"),
            text => {
                assert_eq!(error(&shown, "token"), (text, "invalid"), "{says}");
                assert!(!browser.context().await.contains_key("captcha"), "{says}");
            }
        }
    }
    for (low, high, score, passes) in
        [(-1.0, 0.4, "0.1", true), (-1.0, 0.4, "0.5", false), (0.4, -1.0, "7", true), (-2.0, -2.0, "-9", true)]
    {
        site.change(MODEL, stage, json!({"score_min_threshold": low, "score_max_threshold": high})).await;
        *said.lock().unwrap() = format!(r#"{{"success": true, "score": {score}}}"#);
        assert_eq!(answer(&mut site.browser(), "t").await["name"] == "inside", passes, "{low} {high} {score}");
    }
    site.change(MODEL, stage, json!({"error_on_invalid_score": false})).await;
    for says in [r#"{"success": false, "error-codes": ["bad-request"]}"#, r#"{"success": true, "score": 99}"#] {
        says.clone_into(&mut said.lock().unwrap());
        let mut browser = site.browser();
        assert_eq!(answer(&mut browser, "t").await["name"], "inside");
        assert_eq!(browser.context().await["captcha"]["response"], serde_json::from_str::<Value>(says).unwrap());
    }
}

#[tokio::test]
async fn a_provider_that_is_away_or_talks_nonsense_lets_nobody_pass() {
    let site = site().await;
    let huge = format!(r#"{{"success": true, "x": "{}"}}"#, "y".repeat(20_000));
    let said = std::sync::Arc::new(std::sync::Mutex::new((0, String::new())));
    let says = std::sync::Arc::clone(&said);
    let service = Service::start(move |_| says.lock().unwrap().clone()).await;
    // Not even where scores are not looked at.
    let stage = asking(&site, &service, json!({"error_on_invalid_score": false})).await;
    for (status, body) in [
        (500, r#"{"success": true}"#),
        (404, r#"{"success": true}"#),
        (302, r#"{"success": true}"#),
        (200, "<html>fine</html>"),
        (200, ""),
        (200, "[true]"),
        (200, "true"),
        (200, r#"{"success": true"#),
        (200, huge.as_str()),
        (0, ""),
    ] {
        *said.lock().unwrap() = (status, body.to_owned());
        let shown = answer(&mut site.browser(), "t").await;
        assert_eq!(error(&shown, "token").0, AWAY, "{status} {body:.40}");
    }
    assert!(service.asked().iter().all(|asked| asked.path == "/siteverify"), "no redirect is followed");
    site.change(MODEL, stage, json!({"api_url": "http://127.0.0.1:9/"})).await;
    assert_eq!(error(&answer(&mut site.browser(), "t").await, "token").0, AWAY);
}

#[tokio::test]
async fn addresses_must_be_fit_for_a_page() {
    let site = site().await;
    for (fields, field) in [
        (json!({"js_url": "javascript:alert(1)"}), "js_url"),
        (json!({"js_url": "//evil.example/x.js"}), "js_url"),
        (json!({"js_url": "data:text/javascript,1"}), "js_url"),
        (json!({"api_url": "/siteverify"}), "api_url"),
        (json!({"api_url": "file:///etc/passwd"}), "api_url"),
        (json!({"js_url": "/static/dist/flow/proof-of-work.js", "public_key": "7"}), "public_key"),
        (json!({"js_url": "/static/dist/flow/proof-of-work.js", "public_key": "25"}), "public_key"),
    ] {
        let mut body = map(json!({"name": "x", "public_key": "p", "private_key": "s"}));
        body.extend(map(fields.clone()));
        let refused = site.try_make(MODEL, Value::Object(body)).await.err().unwrap();
        assert!(refused.body()[field].is_array(), "{fields}");
    }
}

#[tokio::test]
async fn a_solved_task_passes_without_asking_anybody() {
    let site = site().await;
    flow(&site, own()).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(shown["js_url"], "/static/dist/flow/proof-of-work.js");
    assert_eq!(browser.get("f", "").await["site_key"], shown["site_key"], "looking again keeps the task");
    assert_eq!(browser.post("f", "", json!({"token": solve(&shown)})).await["name"], "inside");
    let captcha = browser.context().await["captcha"].clone();
    assert_eq!((&captcha["response"]["success"], &captcha["stage"]["name"]), (&json!(true), &json!("human?")));
}

#[tokio::test]
async fn the_work_follows_the_configuration() {
    let site = site().await;
    let stage = flow(&site, own()).await;
    let mut browser = site.browser();
    let bits = |shown: &Value| shown["site_key"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    assert_eq!(bits(&browser.get("f", "").await), "4");
    site.change(MODEL, stage, json!({"public_key": "20"})).await;
    assert_eq!(bits(&browser.get("f", "").await), "16", "an easier task is not kept");
    site.change(MODEL, stage, json!({"public_key": "public"})).await;
    assert_eq!(bits(&browser.get("f", "").await), "14");
}

#[tokio::test]
async fn what_is_no_solution_of_the_own_task_is_refused() {
    let site = site().await;
    flow(&site, own()).await;
    let (mut browser, mut other) = (site.browser(), site.browser());
    let (mine, others) = (browser.get("f", "").await, other.get("f", "").await);
    assert_ne!(mine["site_key"], others["site_key"]);
    let good = solve(&mine);
    let (task, numbers) = good.split_once(':').unwrap();
    let easier = task.replace("v1.4.", "v1.0.");
    for (token, text) in [
        (solve(&others), RETRY),
        (format!("{easier}:{numbers}"), RETRY),
        (task.to_owned(), REFUSED),
        (format!("{task}:"), REFUSED),
        (format!("{task}:{}", vec!["0"; 16].join(",")), REFUSED),
        (format!("{good},0"), REFUSED),
        (format!("{task}:{}", numbers.rsplit_once(',').unwrap().0), REFUSED),
        (format!("{task}:{}", numbers.replacen(',', ",-", 1)), REFUSED),
        (format!("{task}:{}", "9".repeat(600)), REFUSED),
        ("x".repeat(40_000), REFUSED),
    ] {
        let shown = browser.post("f", "", json!({"token": token})).await;
        assert_eq!(error(&shown, "token").0, text, "{token:.80}");
    }
    assert_eq!(browser.post("f", "", json!({"token": good})).await["name"], "inside");
}

#[tokio::test]
async fn a_task_ends_and_a_new_one_is_given_in_time() {
    let site = site().await;
    flow(&site, own()).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    site.clock.advance(TimeDelta::minutes(21));
    let late = browser.post("f", "", json!({"token": solve(&shown)})).await;
    assert_eq!(error(&late, "token").0, RETRY);
    assert_ne!(late["site_key"], shown["site_key"]);
    assert_eq!(browser.post("f", "", json!({"token": solve(&late)})).await["name"], "inside");
    let mut slow = site.browser();
    let shown = slow.get("f", "").await;
    site.clock.advance(TimeDelta::minutes(11));
    assert_ne!(slow.get("f", "").await["site_key"], shown["site_key"], "half of the time is gone");
}

#[tokio::test]
async fn a_solution_counts_once_also_in_a_restored_session() {
    let site = site().await;
    flow(&site, own()).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    let before = browser.state().await.write();
    let token = solve(&shown);
    assert_eq!(browser.post("f", "", json!({"token": token})).await["name"], "inside");
    browser.write_state(&before).await;
    let again = browser.post("f", "", json!({"token": token})).await;
    assert_eq!(error(&again, "token").0, RETRY);
    assert_ne!(again["site_key"], shown["site_key"]);
}

#[tokio::test]
async fn of_fifty_uses_of_one_solution_at_once_one_passes() {
    let site = site().await;
    let id = site.flow("f", "authentication", json!({})).await;
    site.step(id, 0, "captcha", "human?", own()).await;
    // The same again: whoever passes the first is asked a second time, so two uses would show.
    site.step(id, 1, "captcha", "still human?", own()).await;
    let mut browser = site.browser();
    let token = solve(&browser.get("f", "").await);
    let tabs: Vec<Browser<'_>> = (0..50).map(|_| browser.clone()).collect();
    let done = join_all(tabs.into_iter().map(|mut tab| {
        let answer = Input::Answer(map(json!({"token": token})));
        async move { tab.step("f", "", answer).await.map(|_| ()) }
    }))
    .await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(site.db.read("SELECT task FROM captcha_spent", &[]).await.unwrap().len(), 1);
    let state = browser.state().await;
    assert_eq!((state.history.len(), state.plan.unwrap().steps.len()), (1, 1));
}
