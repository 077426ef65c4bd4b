use super::{ORIGIN, before, columns, devices, enrol, options, register, setup_flow};
use crate::tests::{assert_denied, component, error, site};
use serde_json::json;
use uuid::Uuid;
use weir_identity::accounts;
use weir_webauthn::software::{Authenticator, Wrong};

#[tokio::test]
async fn the_browser_is_told_what_to_make() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    let config = json!({"user_verification": "required", "resident_key_requirement": "required", "hints": ["hybrid"]});
    setup_flow(&site, config).await;
    let (mut browser, told) = before(&site, maja).await;
    assert_eq!(told["rp"], json!({"name": "authentik", "id": "id.example.org"}));
    let uid = accounts::uid(maja, &site.app.site.installation.id);
    let user = json!({"id": weir_webauthn::encode(uid.as_bytes()), "name": "maja", "displayName": "maja"});
    assert_eq!(told["user"], user);
    let selection = json!({
        "authenticatorAttachment": "cross-platform",
        "residentKey": "required",
        "requireResidentKey": true,
        "userVerification": "required",
    });
    assert_eq!(told["authenticatorSelection"], selection);
    assert_eq!(weir_webauthn::decode(told["challenge"].as_str().unwrap()).unwrap().len(), 64);
    let again = options(&browser.get("setup", "").await);
    assert_ne!(again["challenge"], told["challenge"], "a challenge is for one page");
}

#[tokio::test]
async fn a_device_is_set_up_with_what_it_told() {
    let site = site().await;
    let (maja, nora) = (site.user("maja", "").await, site.user("nora", "").await);
    setup_flow(&site, json!({})).await;
    let device = enrol(&site, maja, &mut Authenticator::default()).await;
    assert_eq!(
        (device.name.as_str(), device.detail.as_str()),
        ("WebAuthn Device", "00000000-0000-0000-0000-000000000000")
    );
    assert!(device.confirmed && device.last_used.is_none());
    assert_eq!(columns(&site, maja).await, (1, Some(false), Some(false), "none".to_owned()));
    let mut passkey = Authenticator { is_synced: true, counts: false, ..Authenticator::default() };
    enrol(&site, nora, &mut passkey).await;
    assert_eq!(columns(&site, nora).await, (0, Some(true), Some(true), "none".to_owned()));
}

#[tokio::test]
async fn wrong_answers_are_refused_and_can_be_tried_again() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    setup_flow(&site, json!({})).await;
    let (mut browser, mut told) = before(&site, maja).await;
    for wrong in [
        Wrong { origin: Some("https://evil.example.org".to_owned()), ..Wrong::default() },
        Wrong { rp_id: Some("example.org".to_owned()), ..Wrong::default() },
        Wrong { challenge: Some(vec![1; 64]), ..Wrong::default() },
        Wrong { kind: Some("webauthn.get"), ..Wrong::default() },
        Wrong { flags: 1, ..Wrong::default() },
    ] {
        let mut authenticator = Authenticator { wrong, ..Authenticator::default() };
        let shown = browser.post("setup", "", json!({"response": authenticator.create(&told, ORIGIN)})).await;
        let (text, code) = error(&shown, "response");
        assert!(text.starts_with("Registration failed. Error: "), "{text}");
        assert_eq!(code, "invalid");
        told = options(&shown);
    }
    for response in [json!({}), json!({"id": 7}), json!({"type": "public-key", "id": "AAAA", "rawId": "AAAA"})] {
        let shown = browser.post("setup", "", json!({"response": response})).await;
        assert!(error(&shown, "response").0.starts_with("Registration failed."), "{shown}");
        told = options(&shown);
    }
    assert_eq!(error(&browser.post("setup", "", json!({})).await, "response"), ("This field is required.", "required"));
    let shown = browser.get("setup", "").await;
    let good = Authenticator::default().create(&options(&shown), ORIGIN);
    assert_ne!(told["challenge"], options(&shown)["challenge"]);
    assert_eq!(component(&browser.post("setup", "", json!({"response": good})).await), "ak-stage-dummy");
    assert_eq!(devices(&site, maja).await.len(), 1);
}

