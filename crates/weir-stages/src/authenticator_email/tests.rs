use super::mask;
use crate::tests::{component, error, site};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_flow::Input;
use weir_identity::device::{self, DeviceKind, DeviceRow, email};
use weir_testkit::{Browser, TestSite, map};

const INVALID: &str = "Invalid Token. Please ensure the time on your device is accurate and try again.";

/// The code of the newest mail; time goes on, so that the next one is newer.
async fn newest(site: &TestSite) -> String {
    let mail = site.mails().await.pop().expect("a mail");
    site.clock.advance(TimeDelta::seconds(1));
    mail["secrets"][0].as_str().unwrap().to_owned()
}

fn wrong(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

#[test]
fn an_address_is_masked_but_for_its_first_letters() {
    assert_eq!(mask("myname@company.org"), "m*****@c******.org");
    assert_eq!(mask("ab@cd.org"), "**@**.org");
}

#[tokio::test]
async fn an_address_is_set_up_by_its_code_and_proves_the_next_sign_in() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let setup = site.flow("setup", "stage_configuration", json!({})).await;
    site.step(setup, 0, "authenticator_email", "mail", json!({})).await;
    site.step(setup, 1, "dummy", "done", json!({})).await;
    let mut browser = site.browser();
    browser.bearer = Some(ann);
    let shown = browser.get("setup", "").await;
    assert_eq!((component(&shown), &shown["email_required"]), ("ak-stage-authenticator-email", &Value::Bool(false)));
    assert_eq!(shown["email"], "a**@e******.org");
    let wrong = browser.post("setup", "", json!({"code": "nope"})).await;
    assert_eq!(error(&wrong, "non_field_errors").0, "Code does not match");
    let code = newest(&site).await;
    assert_eq!(code.len(), 6);
    assert_eq!(browser.post("setup", "", json!({"code": code})).await["name"], "done");
}

/// The set-up of a signed-in person, and something behind it.
async fn set_up(site: &TestSite, name: &str) -> (i64, Uuid) {
    let user = site.user(name, "").await;
    let flow = site.flow("setup", "stage_configuration", json!({})).await;
    let (stage, _) = site.step(flow, 0, "authenticator_email", "mail", json!({})).await;
    site.step(flow, 1, "dummy", "done", json!({})).await;
    (user, stage)
}

fn browser_of(site: &TestSite, user: i64) -> Browser<'_> {
    let mut browser = site.browser();
    browser.bearer = Some(user);
    browser
}

async fn devices(site: &TestSite, user: i64) -> Vec<DeviceRow> {
    device::confirmed_of_user(&*site.db, user).await.unwrap()
}

#[tokio::test]
async fn a_code_of_the_set_up_counts_in_its_session_for_a_while_and_for_five_tries() {
    let site = site().await;
    let (ann, _) = set_up(&site, "ann").await;
    let mut browser = browser_of(&site, ann);
    browser.get("setup", "").await;
    let first = newest(&site).await;
    let mut other = browser_of(&site, ann);
    other.get("setup", "").await;
    newest(&site).await;
    let foreign = other.post("setup", "", json!({"code": first})).await;
    assert_eq!(error(&foreign, "non_field_errors").0, "Code does not match");
    for _ in 0..5 {
        browser.post("setup", "", json!({"code": wrong(&first)})).await;
    }
    let void = browser.post("setup", "", json!({"code": first})).await;
    assert_eq!(error(&void, "non_field_errors").0, "Code does not match");
    let shown = browser.post("setup", "", json!({})).await;
    assert_eq!((&shown["email_required"], &shown["response_errors"]), (&json!(false), &json!({})));
    let second = newest(&site).await;
    site.clock.advance(TimeDelta::minutes(30));
    let late = browser.post("setup", "", json!({"code": second})).await;
    assert_eq!(error(&late, "non_field_errors").0, "Code does not match");
    browser.post("setup", "", json!({})).await;
    let third = newest(&site).await;
    assert_eq!(browser.post("setup", "", json!({"code": third})).await["name"], "done");
    assert_eq!(devices(&site, ann).await[0].detail, "ann@example.org");
    let again = browser_of(&site, ann).get("setup", "").await;
    crate::tests::assert_denied(&again, "The user already has an email address registered for MFA.");
}

