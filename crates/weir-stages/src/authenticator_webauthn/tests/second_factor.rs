use super::{MODEL, ORIGIN, columns, devices, enrol, setup_flow};
use crate::tests::{assert_denied, component, error, site};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use weir_core::Clock as _;
use weir_testkit::{Browser, TestSite};
use weir_webauthn::software::{Authenticator, Wrong};

/// A flow that asks who, then for a second factor, then shows that it was passed.
async fn flow(site: &TestSite, config: Value) -> Uuid {
    setup_flow(site, json!({})).await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    let (stage, _) = site.step(flow, 1, "authenticator_validate", "mfa", config).await;
    site.step(flow, 2, "dummy", "in", json!({})).await;
    stage
}

async fn ready<'s>(site: &'s TestSite, username: &str) -> (Browser<'s>, Value) {
    let mut browser = site.browser();
    browser.get("f", "").await;
    let shown = browser.post("f", "", json!({"uid_field": username})).await;
    (browser, shown)
}

/// What the browser is told to use.
fn asked(shown: &Value) -> Map<String, Value> {
    let offers = shown["device_challenges"].as_array().unwrap_or_else(|| panic!("{shown}"));
    let offer = offers.iter().find(|offer| offer["device_class"] == "webauthn").unwrap_or_else(|| panic!("{shown}"));
    offer["challenge"].as_object().unwrap().clone()
}

async fn answer(browser: &mut Browser<'_>, shown: &Value, authenticator: &mut Authenticator) -> Value {
    let assertion = authenticator.get(&asked(shown), ORIGIN);
    browser.post("f", "", json!({"webauthn": assertion})).await
}

#[tokio::test]
async fn a_device_opens_and_what_it_proved_is_known() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    flow(&site, json!({"webauthn_user_verification": "discouraged", "webauthn_hints": ["client-device"]})).await;
    let mut authenticator = Authenticator { keeps_residents: false, ..Authenticator::default() };
    let device = enrol(&site, maja, &mut authenticator).await;
    let (mut browser, shown) = ready(&site, "maja").await;
    let options = asked(&shown);
    let id = weir_webauthn::encode(&authenticator.held[0].id);
    assert_eq!(options["allowCredentials"], json!([{"id": id, "type": "public-key"}]));
    assert_eq!(options["userVerification"], "discouraged");
    assert_eq!((&options["rpId"], &options["hints"]), (&json!("id.example.org"), &json!(["client-device"])));
    let passed = answer(&mut browser, &shown, &mut authenticator).await;
    assert_eq!(component(&passed), "ak-stage-dummy", "{passed}");
    let context = browser.context().await;
    assert_eq!(context["auth_method"], "auth_mfa");
    assert_eq!(context["auth_method_args"]["mfa_devices"], json!([device.summary()]));
    assert_eq!(devices(&site, maja).await[0].last_used, Some(site.clock.now()));
    assert_eq!(columns(&site, maja).await.0, 2);
    assert!(site.events_of("login_failed").await.is_empty());
}

#[tokio::test]
async fn all_devices_of_the_person_are_named_and_any_of_them_opens() {
    let site = site().await;
    let (maja, nora) = (site.user("maja", "").await, site.user("nora", "").await);
    flow(&site, json!({})).await;
    let (mut one, mut other, mut foreign) = <(Authenticator, Authenticator, Authenticator)>::default();
    enrol(&site, maja, &mut one).await;
    enrol(&site, maja, &mut other).await;
    enrol(&site, nora, &mut foreign).await;
    for authenticator in [&mut one, &mut other] {
        let (mut browser, shown) = ready(&site, "maja").await;
        assert_eq!(asked(&shown)["allowCredentials"].as_array().unwrap().len(), 2);
        assert_eq!(shown["device_challenges"].as_array().unwrap().len(), 1, "one for the class");
        assert_eq!(component(&answer(&mut browser, &shown, authenticator).await), "ak-stage-dummy");
    }
    // Somebody else's does not, though it is a good one.
    let (mut browser, shown) = ready(&site, "maja").await;
    let assertion = foreign.use_held(0, &asked(&shown), ORIGIN);
    let refused = browser.post("f", "", json!({"webauthn": assertion})).await;
    assert_eq!(error(&refused, "webauthn"), ("Invalid device", "invalid"));
    assert!(site.events_of("login_failed").await.is_empty(), "nothing was tried");
}