#[tokio::test]
async fn an_answer_serves_the_page_it_was_made_for_only() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    setup_flow(&site, json!({})).await;
    let (mut browser, told) = before(&site, maja).await;
    let answer = json!({"response": Authenticator::default().create(&told, ORIGIN)});
    // A reload makes a new challenge.
    browser.get("setup", "").await;
    let shown = browser.post("setup", "", answer.clone()).await;
    assert_eq!(error(&shown, "response").0, "Registration failed. Error: The challenge does not match.");
    // Another session has its own.
    let (mut other, _) = before(&site, maja).await;
    assert_eq!(component(&other.post("setup", "", answer).await), "ak-stage-authenticator-webauthn");
    assert!(devices(&site, maja).await.is_empty());
}

#[tokio::test]
async fn required_verification_of_the_person_is_demanded() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    setup_flow(&site, json!({"user_verification": "required"})).await;
    let mut simple = Authenticator { verifies_user: false, ..Authenticator::default() };
    let shown = register(&site, maja, &mut simple).await;
    let expected = "Registration failed. Error: The authenticator did not verify the person.";
    assert_eq!(error(&shown, "response").0, expected);
    enrol(&site, maja, &mut Authenticator::default()).await;
}

#[tokio::test]
async fn a_credential_that_is_known_is_refused_whoever_has_it() {
    let site = site().await;
    let (maja, nora) = (site.user("maja", "").await, site.user("nora", "").await);
    setup_flow(&site, json!({})).await;
    let mut authenticator = Authenticator::default();
    enrol(&site, maja, &mut authenticator).await;
    let sql = "SELECT credential_id FROM identity_device_webauthn";
    let known = site.db.read_one(sql, &[]).await.unwrap().unwrap().text("credential_id").unwrap();
    // Another authenticator that makes up the same id.
    let id = weir_webauthn::decode(&known).unwrap();
    for user in [maja, nora] {
        let (mut browser, told) = before(&site, user).await;
        let mut twin = Authenticator { next_id: Some(id.clone()), ..Authenticator::default() };
        let shown = browser.post("setup", "", json!({"response": twin.create(&told, ORIGIN)})).await;
        assert_eq!(error(&shown, "response"), ("Credential ID already exists.", "invalid"));
    }
    assert_eq!((devices(&site, maja).await.len(), devices(&site, nora).await.len()), (1, 0));
    // The refused ones left no event behind either.
    let sql = "SELECT context FROM audit_event WHERE action = 'model_created'";
    let rows = site.db.read(sql, &[]).await.unwrap();
    let made = rows.iter().filter(|row| row.json("context").unwrap()["model"]["model_name"] == "webauthndevice");
    assert_eq!(made.count(), 1);
}

#[tokio::test]
async fn twenty_sessions_with_one_credential_get_it_once() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    setup_flow(&site, json!({})).await;
    let id = vec![9; 32];
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let (browser, told) = before(&site, maja).await;
        let mut twin = Authenticator { next_id: Some(id.clone()), ..Authenticator::default() };
        waiting.push((browser, json!({"response": twin.create(&told, ORIGIN)})));
    }
    let answers =
        waiting.into_iter().map(|(mut browser, answer)| async move { browser.post("setup", "", answer).await });
    let shown = futures_util::future::join_all(answers).await;
    let passed = shown.iter().filter(|shown| component(shown) == "ak-stage-dummy").count();
    assert_eq!(passed, 1);
    for refused in shown.iter().filter(|shown| component(shown) != "ak-stage-dummy") {
        assert_eq!(error(refused, "response").0, "Credential ID already exists.");
    }
    assert_eq!(devices(&site, maja).await.len(), 1);
}

