use crate::tests::{assert_denied, assert_end, component, error, site};
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;
use weir_core::Clock as _;
use weir_crypto::totp::{code, from_base32, step_at};
use weir_identity::device::{self, DeviceKind};
use weir_testkit::{Browser, TestSite};

const MODEL: &str = "authentik_stages_authenticator_totp.authenticatortotpstage";

/// A flow that asks who, sets an app up, then shows that it went on.
async fn flow(site: &TestSite) -> Uuid {
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    site.step(flow, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    let stage = site.stage(MODEL, "totp", json!({"digits": "6"})).await;
    site.bind(flow, stage, 1, json!({})).await;
    site.step(flow, 2, "dummy", "inside", json!({})).await;
    stage
}

/// A browser before the stage, and the secret it shows.
async fn ready<'s>(site: &'s TestSite, username: &str) -> (Browser<'s>, Vec<u8>, String) {
    let mut browser = site.browser();
    browser.get("f", "").await;
    let shown = browser.post("f", "", json!({"uid_field": username})).await;
    assert_eq!(component(&shown), "ak-stage-authenticator-totp");
    let address = shown["config_url"].as_str().unwrap().to_owned();
    let secret = address.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(secret.len(), 32);
    (browser, from_base32(secret).unwrap(), address)
}

fn now(site: &TestSite) -> i64 {
    step_at(site.clock.now().timestamp())
}

#[tokio::test]
async fn the_app_is_kept_once_its_code_is_right() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    site.change_user(ann, json!({"username": "ann@example.org"})).await;
    flow(&site).await;
    let (mut browser, secret, address) = ready(&site, "ann@example.org").await;
    assert!(address.starts_with("otpauth://totp/Weir:ann@example.org?secret="), "{address}");
    assert!(address.ends_with("&algorithm=SHA1&digits=6&period=30&issuer=Weir"), "{address}");
    assert_eq!(browser.get("f", "").await["config_url"], address, "the same on reload");
    for wrong in ["000000", "x", &code(&secret, now(&site), 8), &code(&secret, now(&site) + 2, 6)] {
        let refused = browser.post("f", "", json!({"code": wrong})).await;
        assert_eq!(error(&refused, "code"), ("Code does not match", "invalid"));
        assert_eq!(refused["config_url"], address);
    }
    assert_eq!(error(&browser.post("f", "", json!({})).await, "code").1, "required");
    assert!(device::of_users(&*site.db, &[ann]).await.unwrap().is_empty(), "nothing is kept before");
    assert_eq!(browser.inspect().await.unwrap().to_string().matches(&address[40..60]).count(), 0, "nor shown");

    let given = code(&secret, now(&site), 6);
    let shown = browser.post("f", "", json!({"code": format!("{} {}", &given[..3], &given[3..])})).await;
    assert_eq!(shown["name"], "inside");
    let kept = device::confirmed_of_user(&*site.db, ann).await.unwrap();
    assert_eq!((kept.len(), kept[0].kind, kept[0].name.as_str()), (1, DeviceKind::Totp, "TOTP Authenticator"));
    assert!(!json!(browser.context().await).to_string().contains(&address[40..60]), "the plan forgets the secret");
    let mut tx = site.db.tx();
    assert!(!device::totp::take(&mut tx, &kept[0], &given, site.now()).await.unwrap(), "its code is used up");
    site.clock.advance(TimeDelta::seconds(30));
    let next = code(&secret, now(&site), 6);
    assert!(device::totp::take(&mut tx, &kept[0], &next, site.now()).await.unwrap());
    tx.rollback().await.unwrap();
    assert_end(&browser.post("f", "", json!({})).await, "/");
}

#[tokio::test]
async fn a_clock_that_is_a_step_ahead_is_learned_at_once() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site).await;
    let (mut browser, secret, _) = ready(&site, "ann").await;
    let ahead = code(&secret, now(&site) + 1, 6);
    assert_eq!(browser.post("f", "", json!({"code": ahead})).await["name"], "inside");
    let kept = device::confirmed_of_user(&*site.db, ann).await.unwrap();
    site.clock.advance(TimeDelta::seconds(30));
    let mut tx = site.db.tx();
    let further = code(&secret, now(&site) + 2, 6);
    assert!(device::totp::take(&mut tx, &kept[0], &further, site.now()).await.unwrap());
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn nobody_is_passed_over_and_a_name_without_account_ends_in_a_denial() {
    let site = site().await;
    let flow_id = site.flow("g", "stage_configuration", json!({})).await;
    let stage = site.stage(MODEL, "alone", json!({"digits": 8})).await;
    site.bind(flow_id, stage, 0, json!({})).await;
    assert_end(&site.browser().get("g", "").await, "/");
    assert_end(&site.browser().post("g", "", json!({"code": "1"})).await, "/");

    flow(&site).await;
    let (mut browser, secret, _) = ready(&site, "zoe").await;
    let refused = browser.post("f", "", json!({"code": "000000"})).await;
    assert_eq!(error(&refused, "code").0, "Code does not match");
    assert_denied(&browser.post("f", "", json!({"code": code(&secret, now(&site), 6)})).await, "Unknown error");
}

#[tokio::test]
async fn an_answer_that_arrives_twice_keeps_one_app() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site).await;
    let (mut browser, secret, _) = ready(&site, "ann").await;
    let mut other = browser.clone();
    let given = json!({"component": "ak-stage-authenticator-totp", "code": code(&secret, now(&site), 6)});
    tokio::join!(browser.post("f", "", given.clone()), other.post("f", "", given));
    assert_eq!(device::confirmed_of_user(&*site.db, ann).await.unwrap().len(), 1);
}

#[tokio::test]
async fn digits_are_six_or_eight() {
    let site = site().await;
    for (given, kept) in [(json!("6"), "6"), (json!(6), "6"), (json!("8"), "8"), (json!(8), "8")] {
        let made = site.try_make(MODEL, json!({"name": format!("d{given}"), "digits": given})).await.unwrap();
        assert_eq!(made.doc["digits"], kept);
    }
    for wrong in [json!("7"), json!(7), json!(""), json!(null), json!(true)] {
        let refused = site.try_make(MODEL, json!({"name": "x", "digits": wrong})).await.err().unwrap();
        assert!(refused.body().get("digits").is_some(), "{}", refused.body());
    }
}