#[tokio::test]
async fn an_address_is_one_persons_and_is_asked_for_when_somebody_else_has_it() {
    let site = site().await;
    let (ann, stage) = set_up(&site, "ann").await;
    let bob = site.user("bob", "").await;
    let mut unit = site.unit();
    email::create(&mut unit, (bob, "Mail"), stage, "ann@example.org").await.unwrap();
    unit.commit().await.unwrap();
    let mut browser = browser_of(&site, ann);
    let shown = browser.get("setup", "").await;
    assert_eq!((&shown["email_required"], &shown["email"]), (&json!(true), &Value::Null));
    let taken = ["ann@example.org", "Ann@EXAMPLE.org", "no"].map(|address| (address, "Invalid email"));
    for (address, text) in [("", "email required")].into_iter().chain(taken) {
        let refused = browser.post("setup", "", json!({"email": address})).await;
        assert_eq!(error(&refused, "non_field_errors").0, text, "{address}");
    }
    assert!(site.mails().await.is_empty());
    browser.post("setup", "", json!({"email": "ann@other.example"})).await;
    assert_eq!(browser.post("setup", "", json!({"code": newest(&site).await})).await["name"], "done");
}

#[tokio::test]
async fn of_fifty_right_answers_at_once_one_makes_the_device() {
    let site = site().await;
    let (ann, _) = set_up(&site, "ann").await;
    let mut browser = browser_of(&site, ann);
    browser.get("setup", "").await;
    let code = newest(&site).await;
    let tabs: Vec<Browser<'_>> = (0..50).map(|_| browser.clone()).collect();
    let done = join_all(tabs.into_iter().map(|mut tab| {
        let answer = Input::Answer(map(json!({"code": code})));
        async move { tab.step("setup", "", answer).await.map(|_| ()) }
    }))
    .await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(devices(&site, ann).await.len(), 1);
}

/// Somebody with a device, and a flow that asks for it.
async fn validating(site: &TestSite, mail: Value, mfa: Value) -> (i64, DeviceRow) {
    let ann = site.user("ann", "").await;
    let stage = site.stage("authenticator_email", "mail", mail).await;
    let device = give(site, ann, stage, "ann@example.org").await;
    let id = site.flow("in", "authentication", json!({})).await;
    site.step(id, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    site.step(id, 1, "authenticator_validate", "mfa", mfa).await;
    site.step(id, 2, "dummy", "inside", json!({})).await;
    (ann, device)
}

async fn give(site: &TestSite, user: i64, stage: Uuid, address: &str) -> DeviceRow {
    let mut unit = site.unit();
    let device = email::create(&mut unit, (user, "Mail"), stage, address).await.unwrap();
    unit.commit().await.unwrap();
    device
}

async fn asked<'s>(site: &'s TestSite, name: &str) -> (Browser<'s>, Value) {
    let mut browser = site.browser();
    let shown = browser.post("in", "", json!({"uid_field": name})).await;
    (browser, shown)
}

fn choice(device: &DeviceRow) -> Value {
    json!({"selected_challenge": {"device_class": "email", "device_uid": device.pk}})
}

#[tokio::test]
async fn a_code_is_mailed_to_who_chooses_it_and_opens_once() {
    let site = site().await;
    let (_, device) = validating(&site, json!({}), json!({"email_otp_throttling_factor": 0})).await;
    let (mut browser, shown) = asked(&site, "ann").await;
    let challenge = json!({"email": "a**@e******.org"});
    let offer = json!([{"device_class": "email", "device_uid": device.pk, "challenge": challenge, "last_used": null}]);
    assert_eq!(shown["device_challenges"], offer);
    assert!(site.mails().await.is_empty(), "nothing is sent before it is chosen");
    let chosen = browser.post("in", "", choice(&device)).await;
    assert_eq!(error(&chosen, "non_field_errors").0, "Empty response");
    assert!(site.mails().await[0]["to"][0].to_string().contains("ann@example.org"));
    let first = newest(&site).await;
    assert_eq!(first.len(), 6);
    let refused = browser.post("in", "", json!({"code": wrong(&first)})).await;
    assert_eq!(error(&refused, "code").0, INVALID);
    browser.post("in", "", choice(&device)).await;
    let second = newest(&site).await;
    if first != second {
        let refused = browser.post("in", "", json!({"code": first})).await;
        assert_eq!(error(&refused, "code").0, INVALID, "a newer code replaces it");
    }
    let spaced = format!("{} {}", &second[..3], &second[3..]);
    assert_eq!(browser.post("in", "", json!({"code": spaced})).await["name"], "inside");
    let context = browser.context().await;
    assert_eq!(context["auth_method_args"]["mfa_devices"][0]["model_name"], "emaildevice");
    let (mut again, _) = asked(&site, "ann").await;
    assert_eq!(error(&again.post("in", "", json!({"code": second})).await, "code").0, INVALID);
    let kept = format!("{:?} {:?}", site.events().await, browser.inspect().await);
    assert!(!kept.contains(&first) && !kept.contains(&second), "{kept}");
}

