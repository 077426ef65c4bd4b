use crate::tests::{assert_denied, assert_end, component, error, site};
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Clock as _;
use weir_identity::device::{self, DeviceKind, DeviceRow, static_codes, totp};
use weir_testkit::{Browser, TestSite};

const SECRET: &[u8] = b"12345678901234567890";
const INVALID: &str = "Invalid Token. Please ensure the time on your device is accurate and try again.";

async fn app(site: &TestSite, user_id: i64) -> DeviceRow {
    let new =
        totp::NewTotp { user_id, name: "App".to_owned(), secret: SECRET.to_vec(), digits: 6, used_step: -1, drift: 0 };
    let mut unit = site.unit();
    let made = totp::create(&mut unit, new).await.unwrap();
    unit.commit().await.unwrap();
    made
}

async fn paper(site: &TestSite, user: i64, codes: &[&str]) -> DeviceRow {
    let codes: Vec<String> = codes.iter().map(|c| (*c).to_owned()).collect();
    let mut unit = site.unit();
    let made = static_codes::create(&mut unit, user, "Paper", &codes).await.unwrap();
    unit.commit().await.unwrap();
    made
}

fn code(site: &TestSite) -> String {
    weir_crypto::totp::code(SECRET, weir_crypto::totp::step_at(site.clock.now().timestamp()), 6)
}

/// A flow that asks who, then for a second factor, then shows that it was passed.
async fn flow(site: &TestSite, config: Value) -> Uuid {
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    let (stage, _) = site.step(flow, 1, "authenticator_validate", "mfa", config).await;
    site.step(flow, 2, "dummy", "inside", json!({})).await;
    stage
}

async fn ready<'s>(site: &'s TestSite, username: &str) -> (Browser<'s>, Value) {
    let mut browser = site.browser();
    browser.get("f", "").await;
    let shown = browser.post("f", "", json!({"uid_field": username})).await;
    (browser, shown)
}

#[tokio::test]
async fn a_code_of_the_app_opens_once() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let device = app(&site, ann).await;
    flow(&site, json!({})).await;
    let (mut browser, shown) = ready(&site, "ann").await;
    assert_eq!((component(&shown), &shown["pending_user"]), ("ak-stage-authenticator-validate", &json!("ann")));
    let offer = json!([{"device_class": "totp", "device_uid": device.pk, "challenge": {}, "last_used": null}]);
    assert_eq!((&shown["device_challenges"], &shown["configuration_stages"]), (&offer, &json!([])));
    let refused = browser.post("f", "", json!({"code": "000000"})).await;
    assert_eq!(error(&refused, "code"), (INVALID, "invalid"));
    assert_eq!(site.reputation("ann").await, -1);
    site.clock.advance(TimeDelta::seconds(1));
    let shown = browser.post("f", "", json!({"code": code(&site)})).await;
    assert_eq!(shown["name"], "inside");
    let context = browser.context().await;
    assert_eq!(context["auth_method"], "auth_mfa");
    let summary = json!({"app": "authentik_stages_authenticator_totp", "model_name": "totpdevice", "pk": device.id(), "name": "App"});
    assert_eq!(context["auth_method_args"]["mfa_devices"], json!([summary]));
    assert_end(&browser.post("f", "", json!({})).await, "/");
    let used = device::find(&*site.db, DeviceKind::Totp, &device.pk).await.unwrap().unwrap();
    assert_eq!((used.last_used, used.throttle.failures), (Some(site.now()), 0));
    let (mut again, _) = ready(&site, "ann").await;
    let refused = again.post("f", "", json!({"code": code(&site)})).await;
    assert_eq!(error(&refused, "code"), (INVALID, "invalid"));
}

#[tokio::test]
async fn each_code_on_paper_opens_once() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    paper(&site, ann, &["alpha", "beta"]).await;
    flow(&site, json!({"static_otp_throttling_factor": 0})).await;
    for (given, opens) in [("alpha", true), ("alpha", false), ("BETA", false), (" beta ", true), ("beta", false)] {
        let (mut browser, shown) = ready(&site, "ann").await;
        assert_eq!(shown["device_challenges"][0]["device_class"], "static");
        let shown = browser.post("f", "", json!({"code": given})).await;
        assert_eq!(shown["name"] == "inside", opens, "{given}");
    }
}

#[tokio::test]
async fn who_has_no_device_is_let_through_or_denied_as_configured() {
    let site = site().await;
    site.user("ann", "").await;
    let stage = flow(&site, json!({})).await;
    for who in ["ann", "nobody"] {
        assert_eq!(ready(&site, who).await.1["name"], "inside");
    }
    let model = "authentik_stages_authenticator_validate.authenticatorvalidatestage";
    site.change(model, stage, json!({"not_configured_action": "deny"})).await;
    for who in ["ann", "nobody"] {
        assert_denied(&ready(&site, who).await.1, "No (allowed) MFA authenticator configured.");
    }
}
