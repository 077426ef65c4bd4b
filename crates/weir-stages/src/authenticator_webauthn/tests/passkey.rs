use super::{ORIGIN, devices, enrol, setup_flow};
use crate::tests::{assert_end, component, error, site};
use serde_json::{Map, Value, json};
use weir_core::Clock as _;
use weir_testkit::TestSite;
use weir_webauthn::software::{Authenticator, Wrong};

const STAGE: &str = "authentik_stages_identification.identificationstage";

/// A flow whose first page asks for name and password, and takes passkeys.
async fn flow(site: &TestSite, validate: Value) -> uuid::Uuid {
    setup_flow(site, json!({"resident_key_requirement": "required"})).await;
    let validate = site.stage("authenticator_validate", "passkeys", validate).await;
    let password =
        site.stage("password", "password", json!({"backends": ["authentik.core.auth.InbuiltBackend"]})).await;
    let flow = site.flow("f", "authentication", json!({})).await;
    let config = json!({"user_fields": ["username"], "webauthn_stage": validate, "password_stage": password});
    let (stage, _) = site.step(flow, 0, "identification", "who", config).await;
    site.step(flow, 1, "user_login", "in", json!({})).await;
    stage
}

fn asked(shown: &Value) -> Map<String, Value> {
    shown["passkey_challenge"].as_object().unwrap_or_else(|| panic!("{shown}")).clone()
}

#[tokio::test]
async fn a_passkey_on_the_first_page_needs_neither_name_nor_password() {
    let site = site().await;
    let maja = site.user("maja", "secret").await;
    flow(&site, json!({"webauthn_user_verification": "required", "webauthn_hints": ["hybrid"]})).await;
    let mut passkey = Authenticator::default();
    let device = enrol(&site, maja, &mut passkey).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    let options = asked(&shown);
    assert_eq!((&options["allowCredentials"], &options["userVerification"]), (&json!([]), &json!("required")));
    assert_eq!(options["hints"], json!(["hybrid"]));
    let before = site.events().await.len();
    assert_end(&browser.post("f", "", json!({"passkey": passkey.get(&options, ORIGIN)})).await, "/");
    assert_eq!(browser.username().await.as_deref(), Some("maja"));
    let login = site.events_of("login").await;
    assert_eq!(login[0]["auth_method"], "auth_webauthn_pwl");
    assert_eq!(login[0]["auth_method_args"]["device"], device.summary());
    assert_eq!(devices(&site, maja).await[0].last_used, Some(site.clock.now()));
    assert_eq!(site.events().await.len(), before + 1, "the use of the device is no event of its own");
}

#[tokio::test]
async fn a_wrong_passkey_is_refused_and_the_name_still_works() {
    let site = site().await;
    let (maja, nora) = (site.user("maja", "secret").await, site.user("nora", "").await);
    flow(&site, json!({"webauthn_user_verification": "required"})).await;
    let (mut passkey, mut key) =
        (Authenticator::default(), Authenticator { keeps_residents: false, ..Default::default() });
    enrol(&site, maja, &mut passkey).await;
    enrol(&site, nora, &mut key).await;
    let mut browser = site.browser();
    let mut shown = browser.get("f", "").await;
    for wrong in [
        Wrong { challenge: Some(vec![1; 64]), ..Wrong::default() },
        Wrong { flags: 4, ..Wrong::default() },
        Wrong { origin: Some("https://evil.example.org".to_owned()), ..Wrong::default() },
        Wrong { user_handle: Some(b"nora".to_vec()), ..Wrong::default() },
        Wrong { sign_count: Some(0), ..Wrong::default() },
    ] {
        passkey.wrong = wrong.clone();
        let answer = json!({"passkey": passkey.get(&asked(&shown), ORIGIN), "uid_field": "maja", "password": "secret"});
        shown = browser.post("f", "", answer).await;
        assert_eq!(error(&shown, "non_field_errors"), ("Assertion failed", "invalid"), "{wrong:?}");
    }
    let answer = json!({"passkey": key.use_held(0, &asked(&shown), ORIGIN)});
    shown = browser.post("f", "", answer).await;
    assert_eq!(error(&shown, "non_field_errors").0, "Assertion failed", "it names no user");
    let events = site.events_of("login_failed").await;
    assert_eq!((events.len(), &events[0]["auth_method_args"]["device_class"]), (6, &json!("webauthn")));
    shown = browser.post("f", "", json!({"passkey": {"id": "x"}})).await;
    assert_eq!(error(&shown, "non_field_errors").0, "Invalid device");
    assert_end(&browser.post("f", "", json!({"uid_field": "maja", "password": "secret", "passkey": {}})).await, "/");
}

#[tokio::test]
async fn a_passkey_serves_once() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    flow(&site, json!({})).await;
    let mut passkey = Authenticator { counts: false, ..Authenticator::default() };
    enrol(&site, maja, &mut passkey).await;
    let mut browser = site.browser();
    let answer = json!({"passkey": passkey.get(&asked(&browser.get("f", "").await), ORIGIN)});
    let tries = (0..50).map(|_| {
        let (mut tab, answer) = (browser.clone(), answer.clone());
        async move {
            use weir_flow::executor::{Input, Reply};
            let done = tab.try_step("f", "", Input::Answer(weir_testkit::map(answer))).await;
            matches!(done, Ok(Reply::ToSelf))
        }
    });
    let passed = futures_util::future::join_all(tries).await.into_iter().filter(|passed| *passed).count();
    assert_eq!(passed, 1);
    let mut other = site.browser();
    other.get("f", "").await;
    assert_eq!(error(&other.post("f", "", answer).await, "non_field_errors").0, "Assertion failed");
}

#[tokio::test]
async fn a_name_that_was_filled_in_gives_way_to_the_passkeys_owner() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    let stage = flow(&site, json!({})).await;
    site.change(STAGE, stage, json!({"show_matched_user": false})).await;
    let mut passkey = Authenticator::default();
    enrol(&site, maja, &mut passkey).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.set_context(json!({"pending_user_identifier": "nora"})).await;
    let shown = browser.get("f", "").await;
    assert_eq!((component(&shown), &shown["pending_user_identifier"]), ("ak-stage-identification", &json!("nora")));
    assert_end(&browser.post("f", "", json!({"passkey": passkey.get(&asked(&shown), ORIGIN)})).await, "/");
    assert_eq!(browser.username().await.as_deref(), Some("maja"));
}

#[tokio::test]
async fn without_a_stage_for_them_no_passkey_is_asked_for_or_taken() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    let stage = flow(&site, json!({})).await;
    let mut passkey = Authenticator::default();
    enrol(&site, maja, &mut passkey).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    site.change(STAGE, stage, json!({"webauthn_stage": null})).await;
    let refused = browser.post("f", "", json!({"passkey": passkey.get(&asked(&shown), ORIGIN)})).await;
    assert_eq!(error(&refused, "non_field_errors").0, "Failed to authenticate.");
    assert_eq!(refused["passkey_challenge"], Value::Null);
}
