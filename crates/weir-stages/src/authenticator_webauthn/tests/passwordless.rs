use super::{MODEL, ORIGIN, before, enrol, setup_flow};
use crate::tests::{assert_end, component, error, site};
use serde_json::{Map, Value, json};
use weir_testkit::{Browser, TestSite};
use weir_webauthn::software::{Authenticator, Wrong};

/// A flow that asks for nothing but a passkey.
async fn flow(site: &TestSite, config: Value) {
    setup_flow(site, json!({"resident_key_requirement": "required"})).await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "authenticator_validate", "passkey", config).await;
    site.step(flow, 1, "user_login", "in", json!({})).await;
}

fn asked(shown: &Value) -> Map<String, Value> {
    let offer = &shown["device_challenges"][0];
    assert_eq!((&offer["device_class"], &offer["device_uid"]), (&json!("webauthn"), &json!("-1")), "{shown}");
    assert_eq!((&offer["challenge"]["allowCredentials"], &shown["pending_user"]), (&json!([]), &json!("")));
    offer["challenge"].as_object().unwrap().clone()
}

async fn answer(browser: &mut Browser<'_>, shown: &Value, authenticator: &mut Authenticator) -> Value {
    let assertion = authenticator.use_held(0, &asked(shown), ORIGIN);
    browser.post("f", "", json!({"webauthn": assertion})).await
}

#[tokio::test]
async fn a_passkey_alone_signs_its_owner_in() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    super::lists::plain(&site, &[(MODEL, "Model")]).await;
    flow(&site, json!({"webauthn_user_verification": "required"})).await;
    let mut passkey = Authenticator { aaguid: MODEL, ..Authenticator::default() };
    let device = enrol(&site, maja, &mut passkey).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(asked(&shown)["userVerification"], "required");
    assert_end(&answer(&mut browser, &shown, &mut passkey).await, "/");
    assert_eq!(browser.username().await.as_deref(), Some("maja"));
    let login = site.events_of("login").await;
    assert_eq!(login[0]["auth_method"], "auth_webauthn_pwl");
    assert_eq!(login[0]["auth_method_args"]["device"], device.summary());
    assert_eq!(login[0]["auth_method_args"]["device_type"]["name"], "Model");
}

#[tokio::test]
async fn a_passkey_must_name_its_owner_itself() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    flow(&site, json!({})).await;
    let mut key = Authenticator { keeps_residents: false, ..Authenticator::default() };
    enrol(&site, maja, &mut key).await;
    let mut browser = site.browser();
    let mut shown = browser.get("f", "").await;
    shown = answer(&mut browser, &shown, &mut key).await;
    assert_eq!(error(&shown, "webauthn").0, "Assertion failed");
    key.wrong = Wrong { user_handle: Some(b"nora".to_vec()), ..Wrong::default() };
    shown = answer(&mut browser, &shown, &mut key).await;
    assert_eq!(error(&shown, "webauthn").0, "Assertion failed");
    let mut stranger = Authenticator::default();
    stranger.create(&before(&site, maja).await.1, ORIGIN);
    shown = answer(&mut browser, &shown, &mut stranger).await;
    assert_eq!(error(&shown, "webauthn").0, "Invalid device");
    assert_eq!(component(&shown), "ak-stage-authenticator-validate");
}

#[tokio::test]
async fn a_passkey_of_a_user_who_was_switched_off_signs_nobody_in() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    flow(&site, json!({})).await;
    let mut passkey = Authenticator::default();
    enrol(&site, maja, &mut passkey).await;
    site.change_user(maja, json!({"is_active": false})).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    let shown = answer(&mut browser, &shown, &mut passkey).await;
    assert_eq!(component(&shown), "ak-stage-access-denied");
    assert_eq!(browser.username().await, None);
}

#[tokio::test]
async fn where_no_passkey_may_be_asked_for_the_stage_is_passed() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "authenticator_validate", "codes", json!({"device_classes": ["totp"]})).await;
    site.step(flow, 1, "dummy", "in", json!({})).await;
    assert_eq!(component(&site.browser().get("f", "").await), "ak-stage-dummy");
    let flow = site.flow("g", "enrollment", json!({})).await;
    site.step(flow, 0, "authenticator_validate", "all", json!({})).await;
    site.step(flow, 1, "dummy", "in again", json!({})).await;
    assert_eq!(component(&site.browser().get("g", "").await), "ak-stage-dummy");
}
