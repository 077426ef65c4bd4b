use super::AuthenticatorSmsStage;
use crate::tests::{
    assert_denied, assert_end, component, error,
    service::{Asked, Service},
};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use uuid::Uuid;
use weir_core::Resource as _;
use weir_flow::{Input, app::Services};
use weir_identity::device::{self, DeviceKind, DeviceRow, sms};
use weir_testkit::{Browser, TestSite, Wiring, map};

const INVALID: &str = "Invalid Token. Please ensure the time on your device is accurate and try again.";
const NUMBER: &str = "+4930123456";

/// A site whose Twilio is this service.
async fn site(service: &Service) -> TestSite {
    TestSite::new(Wiring {
        resources: crate::resources(),
        hooks: crate::hooks,
        stages: crate::kinds(),
        worker: Some(TestSite::worker()),
        services: Services { twilio_url: Some(service.url.clone()), ..Services::default() },
        ..Wiring::default()
    })
    .await
}

async fn twilio() -> Service {
    Service::start(|_| (201, r#"{"sid": "SM1", "status": "queued"}"#.to_owned())).await
}

fn fields() -> Value {
    json!({"provider": "twilio", "from_number": "+15550001", "account_sid": "AC1", "auth": "very secret"})
}

fn with(more: Value) -> Value {
    let mut all = map(fields());
    all.extend(map(more));
    Value::Object(all)
}

/// The set-up of a signed-in person, and something behind it.
async fn flow(site: &TestSite, config: Value) -> (i64, Uuid) {
    let ann = site.user("ann", "").await;
    let id = site.flow("f", "stage_configuration", json!({})).await;
    let (stage, binding) = site.step(id, 0, "authenticator_sms", "sms", config).await;
    site.guard(binding, "who", json!({"set": {"pending_user": {"pk": ann}}}), json!({})).await;
    site.step(id, 1, "dummy", "inside", json!({})).await;
    (ann, stage)
}

async fn devices(site: &TestSite, user: i64) -> Vec<DeviceRow> {
    device::confirmed_of_user(&*site.db, user).await.unwrap()
}

/// The code of the last message.
fn code(service: &Service) -> String {
    let asked = service.asked();
    let body = asked.last().expect("a message").field("Body");
    body[body.len() - 6..].to_owned()
}

fn wrong(code: &str) -> String {
    if code == "000000" { "000001".to_owned() } else { "000000".to_owned() }
}

#[tokio::test]
async fn a_number_is_asked_for_then_its_code_and_the_device_is_there() {
    let service = twilio().await;
    let site = site(&service).await;
    let (ann, stage) = flow(&site, fields()).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(component(&shown), "ak-stage-authenticator-sms");
    assert_eq!((&shown["phone_number_required"], &shown["pending_user"]), (&json!(true), &json!("ann")));
    assert_eq!(error(&browser.post("f", "", json!({})).await, "non_field_errors").0, "phone_number required");
    let shown = browser.post("f", "", json!({"phone_number": "+49 (30) 123-456"})).await;
    assert_eq!((&shown["phone_number_required"], &shown["response_errors"]), (&json!(false), &json!({})));
    let asked = service.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/2010-04-01/Accounts/AC1/Messages.json");
    assert_eq!(asked[0].header("authorization"), "Basic QUMxOnZlcnkgc2VjcmV0");
    assert_eq!((asked[0].field("To").as_str(), asked[0].field("From").as_str()), (NUMBER, "+15550001"));
    let body = asked[0].field("Body");
    assert!(body.starts_with("Use this code to authenticate in "), "{body}");
    let code = body[body.len() - 6..].to_owned();
    assert_eq!(browser.get("f", "").await["phone_number_required"], false);
    assert!(service.asked().is_empty(), "looking again sends nothing");
    let refused = browser.post("f", "", json!({"code": wrong(&code)})).await;
    assert_eq!(error(&refused, "non_field_errors").0, "Code does not match");
    assert!(devices(&site, ann).await.is_empty());
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    assert_eq!(browser.post("f", "", json!({"code": spaced})).await["name"], "inside");
    let made = devices(&site, ann).await;
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].name.as_str(), made[0].detail.as_str()), ("SMS Device", NUMBER));
    assert_eq!((made[0].kind, made[0].stage), (DeviceKind::Sms, Some(stage)));
    let kept = format!("{:?} {:?}", site.events().await, browser.inspect().await);
    assert!(!kept.contains("very secret") && !kept.contains(&code), "{kept}");
}