#[tokio::test]
async fn nobody_gets_no_device() {
    let site = site().await;
    setup_flow(&site, json!({})).await;
    let mut browser = site.browser();
    assert_denied(&browser.get("setup", "").await, "Unknown error");
    // A name that nobody has is nobody, too.
    let flow = site.flow("pretend", "authentication", json!({})).await;
    site.step(flow, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    site.step(flow, 1, "authenticator_webauthn", "again", json!({})).await;
    let mut browser = site.browser();
    browser.get("pretend", "").await;
    assert_denied(&browser.post("pretend", "", json!({"uid_field": "nobody"})).await, "Unknown error");
}

#[tokio::test]
async fn too_many_refused_answers_end_the_flow() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    setup_flow(&site, json!({"max_attempts": 3})).await;
    let (mut browser, _) = before(&site, maja).await;
    for _ in 0..2 {
        let shown = browser.post("setup", "", json!({"response": {}})).await;
        assert_eq!(component(&shown), "ak-stage-authenticator-webauthn");
    }
    let shown = browser.post("setup", "", json!({"response": {}})).await;
    assert_denied(&shown, "Exceeded maximum attempts. Contact your authentik administrator for help.");
    // What was right before that is not counted against the next device.
    let (mut browser, _) = before(&site, maja).await;
    browser.post("setup", "", json!({"response": {}})).await;
    let told = options(&browser.get("setup", "").await);
    let good = Authenticator::default().create(&told, ORIGIN);
    assert_eq!(component(&browser.post("setup", "", json!({"response": good})).await), "ak-stage-dummy");
}

#[tokio::test]
async fn a_port_belongs_to_the_origin_and_not_to_the_relying_party() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    setup_flow(&site, json!({})).await;
    let mut browser = site.browser();
    browser.bearer = Some(maja);
    browser.request.host = "localhost:9000".to_owned();
    browser.request.is_secure = false;
    let told = options(&browser.get("setup", "").await);
    assert_eq!(told["rp"]["id"], "localhost");
    let answer = Authenticator::default().create(&told, "http://localhost:9001");
    let shown = browser.post("setup", "", json!({"response": answer})).await;
    assert_eq!(error(&shown, "response").0, "Registration failed. Error: The answer was made for another origin.");
    let answer = Authenticator::default().create(&options(&shown), "http://localhost:9000");
    assert_eq!(component(&browser.post("setup", "", json!({"response": answer})).await), "ak-stage-dummy");
}

#[tokio::test]
async fn names_of_hosts_that_are_none_end_in_a_refusal() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    setup_flow(&site, json!({})).await;
    for host in ["a:b:c", "[", "id.example.org:99999", "-"] {
        let mut browser = site.browser();
        browser.bearer = Some(maja);
        browser.request.host = host.to_owned();
        let told = options(&browser.get("setup", "").await);
        let answer = Authenticator::default().create(&told, ORIGIN);
        let shown = browser.post("setup", "", json!({"response": answer})).await;
        assert!(error(&shown, "response").0.starts_with("Registration failed."), "{host}: {shown}");
    }
}

#[tokio::test]
async fn only_models_that_are_listed_are_taken() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    let refusal = "Invalid device type. Contact your authentik administrator for help.";
    let model = "authentik_stages_authenticator_webauthn.authenticatorwebauthnstage";
    let stage = setup_flow(&site, json!({})).await;
    let missing = site.try_change(model, stage, json!({"device_type_restrictions": [super::MODEL]})).await;
    assert!(missing.is_err(), "a model that is in no list cannot be named");
    super::lists::plain(&site, &[(super::MODEL, "Listed")]).await;
    site.change(model, stage, json!({"device_type_restrictions": [super::MODEL]})).await;
    let of = |aaguid| Authenticator { aaguid, ..Authenticator::default() };
    let shown = register(&site, maja, &mut of(Uuid::from_bytes([1; 16]))).await;
    assert_eq!(error(&shown, "response").0, refusal, "another model");
    let shown = register(&site, maja, &mut of(Uuid::nil())).await;
    assert_eq!(error(&shown, "response").0, refusal, "no model");
    let device = enrol(&site, maja, &mut of(super::MODEL)).await;
    assert_eq!(
        (device.name.as_str(), device.device_type.as_deref()),
        ("Listed", Some(super::MODEL.to_string().as_str()))
    );
    // With the unknown one listed, models of no list pass, and others of the list do not.
    site.change(model, stage, json!({"device_type_restrictions": [Uuid::nil()]})).await;
    assert_eq!(error(&register(&site, maja, &mut of(super::MODEL)).await, "response").0, refusal);
    enrol(&site, maja, &mut of(Uuid::from_bytes([1; 16]))).await;
    enrol(&site, maja, &mut of(Uuid::nil())).await;
}
