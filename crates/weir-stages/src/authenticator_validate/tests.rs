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

const MODEL: &str = "authentik_stages_authenticator_validate.authenticatorvalidatestage";
const TOTP: &str = "authentik_stages_authenticator_totp.authenticatortotpstage";
const STATIC: &str = "authentik_stages_authenticator_static.authenticatorstaticstage";

async fn failures(site: &TestSite, device: &DeviceRow) -> i64 {
    device::find(&*site.db, device.kind, &device.pk).await.unwrap().unwrap().throttle.failures
}

#[tokio::test]
async fn a_failed_try_is_an_event_and_a_bad_mark_without_the_code() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    app(&site, ann).await;
    let stage = flow(&site, json!({})).await;
    let (mut browser, _) = ready(&site, "ann").await;
    browser.post("f", "", json!({"code": "123456"})).await;
    let events = site.events().await;
    assert_eq!((events.len(), events[0].0.as_str(), events[0].2.as_str()), (1, "login_failed", "ann"));
    let summary = json!({"app": "authentik_stages_authenticator_validate", "model_name": "authenticatorvalidatestage", "pk": stage.simple().to_string(), "name": "mfa"});
    let expected = json!({"username": "ann", "auth_method_args": {"device_class": "totp"}, "stage": summary});
    assert_eq!(events[0].1["auth_method_args"], expected["auth_method_args"]);
    assert_eq!((&events[0].1["username"], &events[0].1["stage"]), (&expected["username"], &expected["stage"]));
    assert!(!events[0].1.to_string().contains("123456"));
    assert_eq!(site.reputation("ann").await, -1);
}

#[tokio::test]
async fn a_closed_device_refuses_the_right_code_too_and_does_not_count() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let device = app(&site, ann).await;
    let stage = flow(&site, json!({})).await;
    let (mut browser, _) = ready(&site, "ann").await;
    for (failed, wait) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        browser.post("f", "", json!({"code": "000000"})).await;
        assert_eq!(failures(&site, &device).await, failed);
        site.clock.advance(TimeDelta::milliseconds(wait * 1000 - 1));
        for given in [code(&site), "000000".to_owned()] {
            let refused = browser.post("f", "", json!({"code": given})).await;
            assert_eq!(error(&refused, "code"), (INVALID, "invalid"), "closed answers like wrong");
        }
        assert_eq!(failures(&site, &device).await, failed, "what is not looked at is not counted");
        site.clock.advance(TimeDelta::milliseconds(1));
    }
    let (mut other, _) = ready(&site, "ann").await;
    assert_eq!(other.post("f", "", json!({"code": code(&site)})).await["name"], "inside");
    assert_eq!(failures(&site, &device).await, 0, "a success starts anew");
    site.change(MODEL, stage, json!({"totp_otp_throttling_factor": 0})).await;
    site.clock.advance(TimeDelta::seconds(60));
    for _ in 0..5 {
        browser.post("f", "", json!({"code": "000000"})).await;
    }
    assert_eq!(browser.post("f", "", json!({"code": code(&site)})).await["name"], "inside", "switched off");
}

#[tokio::test]
async fn a_device_that_takes_the_code_clears_the_others_of_blame() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let (phone, codes) = (app(&site, ann).await, paper(&site, ann, &["alpha", "beta"]).await);
    flow(&site, json!({})).await;
    let (mut browser, shown) = ready(&site, "ann").await;
    let classes: Vec<&str> =
        shown["device_challenges"].as_array().unwrap().iter().map(|c| c["device_class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["static", "totp"], "in the order of the stage");
    assert_eq!(browser.post("f", "", json!({"code": "alpha"})).await["name"], "inside");
    assert_eq!((failures(&site, &phone).await, failures(&site, &codes).await), (0, 0));
    let (mut browser, _) = ready(&site, "ann").await;
    browser.post("f", "", json!({"code": "wrong"})).await;
    assert_eq!((failures(&site, &phone).await, failures(&site, &codes).await), (1, 1), "nobody took it");
}

#[tokio::test]
async fn only_devices_of_allowed_classes_count() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    app(&site, ann).await;
    paper(&site, ann, &["alpha"]).await;
    let stage = flow(&site, json!({"device_classes": ["static"]})).await;
    let (mut browser, shown) = ready(&site, "ann").await;
    assert_eq!(shown["device_challenges"].as_array().map(Vec::len), Some(1));
    let refused = browser.post("f", "", json!({"code": code(&site)})).await;
    assert_eq!(error(&refused, "code").0, INVALID);
    site.change(MODEL, stage, json!({"device_classes": ["sms"], "not_configured_action": "deny"})).await;
    assert_denied(&ready(&site, "ann").await.1, "No (allowed) MFA authenticator configured.");
}