#[tokio::test]
async fn a_number_of_the_persons_answers_gets_its_code_at_once() {
    let service = twilio().await;
    let site = site(&service).await;
    let (ann, _) = flow(&site, fields()).await;
    let mut browser = site.browser();
    let id = site.app.site.snapshot().get_by::<weir_flow::Flow>("slug", "f").unwrap().0;
    let first = site.stage("dummy", "first", json!({})).await;
    site.bind(id, first, -1, json!({})).await;
    browser.get("f", "").await;
    browser.set_context(json!({"prompt_data": {"phone": NUMBER}})).await;
    let shown = browser.post("f", "", json!({})).await;
    assert_eq!(shown["phone_number_required"], false);
    let first = code(&service);
    // Another number can be given instead; only its code counts then.
    let shown = browser.post("f", "", json!({"phone_number": "+4930999"})).await;
    assert_eq!(shown["phone_number_required"], false);
    let second = code(&service);
    if first != second {
        let refused = browser.post("f", "", json!({"code": first})).await;
        assert_eq!(error(&refused, "non_field_errors").0, "Code does not match");
    }
    browser.post("f", "", json!({"code": second})).await;
    assert_eq!(devices(&site, ann).await[0].detail, "+4930999");
}

#[tokio::test]
async fn a_number_belongs_to_one_person_of_a_stage_also_as_hash() {
    let service = twilio().await;
    let site = site(&service).await;
    let (ann, stage) = flow(&site, with(json!({"verify_only": true}))).await;
    let mut browser = site.browser();
    browser.post("f", "", json!({"phone_number": NUMBER})).await;
    assert_eq!(browser.post("f", "", json!({"code": code(&service)})).await["name"], "inside");
    let kept = devices(&site, ann).await[0].detail.clone();
    assert_eq!(kept, sms::hashed_number(NUMBER));
    assert!(kept.starts_with("hash:") && kept.len() == 5 + 64);
    for verify_only in [true, false] {
        let model = AuthenticatorSmsStage::MODEL;
        site.change(model, stage, json!({"verify_only": verify_only})).await;
        let mut again = site.browser();
        let refused = again.post("f", "", json!({"phone_number": "+49 30 123456"})).await;
        assert_eq!(error(&refused, "non_field_errors").0, "Invalid phone number");
        assert_eq!(refused["phone_number_required"], true);
    }
    assert!(service.asked().is_empty(), "nothing is sent to a number of somebody else");
    let bad = ["call me", "+49 30 x", "+", "12", "1;2", &"1".repeat(40), "+49\n30123456'"];
    for number in bad {
        let refused = site.browser().post("f", "", json!({"phone_number": number})).await;
        assert_eq!(error(&refused, "non_field_errors").0, "Invalid phone number", "{number}");
    }
}

#[tokio::test]
async fn a_code_is_good_for_five_minutes_and_five_tries() {
    let service = twilio().await;
    let site = site(&service).await;
    flow(&site, fields()).await;
    let mut late = site.browser();
    late.post("f", "", json!({"phone_number": NUMBER})).await;
    let sent = code(&service);
    site.clock.advance(TimeDelta::seconds(300));
    let refused = late.post("f", "", json!({"code": sent})).await;
    assert_eq!(error(&refused, "non_field_errors").0, "Code does not match");
    let mut guessing = site.browser();
    guessing.post("f", "", json!({"phone_number": NUMBER})).await;
    let sent = code(&service);
    for _ in 0..4 {
        let refused = guessing.post("f", "", json!({"code": wrong(&sent)})).await;
        assert_eq!(refused["phone_number_required"], false);
    }
    assert_eq!(guessing.post("f", "", json!({"code": wrong(&sent)})).await["phone_number_required"], true);
    let refused = guessing.post("f", "", json!({"code": sent})).await;
    assert_eq!(error(&refused, "non_field_errors").0, "Code does not match");
}

