use super::{
    AgentConnector, DeviceAccessGroup, EndpointDevice, EndpointStage, EnrollmentToken, GoogleChromeConnector, agent,
    browser_seen, proof,
};
use crate::tests::{assert_denied, component, error, site};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha512;
use uuid::Uuid;
use weir_core::{ApiError, Resource};
use weir_identity::digest;
use weir_pki::{Algorithm, CertificateKeyPair, Wish, self_signed};
use weir_testkit::{Browser, TestSite};

const SERIAL: &str = "SN-1";

/// A connector with a challenge key, an enrolled device, and a flow `f` of the stage and a dummy.
struct Place {
    connector: Uuid,
    stage: Uuid,
    key: String,
}

async fn pair(site: &TestSite) -> Uuid {
    let made = self_signed(&Wish {
        common_name: "challenges",
        names: Vec::new(),
        not_before: site.now(),
        not_after: site.now() + TimeDelta::days(1),
        algorithm: Algorithm::Ecdsa,
        is_server: false,
        random: [1; 73],
    });
    let made = made.unwrap();
    let body = json!({"name": "challenges", "certificate_data": made.certificate, "key_data": made.key});
    site.make(CertificateKeyPair::MODEL, body).await
}

async fn enrolment_key(site: &TestSite, fields: Value) -> String {
    let token = site.make(EnrollmentToken::MODEL, fields).await;
    let sql = "SELECT key FROM endpoint_enrollment_token WHERE id = $1";
    site.db.read_one(sql, &[token.into()]).await.unwrap().unwrap().text("key").unwrap()
}

async fn enrol(site: &TestSite, key: &str, serial: &str) -> Option<String> {
    let mut unit = site.unit();
    let token = agent::enrol(&mut unit, key, serial, "laptop").await.unwrap();
    unit.commit().await.unwrap();
    token
}

async fn place(site: &TestSite, mode: &str) -> Place {
    let body = json!({"name": "agents", "challenge_key": pair(site).await});
    let connector = site.make(AgentConnector::MODEL, body).await;
    let key = enrolment_key(site, json!({"name": "t", "connector": connector})).await;
    let key = enrol(site, &key, SERIAL).await.unwrap();
    let flow = site.flow("f", "authentication", json!({})).await;
    let (stage, _) =
        site.step(flow, 0, EndpointStage::MODEL, "device", json!({"connector": connector, "mode": mode})).await;
    site.step(flow, 1, "dummy", "behind", json!({})).await;
    Place { connector, stage, key }
}

fn sign(key: &str, header: Value, claims: Value) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha512>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn claims(challenge: &str) -> Value {
    json!({"iss": SERIAL, "aud": proof::AUDIENCE, "atc": challenge})
}

fn answer(key: &str, challenge: &str) -> Value {
    json!({"response": sign(key, json!({"alg": "HS512", "typ": "JWT"}), claims(challenge))})
}

fn challenge(shown: &Value) -> String {
    assert_eq!(component(shown), "ak-stage-endpoint-agent", "{shown}");
    shown["challenge"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_agents_answer_brings_the_device_into_the_plan() {
    let site = site().await;
    let place = place(&site, "required").await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    let challenge = challenge(&shown);
    assert_eq!(shown["challenge_idle_timeout"], 5);
    let part = |index| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(challenge.split('.').nth(index).unwrap()).unwrap()).unwrap()
    };
    let (header, body) = (part(0), part(1));
    assert_eq!(header["alg"], "ES256");
    assert!(header["kid"].is_string());
    assert_eq!(body["iss"], place.stage.to_string());
    assert_eq!(body["exp"].as_i64().unwrap() - body["iat"].as_i64().unwrap(), 300);
    assert_eq!(body["goauthentik.io/device/check_in"], false);
    assert_eq!(browser.post("f", "", answer(&place.key, &challenge)).await["name"], "behind");
    let context = browser.context().await;
    assert_eq!((&context["device"]["name"], &context["device"]["model_name"]), (&json!("laptop"), &json!("device")));
    assert!(!context.contains_key("goauthentik.io/endpoints/connectors/agent/challenge"));
}

#[tokio::test]
async fn every_look_asks_anew_and_only_the_last_question_counts() {
    let site = site().await;
    let place = place(&site, "required").await;
    let mut browser = site.browser();
    let first = challenge(&browser.get("f", "").await);
    let second = challenge(&browser.get("f", "").await);
    assert_ne!(first, second);
    let refused = browser.post("f", "", answer(&place.key, &first)).await;
    assert_eq!(error(&refused, "response"), ("Invalid challenge response", "invalid"));
    let third = challenge(&refused);
    assert_ne!(second, third);
    assert_eq!(browser.post("f", "", answer(&place.key, &third)).await["name"], "behind");
}