#[tokio::test]
async fn a_device_of_somebody_else_proves_nothing() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    paper(&site, ann, &["alpha"]).await;
    paper(&site, bob, &["beta"]).await;
    flow(&site, json!({})).await;
    let (mut browser, _) = ready(&site, "ann").await;
    assert_eq!(error(&browser.post("f", "", json!({"code": "beta"})).await, "code").0, INVALID);
    let (mut browser, _) = ready(&site, "bob").await;
    assert_eq!(browser.post("f", "", json!({"code": "beta"})).await["name"], "inside");
}

#[tokio::test]
async fn an_answer_without_proof_changes_nothing() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let device = app(&site, ann).await;
    flow(&site, json!({})).await;
    let (mut browser, shown) = ready(&site, "ann").await;
    let offered = shown["device_challenges"][0].clone();
    for empty in [
        json!({}),
        json!({"code": ""}),
        json!({"code": " "}),
        json!({"code": null}),
        json!({"selected_challenge": offered}),
    ] {
        let refused = browser.post("f", "", empty).await;
        assert_eq!(error(&refused, "non_field_errors"), ("Empty response", "invalid"));
    }
    for wrong in [
        json!({"device_class": "totp", "device_uid": "999"}),
        json!({"device_class": "static", "device_uid": device.pk}),
        json!({"device_class": "sms"}),
        json!({}),
    ] {
        let refused = browser.post("f", "", json!({"selected_challenge": wrong, "code": code(&site)})).await;
        assert_eq!(error(&refused, "selected_challenge").0, "invalid challenge selected");
    }
    let chosen = json!({"selected_stage": "6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11"});
    assert_eq!(error(&browser.post("f", "", chosen).await, "selected_stage").0, "Selected stage is invalid");
    assert!(site.events().await.is_empty() && failures(&site, &device).await == 0);
    let both = json!({"selected_challenge": offered, "code": code(&site)});
    assert_eq!(browser.post("f", "", both).await["name"], "inside");
}