#[tokio::test]
async fn one_plan_sends_ten_messages_at_most() {
    let service = twilio().await;
    let site = site(&service).await;
    flow(&site, fields()).await;
    let mut browser = site.browser();
    for _ in 0..10 {
        let shown = browser.post("f", "", json!({"phone_number": NUMBER})).await;
        assert_eq!(shown["response_errors"], json!({}));
    }
    let refused = browser.post("f", "", json!({"phone_number": NUMBER})).await;
    assert!(error(&refused, "non_field_errors").0.starts_with("Too many codes"));
    assert_eq!(service.asked().len(), 10);
}

#[tokio::test]
async fn nobody_a_claim_and_a_locked_account_are_denied() {
    let service = twilio().await;
    let site = site(&service).await;
    let bob = site.user("bob", "").await;
    site.change_user(bob, json!({"is_active": false})).await;
    let id = site.flow("open", "enrollment", json!({})).await;
    site.step(id, 0, "dummy", "first", json!({})).await;
    site.step(id, 1, "authenticator_sms", "sms", fields()).await;
    for pending in
        [json!({}), json!({"pending_user": {"pk": null, "username": "z"}}), json!({"pending_user": {"pk": bob}})]
    {
        let mut browser = site.browser();
        browser.get("open", "").await;
        browser.set_context(json!({"prompt_data": {"phone": NUMBER}})).await;
        browser.set_context(pending).await;
        assert_denied(&browser.post("open", "", json!({})).await, "Unknown error");
    }
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn what_twilio_refuses_is_said_and_told_to_administrators() {
    let service =
        Service::start(|_| (400, r#"{"code": 21211, "message": "The number is not valid."}"#.to_owned())).await;
    let site = site(&service).await;
    flow(&site, fields()).await;
    let mut browser = site.browser();
    let refused = browser.post("f", "", json!({"phone_number": NUMBER})).await;
    assert_eq!(error(&refused, "non_field_errors").0, "The number is not valid.");
    assert_eq!(refused["phone_number_required"], true);
    let events = site.events_of("configuration_error").await;
    assert_eq!((&events[0]["message"], &events[0]["status_code"]), (&json!("Error sending SMS"), &json!(400)));
    assert!(!events[0].to_string().contains("very secret"));
}

#[tokio::test]
async fn a_service_that_is_away_or_talks_nonsense_makes_no_device() {
    let says = Arc::new(Mutex::new((0, String::new())));
    let said = Arc::clone(&says);
    let service = Service::start(move |_| said.lock().unwrap().clone()).await;
    let site = site(&service).await;
    let (ann, _) = flow(&site, fields()).await;
    for (status, body) in [(0, ""), (500, "<html>"), (302, "{}"), (404, r#"{"message": 7}"#)] {
        *says.lock().unwrap() = (status, body.to_owned());
        let mut browser = site.browser();
        let refused = browser.post("f", "", json!({"phone_number": NUMBER})).await;
        let text = error(&refused, "non_field_errors").0.to_owned();
        assert_eq!(text, "The code could not be sent. Please try again later.", "{status}");
        for code in ["", "000000"] {
            let refused = browser.post("f", "", json!({"code": code})).await;
            assert_eq!(component(&refused), "ak-stage-authenticator-sms");
        }
    }
    assert!(devices(&site, ann).await.is_empty());
    assert_eq!(site.events_of("configuration_error").await.len(), 4);
}

/// The stage of a generic service.
fn generic(service: &Service, more: Value) -> Value {
    let mut all = map(with(json!({"provider": "generic", "account_sid": format!("{}/send?x=1", service.url)})));
    all.extend(map(more));
    Value::Object(all)
}

fn json_of(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).unwrap()
}

#[tokio::test]
async fn a_generic_service_gets_json_and_says_what_is_wrong() {
    let says = Arc::new(Mutex::new((200, String::new())));
    let said = Arc::clone(&says);
    let service = Service::start(move |_| said.lock().unwrap().clone()).await;
    let site = site(&service).await;
    let (ann, stage) = flow(&site, generic(&service, json!({"auth": "name", "auth_password": "pass word"}))).await;
    let mut browser = site.browser();
    browser.post("f", "", json!({"phone_number": NUMBER})).await;
    let asked = service.asked().remove(0);
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/send?x=1"));
    assert_eq!(asked.header("authorization"), "Basic bmFtZTpwYXNzIHdvcmQ=");
    let body = json_of(&asked);
    let code = body["Body"].as_str().unwrap();
    assert_eq!((&body["From"], &body["To"]), (&json!("+15550001"), &json!(NUMBER)));
    assert!(code.len() == 6 && body["Message"].as_str().unwrap().ends_with(code));
    assert_eq!(browser.post("f", "", json!({"code": code})).await["name"], "inside");
    assert_eq!(devices(&site, ann).await.len(), 1);
    site.change(AuthenticatorSmsStage::MODEL, stage, json!({"auth_type": "bearer"})).await;
    *says.lock().unwrap() = (402, "No credit left.".to_owned());
    let refused = site.browser().post("f", "", json!({"phone_number": "+4930777"})).await;
    assert_eq!(service.asked()[0].header("authorization"), "Bearer name");
    assert_eq!(error(&refused, "non_field_errors").0, "No credit left.");
    let event = &site.events_of("configuration_error").await[0];
    assert_eq!((&event["status_code"], &event["body"]), (&json!(402), &json!("No credit left.")));
}

#[tokio::test]
async fn a_mapping_says_what_is_sent() {
    let service = Service::start(|_| (200, "ok".to_owned())).await;
    let site = site(&service).await;
    let mapping = "authentik_events.notificationwebhookmapping";
    let whole = r#"return {"to": device.phone_number, "text": f"{stage.name}: {token}", "who": user.username}"#;
    let whole = site.make(mapping, json!({"name": "whole", "expression": whole})).await;
    let (_, stage) = flow(&site, generic(&service, json!({"mapping": whole}))).await;
    site.browser().post("f", "", json!({"phone_number": NUMBER})).await;
    let body = json_of(&service.asked()[0]);
    assert_eq!((&body["to"], &body["who"]), (&json!(NUMBER), &json!("ann")));
    assert!(body["text"].as_str().unwrap().starts_with("sms: "));
    let text =
        site.make(mapping, json!({"name": "text", "expression": r#"return {"message": "Your code: " + token}"#})).await;
    let change = json!({"provider": "twilio", "account_sid": "AC1", "mapping": text});
    site.change(AuthenticatorSmsStage::MODEL, stage, change).await;
    site.browser().post("f", "", json!({"phone_number": NUMBER})).await;
    assert!(service.asked()[0].field("Body").starts_with("Your code: "));
    let broken = site.make(mapping, json!({"name": "broken", "expression": "return 1 / 0"})).await;
    site.change(AuthenticatorSmsStage::MODEL, stage, json!({"mapping": broken})).await;
    let refused = site.browser().post("f", "", json!({"phone_number": NUMBER})).await;
    assert!(error(&refused, "non_field_errors").0.starts_with("The code could not be sent"));
    assert!(service.asked().is_empty());
    assert_eq!(site.events_of("property_mapping_exception").await.len(), 1);
    // A mapping that is gone leaves the usual message.
    site.delete(mapping, broken).await;
    let shown = site.browser().post("f", "", json!({"phone_number": NUMBER})).await;
    assert_eq!(shown["phone_number_required"], false);
}

#[tokio::test]
async fn a_generic_service_needs_an_address() {
    let service = twilio().await;
    let site = site(&service).await;
    for address in ["AC1", "file:///etc/passwd", "/send"] {
        let mut body = map(with(json!({"provider": "generic", "account_sid": address})));
        body.insert("name".to_owned(), "x".into());
        let refused = site.try_make(AuthenticatorSmsStage::MODEL, Value::Object(body)).await.err().unwrap();
        assert!(refused.body()["account_sid"].is_array(), "{address}");
    }
}

#[tokio::test]
async fn of_fifty_right_answers_at_once_one_makes_the_device() {
    let service = twilio().await;
    let site = site(&service).await;
    let (ann, _) = flow(&site, fields()).await;
    let mut browser = site.browser();
    browser.post("f", "", json!({"phone_number": NUMBER})).await;
    let code = code(&service);
    let tabs: Vec<Browser<'_>> = (0..50).map(|_| browser.clone()).collect();
    let done = join_all(tabs.into_iter().map(|mut tab| {
        // Named, so that a late one does not answer the stage behind.
        let answer = Input::Answer(map(json!({"component": "ak-stage-authenticator-sms", "code": code})));
        async move { tab.step("f", "", answer).await.map(|_| ()) }
    }))
    .await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(devices(&site, ann).await.len(), 1);
    assert_eq!(browser.get("f", "").await["name"], "inside");
}

/// Somebody with a telephone, and a flow that asks for it.
async fn validating(site: &TestSite, config: Value, mfa: Value) -> (i64, DeviceRow) {
    let ann = site.user("ann", "").await;
    let stage = site.stage("authenticator_sms", "sms", config).await;
    let mut unit = site.unit();
    let device = sms::create(&mut unit, (ann, "SMS Device"), stage, NUMBER).await.unwrap();
    unit.commit().await.unwrap();
    let id = site.flow("in", "authentication", json!({})).await;
    site.step(id, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    site.step(id, 1, "authenticator_validate", "mfa", mfa).await;
    site.step(id, 2, "dummy", "inside", json!({})).await;
    (ann, device)
}

async fn asked<'s>(site: &'s TestSite) -> (Browser<'s>, Value) {
    let mut browser = site.browser();
    let shown = browser.post("in", "", json!({"uid_field": "ann"})).await;
    (browser, shown)
}

fn choice(device: &DeviceRow) -> Value {
    json!({"selected_challenge": {"device_class": "sms", "device_uid": device.pk}})
}

#[tokio::test]
async fn a_code_is_sent_to_who_chooses_it_and_opens_once() {
    let service = twilio().await;
    let site = site(&service).await;
    let (_, device) = validating(&site, fields(), json!({"sms_otp_throttling_factor": 0})).await;
    let (mut browser, shown) = asked(&site).await;
    let offer = json!([{"device_class": "sms", "device_uid": device.pk, "challenge": {}, "last_used": null}]);
    assert_eq!(shown["device_challenges"], offer, "the number is not told");
    assert!(service.asked().is_empty(), "nothing is sent before it is chosen");
    let chosen = browser.post("in", "", choice(&device)).await;
    assert_eq!(error(&chosen, "non_field_errors").0, "Empty response");
    let first = code(&service);
    let refused = browser.post("in", "", json!({"code": wrong(&first)})).await;
    assert_eq!(error(&refused, "code").0, INVALID);
    browser.post("in", "", choice(&device)).await;
    let second = code(&service);
    if first != second {
        let refused = browser.post("in", "", json!({"code": first})).await;
        assert_eq!(error(&refused, "code").0, INVALID, "a newer code replaces it");
    }
    assert_eq!(browser.post("in", "", json!({"code": second})).await["name"], "inside");
    let context = browser.context().await;
    assert_eq!(context["auth_method_args"]["mfa_devices"][0]["model_name"], "smsdevice");
    let (mut again, _) = asked(&site).await;
    assert_eq!(error(&again.post("in", "", json!({"code": second})).await, "code").0, INVALID);
    let foreign = json!({"selected_challenge": {"device_class": "sms", "device_uid": "999"}});
    assert_eq!(error(&again.post("in", "", foreign).await, "selected_challenge").0, "invalid challenge selected");
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn a_code_ends_after_five_minutes_and_a_device_closes_after_wrong_ones() {
    let service = twilio().await;
    let site = site(&service).await;
    let (_, device) = validating(&site, fields(), json!({})).await;
    let (mut browser, _) = asked(&site).await;
    browser.post("in", "", choice(&device)).await;
    let sent = code(&service);
    site.clock.advance(TimeDelta::seconds(300));
    assert_eq!(error(&browser.post("in", "", json!({"code": sent})).await, "code").0, INVALID);
    site.clock.advance(TimeDelta::seconds(2));
    browser.post("in", "", choice(&device)).await;
    let sent = code(&service);
    browser.post("in", "", json!({"code": wrong(&sent)})).await;
    let refused = browser.post("in", "", json!({"code": sent})).await;
    assert_eq!(error(&refused, "code").0, INVALID, "closed for a moment, to the right code too");
    site.clock.advance(TimeDelta::seconds(2));
    assert_eq!(browser.post("in", "", json!({"code": sent})).await["name"], "inside");
}

#[tokio::test]
async fn a_number_kept_as_hash_is_not_asked_for() {
    let service = twilio().await;
    let site = site(&service).await;
    let (ann, device) = validating(&site, fields(), json!({"not_configured_action": "deny"})).await;
    let mut unit = site.unit();
    let sql = "UPDATE identity_device_sms SET phone_number = $1 WHERE \"user\" = $2";
    unit.tx.write(sql, &[sms::hashed_number(NUMBER).into(), ann.into()]).await.unwrap();
    unit.commit().await.unwrap();
    assert_denied(&asked(&site).await.1, "No (allowed) MFA authenticator configured.");
    assert!(!device.detail.starts_with("hash:"));
}

#[tokio::test]
async fn of_fifty_uses_of_one_code_in_as_many_sessions_one_opens() {
    let service = twilio().await;
    let site = site(&service).await;
    let (_, device) = validating(&site, fields(), json!({"sms_otp_throttling_factor": 0})).await;
    let (mut browser, _) = asked(&site).await;
    browser.post("in", "", choice(&device)).await;
    let code = code(&service);
    let mut sessions = Vec::new();
    for _ in 0..50 {
        sessions.push(asked(&site).await.0);
    }
    let opened = join_all(sessions.into_iter().map(|mut session| {
        let code = &code;
        async move { session.post("in", "", json!({"code": code})).await["name"] == "inside" }
    }))
    .await;
    assert_eq!(opened.into_iter().filter(|opened| *opened).count(), 1);
}

#[tokio::test]
async fn of_many_choices_at_once_one_sends() {
    let service = Service::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        (201, "{}".to_owned())
    })
    .await;
    let site = site(&service).await;
    let (_, device) = validating(&site, fields(), json!({})).await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(asked(&site).await.0);
    }
    let answers = join_all(sessions.into_iter().map(|mut session| {
        let choice = choice(&device);
        async move { session.post("in", "", choice).await }
    }))
    .await;
    assert!(answers.iter().all(|shown| error(shown, "non_field_errors").0 == "Empty response"));
    let sent = service.asked().len();
    assert!((1..10).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_number_gets_ten_codes_in_five_minutes_at_most_over_all_sessions() {
    let service = twilio().await;
    let site = site(&service).await;
    let (_, device) = validating(&site, fields(), json!({})).await;
    for _ in 0..10 {
        let (mut browser, _) = asked(&site).await;
        let chosen = browser.post("in", "", choice(&device)).await;
        assert_eq!(error(&chosen, "non_field_errors").0, "Empty response");
    }
    let (mut browser, _) = asked(&site).await;
    let refused = browser.post("in", "", choice(&device)).await;
    assert!(error(&refused, "non_field_errors").0.starts_with("Too many codes"));
    assert_eq!(service.asked().len(), 10);
    site.clock.advance(TimeDelta::minutes(5));
    browser.post("in", "", choice(&device)).await;
    assert_eq!(browser.post("in", "", json!({"code": code(&service)})).await["name"], "inside");
}

#[tokio::test]
async fn when_a_code_cannot_be_sent_the_person_learns_it_and_can_try_again() {
    let works = Arc::new(Mutex::new(false));
    let now = Arc::clone(&works);
    let service =
        Service::start(move |_| if *now.lock().unwrap() { (201, "{}".to_owned()) } else { (503, String::new()) }).await;
    let site = site(&service).await;
    let (_, device) = validating(&site, fields(), json!({})).await;
    let (mut browser, _) = asked(&site).await;
    let refused = browser.post("in", "", choice(&device)).await;
    assert!(error(&refused, "non_field_errors").0.starts_with("The code could not be sent"));
    *works.lock().unwrap() = true;
    browser.post("in", "", choice(&device)).await;
    assert_eq!(browser.post("in", "", json!({"code": code(&service)})).await["name"], "inside");
    assert_end(&browser.post("in", "", json!({})).await, "/");
}
