use crate::tests::{assert_end, component, error, site};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_testkit::{Browser, TestSite};

const INBUILT: &str = "authentik.core.auth.InbuiltBackend";

/// A flow of identification (with these settings) and a consent stage that shows who is meant.
async fn flow(site: &TestSite, settings: Value) -> (Uuid, Uuid) {
    let flow = site.flow("f", "authentication", json!({})).await;
    let mut fields = weir_testkit::map(json!({"user_fields": ["username", "email", "upn"]}));
    fields.extend(weir_testkit::map(settings));
    let (stage, binding) = site.step(flow, 0, "identification", "id", Value::Object(fields)).await;
    site.step(flow, 1, "consent", "who", json!({"mode": "always_require"})).await;
    (stage, binding)
}

async fn name(browser: &mut Browser<'_>, text: &str) -> Value {
    browser.post("f", "", json!({"uid_field": text})).await
}

#[tokio::test]
async fn the_challenge_tells_what_may_be_typed_and_where_else_to_go() {
    let site = site().await;
    let enroll = site.flow("enroll", "enrollment", json!({})).await;
    let recover = site.flow("recover", "recovery", json!({})).await;
    let (stage, _) = flow(&site, json!({"user_fields": ["username"], "enrollment_flow": enroll})).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "next=/a%20b").await;
    let expected = json!({
        "component": "ak-stage-identification", "user_fields": ["username"], "password_fields": false,
        "allow_show_password": false, "flow_designation": "authentication", "captcha_stage": null,
        "enroll_url": "/if/flow/enroll/?next=%2Fa+b", "primary_action": "Log in", "sources": [],
        "show_source_labels": false, "enable_remember_me": false, "passkey_challenge": null,
        "flow_info": shown["flow_info"],
    });
    assert_eq!(shown, expected);
    let password = json!({"backends": [INBUILT], "allow_show_password": true});
    let password = site.stage("password", "pw", password).await;
    let changes = json!({
        "password_stage": password, "recovery_flow": recover, "passwordless_flow": recover, "enable_remember_me": true,
    });
    site.change("authentik_stages_identification.identificationstage", stage, changes).await;
    browser.set_context(json!({"application": {"name": "Wiki", "launch_url": "https://wiki.example"}})).await;
    let shown = browser.get("f", "").await;
    assert_eq!((&shown["password_fields"], &shown["allow_show_password"]), (&json!(true), &json!(true)));
    assert_eq!(
        (&shown["recovery_url"], &shown["passwordless_url"]),
        (&json!("/if/flow/recover/"), &json!("/if/flow/recover/"))
    );
    assert_eq!(
        (&shown["application_pre"], &shown["application_pre_launch"]),
        (&json!("Wiki"), &json!("https://wiki.example"))
    );
    let other = site.flow("g", "recovery", json!({})).await;
    site.bind(other, stage, 0, json!({})).await;
    let shown = site.browser().get("g", "").await;
    assert_eq!((&shown["primary_action"], &shown["flow_designation"]), (&json!("Continue"), &json!("recovery")));
}

#[tokio::test]
async fn fields_and_sources_may_not_both_be_missing() {
    let site = site().await;
    let model = "authentik_stages_identification.identificationstage";
    let refused = site.try_make(model, json!({"name": "x", "user_fields": []})).await.err().unwrap().body();
    let text = "When no user fields are selected, at least one source must be selected";
    assert_eq!(refused, json!({"non_field_errors": [text]}));
}

#[tokio::test]
async fn a_user_is_found_by_the_configured_fields_only() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    site.change_user(ann, json!({"attributes": {"upn": "ann@corp.example"}})).await;
    let (stage, _) = flow(&site, json!({"pretend_user_exists": false})).await;
    for (fields, typed, found) in [
        (json!(["username"]), "ann", true),
        (json!(["username"]), "ann@example.org", false),
        (json!(["email"]), "ann@example.org", true),
        (json!(["upn"]), "ann@corp.example", true),
        (json!(["username", "email"]), "ann@example.org", true),
        (json!(["username"]), "ANN", true),
        (json!(["username"]), " ann", false),
    ] {
        let model = "authentik_stages_identification.identificationstage";
        site.change(model, stage, json!({"user_fields": fields})).await;
        let mut browser = site.browser();
        let shown = name(&mut browser, typed).await;
        assert_eq!(component(&shown) == "ak-stage-consent", found, "{fields} {typed}");
        if found {
            assert_eq!(browser.context().await["pending_user"]["pk"], ann);
            assert_eq!(shown["pending_user"], "ann");
        } else {
            assert_eq!(error(&shown, "non_field_errors"), ("Failed to authenticate.", "invalid"));
        }
    }
    let model = "authentik_stages_identification.identificationstage";
    site.change(model, stage, json!({"user_fields": ["username"], "case_insensitive_matching": false})).await;
    assert_eq!(component(&name(&mut site.browser(), "ANN").await), "ak-stage-identification");
}