#[tokio::test]
async fn nothing_but_the_right_answer_is_taken() {
    let site = site().await;
    let place = place(&site, "required").await;
    let other = site.make(AgentConnector::MODEL, json!({"name": "other"})).await;
    let foreign = enrolment_key(&site, json!({"name": "o", "connector": other})).await;
    let foreign = enrol(&site, &foreign, "SN-2").await.unwrap();
    let mut browser = site.browser();
    let mut shown = browser.get("f", "").await;
    let hs512 = || json!({"alg": "HS512"});
    let past = site.now().timestamp() - 1;
    type Make<'a> = Box<dyn Fn(&str) -> String + 'a>;
    let with = |field: &'static str, value: Value| -> Make<'_> {
        let key = place.key.clone();
        Box::new(move |challenge| {
            let mut all = claims(challenge);
            all[field] = value.clone();
            sign(&key, hs512(), all)
        })
    };
    let wrong: Vec<Make<'_>> = vec![
        Box::new(|_| "nonsense".to_owned()),
        Box::new(|_| "a.b.c".to_owned()),
        Box::new(|challenge| sign("another key", hs512(), claims(challenge))),
        Box::new(|challenge| sign(&foreign, hs512(), claims(challenge))),
        Box::new(|challenge| sign(&place.key, json!({"alg": "none"}), claims(challenge))),
        Box::new(|challenge| sign(&place.key, json!({"alg": "HS256"}), claims(challenge))),
        Box::new(|challenge| sign(&place.key, json!({"alg": "HS512", "crit": ["x"]}), claims(challenge))),
        Box::new(|challenge| {
            let good = sign(&place.key, hs512(), claims(challenge));
            format!("{}.", good.rsplit_once('.').unwrap().0)
        }),
        with("iss", json!("SN-2")),
        with("iss", json!("nobody")),
        with("aud", json!("somebody else")),
        with("aud", Value::Null),
        with("atc", json!("another challenge")),
        with("exp", json!(past)),
        with("nbf", json!(past + 1000)),
    ];
    for make in wrong {
        let response = make(&challenge(&shown));
        shown = browser.post("f", "", json!({"response": response})).await;
        assert_eq!(error(&shown, "response"), ("Invalid challenge response", "invalid"), "{response}");
    }
    // The challenge itself ends.
    let late = answer(&place.key, &challenge(&shown));
    site.clock.advance(TimeDelta::seconds(300));
    shown = browser.post("f", "", late).await;
    assert_eq!(error(&shown, "response").0, "Invalid challenge response");
    let many = json!({"iss": SERIAL, "aud": ["x", proof::AUDIENCE], "atc": challenge(&shown)});
    let good = json!({"response": sign(&place.key, hs512(), many)});
    assert_eq!(browser.post("f", "", good).await["name"], "behind");
}

#[tokio::test]
async fn without_an_answer_only_the_optional_mode_goes_on() {
    let site = site().await;
    let place = place(&site, "optional").await;
    for silent in [json!({}), json!({"response": null}), json!({"response": "nonsense"})] {
        let mut browser = site.browser();
        challenge(&browser.get("f", "").await);
        assert_eq!(browser.post("f", "", silent).await["name"], "behind");
        assert!(!browser.context().await.contains_key("device"));
    }
    site.change(EndpointStage::MODEL, place.stage, json!({"mode": "required"})).await;
    for silent in [json!({}), json!({"response": null})] {
        let mut browser = site.browser();
        challenge(&browser.get("f", "").await);
        assert_denied(&browser.post("f", "", silent).await, "Invalid challenge response");
    }
    let mut browser = site.browser();
    browser.get("f", "").await;
    assert_eq!(component(&browser.post("f", "", json!({"response": ""})).await), "ak-stage-endpoint-agent");
}

#[tokio::test]
async fn a_connector_that_is_off_or_has_no_key_asks_nothing() {
    let site = site().await;
    let place = place(&site, "required").await;
    site.change(AgentConnector::MODEL, place.connector, json!({"enabled": false})).await;
    assert_denied(&site.browser().get("f", "").await, "Invalid stage configuration");
    site.change(EndpointStage::MODEL, place.stage, json!({"mode": "optional"})).await;
    assert_eq!(site.browser().get("f", "").await["name"], "behind");
    site.change(EndpointStage::MODEL, place.stage, json!({"mode": "required"})).await;
    site.change(AgentConnector::MODEL, place.connector, json!({"enabled": true, "challenge_key": null})).await;
    assert_eq!(site.browser().get("f", "").await["name"], "behind");
}