#[tokio::test]
async fn the_first_proof_names_the_method_and_devices_add_up() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    app(&site, ann).await;
    flow(&site, json!({})).await;
    let (mut browser, _) = ready(&site, "ann").await;
    let before = json!({"auth_method": "password", "auth_method_args": {"known": 1, "mfa_devices": [{"pk": 0}]}});
    browser.set_context(before).await;
    browser.post("f", "", json!({"code": code(&site)})).await;
    let context = browser.context().await;
    assert_eq!((&context["auth_method"], &context["auth_method_args"]["known"]), (&json!("password"), &json!(1)));
    assert_eq!(context["auth_method_args"]["mfa_devices"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn who_has_no_device_sets_one_up_and_is_not_asked_then() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let totp_stage = site.stage(TOTP, "app", json!({"digits": "6"})).await;
    let one = json!({"not_configured_action": "configure", "configuration_stages": [totp_stage]});
    let stage = flow(&site, one).await;
    let (mut browser, shown) = ready(&site, "ann").await;
    assert_eq!(component(&shown), "ak-stage-authenticator-totp", "the only one is not a choice");
    let secret = shown["config_url"].as_str().unwrap().split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let secret = weir_crypto::totp::from_base32(secret).unwrap();
    let step = weir_crypto::totp::step_at(site.clock.now().timestamp());
    let given = weir_crypto::totp::code(&secret, step, 6);
    assert_eq!(browser.post("f", "", json!({"code": given})).await["name"], "inside");
    let (mut browser, _) = ready(&site, "ann").await;
    let refused = browser.post("f", "", json!({"code": given})).await;
    assert_eq!(error(&refused, "code").0, INVALID, "the code that set it up is used up");

    let bob = site.user("bob", "").await;
    let paper_stage = site.stage(STATIC, "paper", json!({"friendly_name": "On paper"})).await;
    site.change(MODEL, stage, json!({"configuration_stages": [totp_stage, paper_stage]})).await;
    let (mut browser, shown) = ready(&site, "bob").await;
    assert_eq!((component(&shown), &shown["device_challenges"]), ("ak-stage-authenticator-validate", &json!([])));
    let names: Vec<(&str, &str)> = shown["configuration_stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["name"].as_str().unwrap(), s["verbose_name"].as_str().unwrap()))
        .collect();
    assert_eq!(names, [("app", "TOTP Authenticator"), ("On paper", "Static Authenticator")]);
    for (wrong, field, text) in [
        (json!({}), "non_field_errors", "Empty response"),
        (json!({"code": "1"}), "code", "No compatible device class allowed"),
        (json!({"webauthn": {"id": "x"}}), "non_field_errors", "Empty response"),
        (json!({"selected_stage": "x"}), "selected_stage", "Selected stage is invalid"),
        (json!({"selected_stage": stage}), "selected_stage", "Selected stage is invalid"),
    ] {
        assert_eq!(error(&browser.post("f", "", wrong).await, field).0, text);
    }
    let shown = browser.post("f", "", json!({"selected_stage": paper_stage})).await;
    assert_eq!(component(&shown), "ak-stage-authenticator-static");
    assert_eq!(browser.post("f", "", json!({})).await["name"], "inside");
    let kinds = |devices: Vec<DeviceRow>| devices.into_iter().map(|d| d.kind).collect::<Vec<_>>();
    assert_eq!(kinds(device::confirmed_of_user(&*site.db, ann).await.unwrap()), [DeviceKind::Totp]);
    assert_eq!(kinds(device::confirmed_of_user(&*site.db, bob).await.unwrap()), [DeviceKind::Static]);

    site.delete(TOTP, totp_stage).await;
    site.delete(STATIC, paper_stage).await;
    site.user("cid", "").await;
    assert_denied(&ready(&site, "cid").await.1, "No (allowed) MFA authenticator configured.");
    assert_eq!(site.events_of("configuration_error").await.len(), 1);
}

#[tokio::test]
async fn a_name_without_account_is_treated_like_somebody_without_device() {
    let site = site().await;
    site.user("ann", "").await;
    let totp_stage = site.stage(TOTP, "app", json!({"digits": "6"})).await;
    let stage = flow(&site, json!({})).await;
    for config in [
        json!({"not_configured_action": "skip"}),
        json!({"not_configured_action": "deny"}),
        json!({"not_configured_action": "configure", "configuration_stages": [totp_stage]}),
    ] {
        site.change(MODEL, stage, config).await;
        let mut seen = Vec::new();
        for who in ["ann", "zoe"] {
            let (_, mut shown) = ready(&site, who).await;
            for varying in ["pending_user", "pending_user_avatar", "config_url"] {
                if let Some(shown) = shown.as_object_mut() {
                    shown.remove(varying);
                }
            }
            seen.push(shown);
        }
        assert_eq!(seen[0], seen[1]);
    }
}

#[tokio::test]
async fn nobody_is_let_through_where_nobody_is_to_be_recognised() {
    let site = site().await;
    for (slug, designation, classes) in [
        ("a", "stage_configuration", json!(["totp", "webauthn"])),
        ("b", "enrollment", json!(["totp", "webauthn"])),
        ("c", "authentication", json!(["totp", "static"])),
    ] {
        let flow = site.flow(slug, designation, json!({})).await;
        let config = json!({"device_classes": classes, "not_configured_action": "deny"});
        site.step(flow, 0, "authenticator_validate", &format!("mfa-{slug}"), config).await;
        assert_end(&site.browser().get(slug, "").await, "/");
        assert_end(&site.browser().post(slug, "", json!({"code": "1"})).await, "/");
    }
}

#[tokio::test]
async fn a_browser_that_proved_it_is_not_asked_again_for_a_while() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let device = app(&site, ann).await;
    paper(&site, bob, &["beta"]).await;
    let stage = flow(&site, json!({"last_auth_threshold": "hours=1"})).await;
    let (mut browser, _) = ready(&site, "ann").await;
    browser.post("f", "", json!({"code": code(&site)})).await;
    let (name, value) = browser.cookies[0].clone();
    assert_eq!((browser.cookies.len(), name.as_str()), (1, "authentik_mfa"));
    let is_asked = async |who: &str, value: &str| {
        let mut browser = site.browser();
        browser.cookies = vec![("authentik_mfa".to_owned(), value.to_owned())];
        browser.get("f", "").await;
        component(&browser.post("f", "", json!({"uid_field": who})).await) == "ak-stage-authenticator-validate"
    };
    assert!(!is_asked("ann", &value).await);
    assert!(is_asked("bob", &value).await, "it is another user's");
    for forged in [String::new(), "x".to_owned(), format!("{value}x"), value.replace('.', "")] {
        assert!(is_asked("ann", &forged).await, "{forged}");
    }
    site.change(MODEL, stage, json!({"last_auth_threshold": "minutes=59"})).await;
    assert!(is_asked("ann", &value).await, "it promises more than is allowed now");
    site.change(MODEL, stage, json!({"last_auth_threshold": "seconds=0"})).await;
    assert!(is_asked("ann", &value).await, "switched off");
    site.change(MODEL, stage, json!({"last_auth_threshold": "hours=1", "device_classes": ["static"]})).await;
    assert!(!is_asked("ann", &value).await, "nothing allowed is set up, so nothing is asked");
    site.change(MODEL, stage, json!({"device_classes": ["totp", "static"]})).await;
    site.clock.advance(TimeDelta::minutes(59));
    assert!(!is_asked("ann", &value).await);
    site.clock.advance(TimeDelta::minutes(1));
    assert!(is_asked("ann", &value).await, "an hour is over");
    site.clock.advance(TimeDelta::hours(-1));
    let other = site.flow("other", "authentication", json!({})).await;
    site.step(other, 0, "identification", "who2", json!({"user_fields": ["username"]})).await;
    site.step(other, 1, "authenticator_validate", "mfa2", json!({"last_auth_threshold": "hours=1"})).await;
    let mut browser = site.browser();
    browser.cookies = vec![("authentik_mfa".to_owned(), value.clone())];
    browser.get("other", "").await;
    let shown = browser.post("other", "", json!({"uid_field": "ann"})).await;
    assert_eq!(component(&shown), "ak-stage-authenticator-validate", "it is another stage's");
    let mut unit = site.unit();
    unit.delete(site.app.site.registry.find(DeviceKind::Totp.model()).unwrap(), &device.pk).await.unwrap();
    unit.commit().await.unwrap();
    app(&site, ann).await;
    assert!(is_asked("ann", &value).await, "the device is gone");
}

#[tokio::test]
async fn of_fifty_that_come_with_one_code_at_once_one_passes() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    app(&site, ann).await;
    paper(&site, ann, &["alpha"]).await;
    flow(&site, json!({"totp_otp_throttling_factor": 0, "static_otp_throttling_factor": 0})).await;
    for given in [code(&site), "alpha".to_owned()] {
        let mut browsers = Vec::new();
        for _ in 0..50 {
            browsers.push(ready(&site, "ann").await.0);
        }
        let tries = browsers.iter_mut().map(|browser| browser.post("f", "", json!({"code": given})));
        let answers = futures_util::future::join_all(tries).await;
        assert_eq!(answers.iter().filter(|a| a["name"] == "inside").count(), 1, "{given}");
        assert_eq!(answers.iter().filter(|a| a["response_errors"]["code"].is_array()).count(), 49);
    }
}