#[tokio::test]
async fn wrong_answers_are_refused_and_told() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    flow(&site, json!({"webauthn_user_verification": "required"})).await;
    let mut authenticator = Authenticator::default();
    let device = enrol(&site, maja, &mut authenticator).await;
    let (mut browser, mut shown) = ready(&site, "maja").await;
    let wrongs = [
        Wrong { origin: Some("https://evil.example.org".to_owned()), ..Wrong::default() },
        Wrong { rp_id: Some("example.org".to_owned()), ..Wrong::default() },
        Wrong { challenge: Some(vec![1; 64]), ..Wrong::default() },
        Wrong { flags: 4, ..Wrong::default() },
        Wrong { flags: 1, ..Wrong::default() },
        Wrong { sign_count: Some(1), ..Wrong::default() },
        Wrong { sign_count: Some(0), ..Wrong::default() },
        Wrong { signature: true, ..Wrong::default() },
        Wrong { user_handle: Some(b"somebody else".to_vec()), ..Wrong::default() },
    ];
    for (count, wrong) in wrongs.into_iter().enumerate() {
        authenticator.wrong = wrong.clone();
        shown = answer(&mut browser, &shown, &mut authenticator).await;
        assert_eq!(error(&shown, "webauthn"), ("Assertion failed", "invalid"), "{wrong:?}");
        let events = site.events_of("login_failed").await;
        assert_eq!(events.len(), count + 1, "{wrong:?}");
        let told = json!({"device": device.summary(), "device_class": "webauthn", "device_type": unknown()});
        assert_eq!((&events[count]["username"], &events[count]["auth_method_args"]), (&json!("maja"), &told));
    }
    assert_eq!(site.reputation("maja").await, -5, "as low as it goes");
    for malformed in [json!({}), json!({"type": "public-key"}), json!({"id": [], "response": 7})] {
        shown = browser.post("f", "", json!({"webauthn": malformed})).await;
        assert_eq!(error(&shown, "webauthn"), ("Invalid device", "invalid"));
    }
    assert_eq!(columns(&site, maja).await.0, 1, "no wrong answer moves the counter");
    authenticator.wrong = Wrong::default();
    assert_eq!(component(&answer(&mut browser, &shown, &mut authenticator).await), "ak-stage-dummy");
}

fn unknown() -> Value {
    json!({
        "app": "authentik_stages_authenticator_webauthn",
        "model_name": "webauthndevicetype",
        "pk": "00000000000000000000000000000000",
        "name": "authentik: Unknown devices",
    })
}

#[tokio::test]
async fn one_assertion_used_fifty_times_at_once_opens_once() {
    for counts in [true, false] {
        let site = site().await;
        let maja = site.user("maja", "").await;
        flow(&site, json!({})).await;
        let mut authenticator = Authenticator { counts, ..Authenticator::default() };
        enrol(&site, maja, &mut authenticator).await;
        let (browser, shown) = ready(&site, "maja").await;
        let body = json!({"webauthn": authenticator.get(&asked(&shown), ORIGIN)});
        let tries = (0..50).map(|_| {
            let (mut browser, body) = (browser.clone(), body.clone());
            async move {
                use weir_flow::executor::{Input, Reply, RunError};
                match browser.try_step("f", "", Input::Answer(weir_testkit::map(body))).await {
                    Ok(Reply::ToSelf) => "passed",
                    Ok(Reply::Challenge(_)) => "refused",
                    Err(RunError::Conflict) => "conflict",
                    Err(RunError::Api(error)) => panic!("{error:?}"),
                }
            }
        });
        let done = futures_util::future::join_all(tries).await;
        assert_eq!(done.iter().filter(|it| **it == "passed").count(), 1, "{done:?}");
        // Afterwards it opens nothing, neither here nor in another session.
        for (mut browser, shown) in [ready(&site, "maja").await, ready(&site, "maja").await] {
            let refused = browser.post("f", "", body.clone()).await;
            assert_eq!(error(&refused, "webauthn").0, "Assertion failed");
            assert_ne!(asked(&refused)["challenge"], asked(&shown)["challenge"]);
        }
    }
}