#[tokio::test]
async fn the_browser_of_a_sign_in_must_know_the_agents_token() {
    let site = site().await;
    let place = place(&site, "optional").await;
    let begin = || async {
        let snapshot = site.app.site.snapshot();
        let agent = agent::authenticate(&*site.db, &snapshot, &place.key, site.now()).await.unwrap().unwrap();
        let mut tx = site.db.tx();
        let key = agent::begin_sign_in(&mut tx, &*site.app.site.random, &agent, site.now()).await.unwrap();
        let opened = agent::open_sign_in(&mut tx, &key, site.now()).await.unwrap().unwrap();
        assert_eq!(agent::open_sign_in(&mut tx, &key, site.now()).await.unwrap(), None, "a link opens once");
        tx.commit().await.unwrap();
        opened.id
    };
    let look = |header: Option<String>, id: Value| {
        let mut browser: Browser<'_> = site.browser();
        browser.request.headers.extend(header.map(|value| ("x-authentik-platform-auth-dth".to_owned(), value)));
        async move {
            browser.get("f", "").await;
            browser.set_context(json!({"goauthentik.io/endpoints/device_auth_token": {"pk": id}})).await;
            (browser.get("f", "").await, browser.context().await)
        }
    };
    let id = json!(begin().await);
    let (shown, context) = look(Some(digest(&place.key)), id.clone()).await;
    assert_eq!((&shown["name"], &context["device"]["name"]), (&json!("behind"), &json!("laptop")));
    for (header, id) in [
        (None, id.clone()),
        (Some(String::new()), id.clone()),
        (Some("0".repeat(64)), id.clone()),
        (Some("-".repeat(64)), json!(Uuid::nil())),
        (Some(place.key.clone()), id.clone()),
        (Some(digest(&place.key)), json!("nonsense")),
    ] {
        assert_denied(&look(header, id).await.0, "Invalid device token");
    }
    site.clock.advance(TimeDelta::minutes(5));
    assert_denied(&look(Some(digest(&place.key)), id).await.0, "Invalid device token");
}

#[tokio::test]
async fn a_device_is_enrolled_once_and_its_old_token_ends_with_a_new_one() {
    let site = site().await;
    let connector = site.make(AgentConnector::MODEL, json!({"name": "agents"})).await;
    let group = site.make(DeviceAccessGroup::MODEL, json!({"name": "laptops"})).await;
    let key = enrolment_key(&site, json!({"name": "t", "connector": connector, "device_group": group})).await;
    let first = enrol(&site, &key, SERIAL).await.unwrap();
    let second = enrol(&site, &key, SERIAL).await.unwrap();
    assert_ne!(first, second);
    let devices = site.app.site.snapshot().all::<EndpointDevice>();
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0].1.access_group.as_ref().map(|group| group.uuid()), Some(group));
    let snapshot = site.app.site.snapshot();
    let alive = |token: String, snapshot: std::sync::Arc<weir_resource::Snapshot>| {
        let site = &site;
        async move { agent::authenticate(&*site.db, &snapshot, &token, site.now()).await.unwrap().is_some() }
    };
    assert!(!alive(first, snapshot.clone()).await);
    assert!(alive(second.clone(), snapshot).await);
    let past = site.now() - TimeDelta::seconds(1);
    site.change(EndpointDevice::MODEL, devices[0].0, json!({"expiring": true, "expires": past})).await;
    assert!(!alive(second, site.app.site.snapshot()).await);
}

#[tokio::test]
async fn a_token_that_is_over_unknown_or_of_a_connector_that_is_off_enrols_nothing() {
    let site = site().await;
    let connector = site.make(AgentConnector::MODEL, json!({"name": "agents"})).await;
    let past = site.now() - TimeDelta::seconds(1);
    let over = enrolment_key(&site, json!({"name": "old", "connector": connector, "expires": past})).await;
    let good = enrolment_key(&site, json!({"name": "good", "connector": connector, "expiring": false})).await;
    for key in ["", "nonsense", over.as_str()] {
        assert_eq!(enrol(&site, key, SERIAL).await, None, "{key}");
    }
    site.change(AgentConnector::MODEL, connector, json!({"enabled": false})).await;
    assert_eq!(enrol(&site, &good, SERIAL).await, None);
    site.delete(AgentConnector::MODEL, connector).await;
    assert_eq!(enrol(&site, &good, SERIAL).await, None);
    assert!(site.app.site.snapshot().all::<EndpointDevice>().is_empty());
}

#[tokio::test]
async fn the_stage_takes_only_connectors_that_can_ask() {
    let site = site().await;
    let missing = json!({"name": "s", "connector": Uuid::nil()});
    let Err(ApiError::Fields(errors)) = site.try_make(EndpointStage::MODEL, missing).await else { panic!("taken") };
    assert!(errors.has("connector"));
}