#[tokio::test]
async fn something_has_to_be_typed() {
    let site = site().await;
    flow(&site, json!({})).await;
    let blanks = json!({"uid_field": " \t\u{a0}\n"});
    for answer in [json!({}), json!({"uid_field": ""}), blanks, json!({"uid_field": null}), json!({"passkey": {}})] {
        let shown = site.browser().post("f", "", answer.clone()).await;
        assert_eq!(error(&shown, "non_field_errors").0, "No identification data provided.", "{answer}");
    }
    let shown = site.browser().post("f", "", json!({"uid_field": {"no": "text"}})).await;
    assert_eq!(error(&shown, "uid_field").0, "Not a valid string.");
    let passkey = site.browser().post("f", "", json!({"passkey": {"id": "x"}})).await;
    assert_eq!(error(&passkey, "non_field_errors").0, "Failed to authenticate.");
}

#[tokio::test]
async fn an_unknown_name_goes_on_like_a_known_one() {
    let site = site().await;
    site.user("ann", "").await;
    flow(&site, json!({})).await;
    let (mut known, mut unknown) = (site.browser(), site.browser());
    let (mut a, mut b) = (name(&mut known, "ann").await, name(&mut unknown, "zoe").await);
    assert_eq!(b["pending_user"], "zoe");
    for shown in [&mut a, &mut b] {
        let map = shown.as_object_mut().unwrap();
        for differs in ["pending_user", "pending_user_avatar", "token"] {
            assert!(map.shift_remove(differs).is_some());
        }
    }
    assert_eq!(a, b);
    let claimed = json!({"pk": null, "username": "zoe", "email": "zoe"});
    assert_eq!(unknown.context().await["pending_user"], claimed);
    assert!(site.events().await.is_empty(), "an unknown name is no event");
    assert_eq!((site.reputation("zoe").await, site.reputation("ann").await), (-1, 0));
}

#[tokio::test]
async fn without_pretence_an_unknown_name_is_refused_and_stays_visible_to_policies() {
    let site = site().await;
    let (_, binding) = flow(&site, json!({"pretend_user_exists": false})).await;
    site.guard(binding, "p", json!({}), json!({})).await;
    let mut browser = site.browser();
    let shown = name(&mut browser, "zoe").await;
    assert_eq!(error(&shown, "non_field_errors").0, "Failed to authenticate.");
    assert_eq!(browser.context().await["pending_user"]["username"], "zoe");
    assert!(shown.get("pending_user_identifier").is_none());
    site.asked();
    browser.get("f", "").await;
    assert_eq!(site.asked()[0].context["pending_user"]["username"], "zoe");
}

#[tokio::test]
async fn with_the_match_hidden_later_stages_show_what_was_typed() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"show_matched_user": false})).await;
    for typed in ["ann@example.org", "nobody@example.org"] {
        let mut browser = site.browser();
        let shown = name(&mut browser, typed).await;
        assert_eq!(shown["pending_user"], typed);
        assert_eq!(browser.context().await["pending_user_identifier"], typed);
    }
    let mut browser = site.browser();
    name(&mut browser, "ann@example.org").await;
    assert_eq!(browser.context().await["pending_user"]["pk"], ann);
}

#[tokio::test]
async fn inactive_users_match_like_others() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    site.change_user(ann, json!({"is_active": false})).await;
    flow(&site, json!({"pretend_user_exists": false})).await;
    assert_eq!(name(&mut site.browser(), "ann").await["pending_user"], "ann");
}

/// The flow with the password on the same page.
async fn with_password(site: &TestSite, more: Value) -> i64 {
    let ann = site.user("ann", "right horse").await;
    let password = site.stage("password", "pw", json!({"backends": [INBUILT]})).await;
    let mut settings = weir_testkit::map(json!({"password_stage": password}));
    settings.extend(weir_testkit::map(more));
    flow(site, Value::Object(settings)).await;
    ann
}

#[tokio::test]
async fn the_password_on_the_same_page_must_be_right() {
    let site = site().await;
    let ann = with_password(&site, json!({})).await;
    let mut browser = site.browser();
    let shown = browser.post("f", "", json!({"uid_field": "ann@example.org", "password": "right horse"})).await;
    assert_eq!(shown["pending_user"], "ann");
    let context = browser.context().await;
    assert_eq!(context["pending_user"]["pk"], ann);
    assert_eq!((&context["user_backend"], &context["auth_method"]), (&json!(INBUILT), &json!("password")));
    assert_eq!(site.reputation("ann").await, 0);
}