#[tokio::test]
async fn two_assertions_with_one_counter_open_once() {
    // A copied authenticator: two sessions, two good challenges, the same counter.
    let site = site().await;
    let maja = site.user("maja", "").await;
    flow(&site, json!({})).await;
    let mut authenticator = Authenticator::default();
    enrol(&site, maja, &mut authenticator).await;
    authenticator.wrong.sign_count = Some(2);
    let (mut waiting, mut shown) = (Vec::new(), 0);
    for _ in 0..10 {
        let (browser, challenge) = ready(&site, "maja").await;
        waiting.push((browser, json!({"webauthn": authenticator.get(&asked(&challenge), ORIGIN)})));
    }
    let answers = waiting.into_iter().map(|(mut browser, body)| async move { browser.post("f", "", body).await });
    for answer in futures_util::future::join_all(answers).await {
        shown += usize::from(component(&answer) == "ak-stage-dummy");
    }
    assert_eq!(shown, 1);
    assert_eq!(site.events_of("login_failed").await.len(), 9);
}

#[tokio::test]
async fn devices_of_models_that_are_not_allowed_do_not_count() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    let (other, free) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]));
    super::lists::plain(&site, &[(MODEL, "Model"), (other, "Other")]).await;
    let config = json!({"webauthn_allowed_device_types": [MODEL], "not_configured_action": "deny"});
    flow(&site, config).await;
    let of = |aaguid| Authenticator { aaguid, ..Authenticator::default() };
    let mut wrong = of(other);
    enrol(&site, maja, &mut wrong).await;
    let (_, shown) = ready(&site, "maja").await;
    assert_denied(&shown, "No (allowed) MFA authenticator configured.");
    // A model of no list passes, a listed one too.
    for aaguid in [free, MODEL] {
        let mut authenticator = of(aaguid);
        enrol(&site, maja, &mut authenticator).await;
        let (mut browser, shown) = ready(&site, "maja").await;
        assert_eq!(component(&answer(&mut browser, &shown, &mut authenticator).await), "ak-stage-dummy");
        let (mut browser, shown) = ready(&site, "maja").await;
        let refused = answer(&mut browser, &shown, &mut wrong).await;
        let text = "Invalid device type. Contact your authentik administrator for help.";
        assert_eq!(error(&refused, "webauthn").0, text);
    }
}

#[tokio::test]
async fn the_sign_in_view_of_android_may_leave_the_type_out() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    flow(&site, json!({})).await;
    let mut authenticator = Authenticator::default();
    enrol(&site, maja, &mut authenticator).await;
    for (agent, passes) in [("Mozilla/5.0 (Linux; Android 14) MinuteMaid", true), ("Mozilla/5.0", false)] {
        let (mut browser, shown) = ready(&site, "maja").await;
        browser.request.user_agent = agent.to_owned();
        let mut assertion = authenticator.get(&asked(&shown), ORIGIN);
        assertion.remove("type");
        let shown = browser.post("f", "", json!({"webauthn": assertion})).await;
        assert_eq!(component(&shown) == "ak-stage-dummy", passes, "{agent}: {shown}");
    }
}

#[tokio::test]
async fn unknown_people_are_asked_what_people_without_device_are_asked() {
    let site = site().await;
    site.user("maja", "").await;
    flow(&site, json!({"not_configured_action": "deny"})).await;
    let (_, known) = ready(&site, "maja").await;
    let (_, unknown) = ready(&site, "nobody-of-this-name").await;
    assert_denied(&known, "No (allowed) MFA authenticator configured.");
    assert_denied(&unknown, "No (allowed) MFA authenticator configured.");
}

#[tokio::test]
async fn a_challenge_of_the_set_up_is_none_of_the_sign_in() {
    // Both keep it under one key; the kind of ceremony is signed.
    let site = site().await;
    let maja = site.user("maja", "").await;
    flow(&site, json!({})).await;
    let mut authenticator = Authenticator::default();
    enrol(&site, maja, &mut authenticator).await;
    let (mut browser, shown) = ready(&site, "maja").await;
    authenticator.wrong.kind = Some("webauthn.create");
    let refused = answer(&mut browser, &shown, &mut authenticator).await;
    assert_eq!(error(&refused, "webauthn").0, "Assertion failed");
}