async fn chrome(site: &TestSite, mode: &str) -> Uuid {
    let credentials = json!({"client_email": "a@b", "private_key": "very secret"});
    let body = json!({"name": "browsers", "credentials": credentials});
    let connector = site.make(GoogleChromeConnector::MODEL, body).await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, EndpointStage::MODEL, "device", json!({"connector": connector, "mode": mode})).await;
    site.step(flow, 1, "dummy", "behind", json!({})).await;
    connector
}

async fn seen(site: &TestSite, connector: Uuid, host: &str) -> Uuid {
    let info = json!({"deviceSignals": {"operatingSystem": "WINDOWS", "serialNumber": "SN-1"}});
    let mut unit = site.unit();
    let device = browser_seen(&mut unit, connector, (host, "laptop"), info.as_object().unwrap()).await.unwrap();
    unit.commit().await.unwrap();
    device
}

/// Answers the frame, with a proof that names this device or without one.
async fn come_back(browser: &mut Browser<'_>, at: Value, device: Option<Uuid>) -> Value {
    let shown = browser.get("f", "").await;
    assert_eq!(component(&shown), "xak-flow-frame", "{shown}");
    assert_eq!(shown["url"], "https://id.example.org/endpoint/gdtc/chrome/");
    let binding = browser.state().await.plan.unwrap().steps.front().unwrap().binding;
    let proof = json!({"binding": binding, "at": at, "host": "h", "name": "n", "info": {"a": 1}, "device": device});
    browser.set_context(json!({"weir/stages/authenticator_endpoint_gdtc/proof": proof})).await;
    browser.post("f", "", json!({})).await
}

#[tokio::test]
async fn a_browser_that_google_vouches_for_brings_its_device_into_the_plan() {
    let site = site().await;
    let connector = chrome(&site, "required").await;
    let device = seen(&site, connector, "D-1").await;
    assert_eq!(seen(&site, connector, "D-1").await, device, "one device");
    assert_ne!(seen(&site, connector, "D-2").await, device);
    let id = device.to_string();
    let known = agent::connections(&site.db, &[&id]).await.unwrap();
    assert_eq!(known.len(), 1);
    let told = known[0].snapshot("chrome.google.com");
    assert_eq!(
        (&told["data"]["os"]["family"], &told["data"]["hardware"]["serial"]),
        (&json!("windows"), &json!(SERIAL))
    );
    // Serial numbers are agents' names; a browser takes none of theirs.
    let now = site.now();
    let mut unit = site.unit();
    let snapshot = site.app.site.snapshot();
    assert!(agent::find_key(&mut unit.tx, &snapshot, connector, SERIAL, now).await.unwrap().is_none());
    let mut browser = site.browser();
    let now = json!(site.now());
    let refused = come_back(&mut browser, now.clone(), None).await;
    assert_eq!(error(&refused, "non_field_errors").0, "Your browser could not be verified.");
    let refused = come_back(&mut browser, now.clone(), Some(Uuid::nil())).await;
    assert_eq!(error(&refused, "non_field_errors").0, "Your browser could not be verified.");
    let late = json!(site.now() - TimeDelta::minutes(5));
    assert_eq!(component(&come_back(&mut browser, late, Some(device)).await), "xak-flow-frame");
    assert_eq!(come_back(&mut browser, now, Some(device)).await["name"], "behind");
    let context = browser.context().await;
    assert_eq!((&context["device"]["name"], &context["auth_method"]), (&json!("laptop"), &json!("trusted_endpoint")));
    assert_eq!(context["auth_method_args"]["endpoints"], json!([{"a": 1}]));
}

#[tokio::test]
async fn without_proof_people_go_on_only_where_the_stage_lets_them() {
    let site = site().await;
    let connector = chrome(&site, "optional").await;
    let mut browser = site.browser();
    let passed = come_back(&mut browser, json!(site.now()), None).await;
    assert_eq!(passed["name"], "behind");
    assert!(!browser.context().await.contains_key("device"));
    // The answer of somebody who never looked asks first, too.
    let mut hasty = site.browser();
    hasty.get("f", "").await;
    site.change(GoogleChromeConnector::MODEL, connector, json!({"enabled": false})).await;
    assert_eq!(hasty.get("f", "").await["name"], "behind");
    let stage = site.app.site.snapshot().all::<EndpointStage>()[0].0;
    site.change(EndpointStage::MODEL, stage, json!({"mode": "required"})).await;
    assert_denied(&site.browser().get("f", "").await, "Invalid stage configuration");
}