#[tokio::test]
async fn a_wrong_password_an_unknown_name_and_an_inactive_account_look_alike() {
    let site = site().await;
    with_password(&site, json!({"show_matched_user": false})).await;
    let bob = site.user("bob", "right horse").await;
    site.change_user(bob, json!({"is_active": false})).await;
    site.user("passwordless", "").await;
    let mut seen = Vec::new();
    for (typed, password) in [
        ("ann", json!("wrong")),
        ("ann", json!("")),
        ("ann", json!(null)),
        ("zoe", json!("right horse")),
        ("bob", json!("right horse")),
        ("passwordless", json!("")),
        ("passwordless", json!("!")),
    ] {
        let mut browser = site.browser();
        let mut shown = browser.post("f", "", json!({"uid_field": typed, "password": password})).await;
        assert_eq!(error(&shown, "non_field_errors").0, "Failed to authenticate.");
        assert_eq!(shown["pending_user_identifier"], typed);
        shown["pending_user_identifier"] = json!("?");
        seen.push(shown);
        let context = browser.context().await;
        assert_eq!(
            context["pending_user"],
            json!({"pk": null, "username": typed, "email": typed}),
            "nobody is pending"
        );
        assert!(!context.contains_key("auth_method") && !context.contains_key("user_backend"));
        assert_eq!(site.reputation(typed).await.signum(), -1);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    let failures = site.events_of("login_failed").await;
    assert_eq!(failures.len(), 7, "for the unknown name too: an event takes time");
    assert_eq!(failures[0]["username"], "ann");
    assert_eq!(failures[0]["password"], weir_events::MASK);
    assert_eq!(failures[0]["stage"]["name"], "id");
    assert!(!site.events().await.iter().any(|e| e.1.to_string().contains("right horse")));
}

#[tokio::test]
async fn a_typed_address_that_is_another_accounts_username_opens_neither() {
    let site = site().await;
    with_password(&site, json!({"user_fields": ["email"]})).await;
    // Somebody calls themselves as ann's address is called.
    let mallory = site.user("mallory", "mallory's").await;
    site.change_user(mallory, json!({"username": "ann@example.org"})).await;
    let shown = site.browser().post("f", "", json!({"uid_field": "ann@example.org", "password": "mallory's"})).await;
    assert_eq!(error(&shown, "non_field_errors").0, "Failed to authenticate.");
    let shown = site.browser().post("f", "", json!({"uid_field": "ann@example.org", "password": "right horse"})).await;
    assert_eq!(shown["pending_user"], "ann");
}

#[tokio::test]
async fn a_hint_skips_the_stage_when_nothing_else_is_asked() {
    let site = site().await;
    site.user("ann", "").await;
    let (_, binding) = flow(&site, json!({"pretend_user_exists": false})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.set_context(json!({"pending_user_identifier": "ann"})).await;
    let shown = browser.get("f", "").await;
    assert_eq!((component(&shown), &shown["pending_user"]), ("ak-stage-consent", &json!("ann")));
    let mut wrong = site.browser();
    wrong.get("f", "").await;
    wrong.set_context(json!({"pending_user_identifier": "zoe"})).await;
    let shown = wrong.get("f", "").await;
    assert_eq!(component(&shown), "ak-stage-identification");
    assert!(shown.get("pending_user_identifier").is_none(), "a hint that fails is dropped");
    assert!(!wrong.context().await.contains_key("pending_user"));
    site.guard(binding, "p", json!({}), json!({})).await;
    let mut guarded = site.browser();
    guarded.get("f", "").await;
    guarded.set_context(json!({"pending_user_identifier": "ann"})).await;
    let shown = guarded.get("f", "").await;
    assert_eq!(component(&shown), "ak-stage-identification", "a policy wants to look at the stage");
    assert_eq!(shown["pending_user_identifier"], "ann");
}

#[tokio::test]
async fn a_hint_fills_the_form_in_when_a_password_is_asked_too() {
    let site = site().await;
    with_password(&site, json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.set_context(json!({"pending_user_identifier": "somebody"})).await;
    assert_eq!(browser.get("f", "").await["pending_user_identifier"], "somebody");
    let shown = browser.post("f", "", json!({"uid_field": "ann", "password": "right horse"})).await;
    assert_eq!(shown["pending_user"], "ann", "the hint is not who came");
}

#[tokio::test]
async fn identification_alone_is_a_step_not_a_log_in() {
    let site = site().await;
    site.user("ann", "").await;
    let flow = site.flow("only", "authentication", json!({})).await;
    site.step(flow, 0, "identification", "id2", json!({"user_fields": ["username"]})).await;
    let mut browser = site.browser();
    assert_end(&browser.post("only", "", json!({"uid_field": "ann"})).await, "/");
    assert_eq!(browser.username().await, None);
}

/// The flow with a captcha that has the browser compute, and a password.
async fn with_captcha(site: &TestSite, more: Value) -> i64 {
    let captcha = site.stage("captcha", "human?", crate::captcha::tests::own()).await;
    let mut settings = weir_testkit::map(json!({"captcha_stage": captcha, "show_matched_user": false}));
    settings.extend(weir_testkit::map(more));
    with_password(site, Value::Object(settings)).await
}

fn solved(shown: &Value) -> String {
    crate::captcha::tests::solve(&shown["captcha_stage"])
}

#[tokio::test]
async fn a_captcha_on_the_same_page_must_be_solved() {
    let site = site().await;
    let ann = with_captcha(&site, json!({})).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    let captcha = &shown["captcha_stage"];
    assert_eq!((component(captcha), &captcha["pending_user"]), ("ak-stage-captcha", &json!("")));
    assert!(captcha["pending_user_avatar"].is_string() && captcha["interactive"] == false);
    let token = solved(&shown);
    let answer = json!({"uid_field": "ann", "password": "right horse", "captcha_token": token});
    assert_eq!(browser.post("f", "", answer).await["pending_user"], "ann");
    let context = browser.context().await;
    assert_eq!(context["pending_user"]["pk"], ann);
    assert_eq!(context["captcha"]["stage"]["name"], "human?");
}

#[tokio::test]
async fn a_missing_or_wrong_captcha_says_nothing_about_who_exists() {
    let site = site().await;
    with_captcha(&site, json!({})).await;
    let mut seen = Vec::new();
    for (typed, password) in [("ann", "right horse"), ("ann", "wrong"), ("zoe", "right horse")] {
        for token in [json!(null), json!(""), json!("nonsense"), json!("v1.4.16.99999999999.x:0")] {
            let mut browser = site.browser();
            let answer = json!({"uid_field": typed, "password": password, "captcha_token": token});
            let mut shown = browser.post("f", "", answer).await;
            assert_eq!(error(&shown, "non_field_errors").0, "Failed to authenticate.");
            assert_eq!(browser.context().await["pending_user"]["pk"], Value::Null, "nobody is pending");
            shown["pending_user_identifier"] = json!("?");
            shown["captcha_stage"]["site_key"] = json!("?");
            seen.push(shown);
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    assert!(site.events().await.is_empty(), "no password was looked at");
    assert_eq!((site.reputation("ann").await, site.reputation("zoe").await), (0, 0));
}

#[tokio::test]
async fn a_solution_lets_one_password_be_tried() {
    let site = site().await;
    with_captcha(&site, json!({})).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    let token = solved(&shown);
    let answer = |password: &str| json!({"uid_field": "ann", "password": password, "captcha_token": token});
    let refused = browser.post("f", "", answer("wrong")).await;
    assert_ne!(refused["captcha_stage"]["site_key"], shown["captcha_stage"]["site_key"], "the next try needs its own");
    assert_eq!(
        error(&browser.post("f", "", answer("right horse")).await, "non_field_errors").0,
        "Failed to authenticate."
    );
    let again = json!({"uid_field": "ann", "password": "right horse", "captcha_token": solved(&refused)});
    assert_eq!(browser.post("f", "", again).await["pending_user"], "ann");
}

#[tokio::test]
async fn of_fifty_passwords_with_one_solution_at_once_one_is_tried() {
    let site = site().await;
    with_captcha(&site, json!({})).await;
    let mut browser = site.browser();
    let token = solved(&browser.get("f", "").await);
    let tabs: Vec<weir_testkit::Browser<'_>> = (0..50).map(|_| browser.clone()).collect();
    let done = futures_util::future::join_all(tabs.into_iter().enumerate().map(|(n, mut tab)| {
        let answer = json!({"uid_field": "ann", "password": format!("guess {n}"), "captcha_token": token});
        async move { tab.try_step("f", "", weir_flow::Input::Answer(weir_testkit::map(answer))).await.is_ok() }
    }))
    .await;
    assert!(done.iter().any(|ok| *ok));
    assert!(site.events_of("login_failed").await.len() <= 1);
    assert_eq!(site.db.read("SELECT task FROM captcha_spent", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_hint_does_not_skip_the_captcha() {
    let site = site().await;
    let captcha = site.stage("captcha", "human?", crate::captcha::tests::own()).await;
    site.user("ann", "").await;
    flow(&site, json!({"captcha_stage": captcha})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.set_context(json!({"pending_user_identifier": "ann"})).await;
    assert_eq!(component(&browser.get("f", "").await), "ak-stage-identification");
}