#[tokio::test]
async fn a_code_ends_when_its_stage_says_and_a_device_closes_after_wrong_ones() {
    let site = site().await;
    let (_, device) = validating(&site, json!({"token_expiry": "minutes=2"}), json!({})).await;
    let (mut browser, _) = asked(&site, "ann").await;
    browser.post("in", "", choice(&device)).await;
    let late = newest(&site).await;
    site.clock.advance(TimeDelta::minutes(2));
    assert_eq!(error(&browser.post("in", "", json!({"code": late})).await, "code").0, INVALID);
    assert_eq!(site.events_of("login_failed").await[0]["auth_method_args"]["device_class"], "email");
    browser.post("in", "", choice(&device)).await;
    let code = newest(&site).await;
    // One failure so far: closed for a second, two: for two.
    browser.post("in", "", json!({"code": wrong(&code)})).await;
    for _ in 0..3 {
        let refused = browser.post("in", "", json!({"code": code})).await;
        assert_eq!(error(&refused, "code").0, INVALID, "closed, to the right code too");
    }
    let closed = device::find(&*site.db, DeviceKind::Email, &device.pk).await.unwrap().unwrap();
    assert_eq!(closed.throttle.failures, 2, "what was not looked at is not counted");
    site.clock.advance(TimeDelta::seconds(2));
    assert_eq!(browser.post("in", "", json!({"code": code})).await["name"], "inside");
}

#[tokio::test]
async fn a_device_or_a_code_of_somebody_else_opens_nothing() {
    let site = site().await;
    let (_, device) = validating(&site, json!({}), json!({"email_otp_throttling_factor": 0})).await;
    let bob = site.user("bob", "").await;
    let other = give(&site, bob, device.stage.unwrap(), "bob@example.org").await;
    let (mut browser, _) = asked(&site, "bob").await;
    for chosen in [choice(&device), json!({"selected_challenge": {"device_class": "sms", "device_uid": other.pk}})] {
        let refused = browser.post("in", "", chosen).await;
        assert_eq!(error(&refused, "selected_challenge").0, "invalid challenge selected");
    }
    assert!(site.mails().await.is_empty());
    let (mut ann, _) = asked(&site, "ann").await;
    ann.post("in", "", choice(&device)).await;
    let code = newest(&site).await;
    assert_eq!(error(&browser.post("in", "", json!({"code": code})).await, "code").0, INVALID);
    assert_eq!(
        ann.post("in", "", json!({"code": code})).await["name"],
        "inside",
        "the try of another did not use it up"
    );
}

#[tokio::test]
async fn of_fifty_uses_of_one_code_in_as_many_sessions_one_opens() {
    let site = site().await;
    let (_, device) = validating(&site, json!({}), json!({"email_otp_throttling_factor": 0})).await;
    let (mut browser, _) = asked(&site, "ann").await;
    browser.post("in", "", choice(&device)).await;
    let code = newest(&site).await;
    let mut sessions = Vec::new();
    for _ in 0..50 {
        sessions.push(asked(&site, "ann").await.0);
    }
    let opened = join_all(sessions.into_iter().map(|mut session| {
        let code = &code;
        async move { session.post("in", "", json!({"code": code})).await["name"] == "inside" }
    }))
    .await;
    assert_eq!(opened.into_iter().filter(|opened| *opened).count(), 1);
}

#[tokio::test]
async fn an_address_gets_ten_codes_in_five_minutes_at_most_over_all_sessions() {
    let site = site().await;
    let (_, device) = validating(&site, json!({}), json!({})).await;
    let mut last = String::new();
    for _ in 0..10 {
        let (mut browser, _) = asked(&site, "ann").await;
        browser.post("in", "", choice(&device)).await;
        last = newest(&site).await;
    }
    let (mut browser, _) = asked(&site, "ann").await;
    browser.post("in", "", choice(&device)).await;
    assert_eq!(site.mails().await.len(), 10);
    assert_eq!(browser.post("in", "", json!({"code": last})).await["name"], "inside", "the last one sent still counts");
    let (mut browser, _) = asked(&site, "ann").await;
    site.clock.advance(TimeDelta::minutes(5));
    browser.post("in", "", choice(&device)).await;
    assert_eq!(site.mails().await.len(), 11);
}