#[tokio::test]
async fn fifty_wrong_codes_at_once_are_one_look_at_the_device() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let device = app(&site, ann).await;
    flow(&site, json!({"totp_otp_throttling_factor": 1000})).await;
    let mut browsers = Vec::new();
    for _ in 0..50 {
        browsers.push(ready(&site, "ann").await.0);
    }
    let tries = browsers.iter_mut().map(|browser| browser.post("f", "", json!({"code": "000000"})));
    futures_util::future::join_all(tries).await;
    assert_eq!(failures(&site, &device).await, 1, "the first closes it for all others");
    let refused = browsers[0].post("f", "", json!({"code": code(&site)})).await;
    assert_eq!(error(&refused, "code").0, INVALID);
}

#[tokio::test]
async fn a_configuration_that_asks_for_nothing_is_refused() {
    let site = site().await;
    for (body, field, text) in [
        (json!({"device_classes": []}), "device_classes", "This list may not be empty."),
        (json!({"device_classes": ["fax"]}), "device_classes", "\"fax\" is not a valid choice."),
        (
            json!({"not_configured_action": "configure"}),
            "not_configured_action",
            "When \"Not configured action\" is set to \"Configure\", you must set a configuration stage.",
        ),
        (
            json!({"totp_otp_throttling_factor": -1}),
            "totp_otp_throttling_factor",
            "Ensure this value is greater than or equal to 0.",
        ),
    ] {
        let mut made = body.as_object().unwrap().clone();
        made.insert("name".to_owned(), "x".into());
        let refused = site.try_make(MODEL, Value::Object(made)).await.err().unwrap();
        assert_eq!(refused.body()[field], json!([text]));
    }
}
