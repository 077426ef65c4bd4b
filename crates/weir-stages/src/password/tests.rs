use crate::tests::{assert_denied, assert_end, component, error, site};
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_identity::{Intent, NewToken, accounts, token};
use weir_testkit::{Browser, TestSite, map};

const INBUILT: &str = "authentik.core.auth.InbuiltBackend";
const TOKEN: &str = "authentik.core.auth.TokenBackend";
const MODEL: &str = "authentik_stages_password.passwordstage";

/// A flow of identification, password (with these settings) and a dummy stage; gives the password stage.
async fn flow(site: &TestSite, settings: Value) -> Uuid {
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "identification", "id", json!({"user_fields": ["username"]})).await;
    let mut fields = map(json!({"backends": [INBUILT, TOKEN]}));
    fields.extend(map(settings));
    let (stage, _) = site.step(flow, 1, "password", "pw", Value::Object(fields)).await;
    site.step(flow, 2, "dummy", "inside", json!({})).await;
    stage
}

async fn ready<'s>(site: &'s TestSite, username: &str) -> Browser<'s> {
    let mut browser = site.browser();
    let shown = browser.post("f", "", json!({"uid_field": username})).await;
    assert_eq!(component(&shown), "ak-stage-password");
    browser
}

async fn answer(browser: &mut Browser<'_>, password: &str) -> Value {
    browser.post("f", "", json!({"password": password})).await
}

#[tokio::test]
async fn the_challenge_shows_who_is_meant_and_the_way_back_in_of_the_brand() {
    let site = site().await;
    site.user("ann", "right horse").await;
    let stage = flow(&site, json!({})).await;
    let mut browser = ready(&site, "ann").await;
    let shown = browser.get("f", "").await;
    assert_eq!((&shown["pending_user"], &shown["allow_show_password"]), (&json!("ann"), &json!(false)));
    assert!(shown["pending_user_avatar"].is_string() && shown.get("recovery_url").is_none());
    let recovery = site.flow("rec", "recovery", json!({})).await;
    let brand = site.make("authentik_brands.brand", json!({"domain": "example.org", "flow_recovery": recovery})).await;
    site.change(MODEL, stage, json!({"allow_show_password": true})).await;
    browser.request.brand = Some(brand);
    let shown = browser.get("f", "").await;
    assert_eq!(shown["recovery_url"], "https://id.example.org/if/flow/rec/");
    assert_eq!(shown["allow_show_password"], true);
}

#[tokio::test]
async fn without_a_pending_user_the_stage_denies_even_in_a_signed_in_session() {
    let site = site().await;
    let ann = site.user("ann", "right horse").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "password", "pw", json!({"backends": [INBUILT]})).await;
    let mut browser = site.browser();
    browser.bearer = Some(ann);
    assert_denied(&browser.get("f", "").await, "Unknown error");
    assert_denied(&browser.post("f", "", json!({"password": "right horse"})).await, "Unknown error");
}

#[tokio::test]
async fn the_right_password_goes_on_and_says_how() {
    let site = site().await;
    let ann = site.user("ann", "right horse").await;
    flow(&site, json!({})).await;
    let mut browser = ready(&site, "ann").await;
    assert_eq!(answer(&mut browser, "right horse").await["name"], "inside");
    let context = browser.context().await;
    assert_eq!(context["pending_user"], json!({"pk": ann}));
    assert_eq!((&context["user_backend"], &context["auth_method"]), (&json!(INBUILT), &json!("password")));
    assert!(site.events().await.is_empty());
    assert_eq!(browser.username().await, None, "a password alone signs nobody in");
}

#[tokio::test]
async fn a_wrong_password_is_an_error_an_event_and_a_bad_mark() {
    let site = site().await;
    site.user("ann", "right horse").await;
    let stage = flow(&site, json!({})).await;
    let mut browser = ready(&site, "ann").await;
    let shown = answer(&mut browser, "wrong horse").await;
    assert_eq!(error(&shown, "password"), ("Invalid password", "invalid"));
    let events = site.events().await;
    assert_eq!((events.len(), events[0].0.as_str(), events[0].2.as_str()), (1, "login_failed", "ann"));
    let context = &events[0].1;
    assert_eq!((&context["username"], &context["password"]), (&json!("ann"), &json!(weir_events::MASK)));
    let summary = json!({"app": "authentik_stages_password", "model_name": "passwordstage", "pk": stage.simple().to_string(), "name": "pw"});
    assert_eq!(context["stage"], summary);
    assert!(!context.to_string().contains("horse"));
    assert_eq!(site.reputation("ann").await, -1);
}

#[tokio::test]
async fn the_answer_that_reaches_the_limit_cancels_and_empty_ones_count() {
    let site = site().await;
    site.user("ann", "right horse").await;
    flow(&site, json!({})).await;
    let mut browser = ready(&site, "ann").await;
    for password in ["wrong", "", "wrong"] {
        let shown = answer(&mut browser, password).await;
        let expected = if password.is_empty() {
            ("This field may not be blank.", "blank")
        } else {
            ("Invalid password", "invalid")
        };
        assert_eq!(error(&shown, "password"), expected);
    }
    let missing = browser.post("f", "", json!({})).await;
    assert_eq!(error(&missing, "password"), ("This field is required.", "required"));
    let null = browser.post("f", "", json!({"password": null})).await;
    assert_eq!(error(&null, "password"), ("This field may not be null.", "null"));
    answer(&mut browser, "wrong").await;
    assert_denied(&answer(&mut browser, "wrong").await, "Invalid password");
    assert!(browser.state().await.plan.is_none());
    assert_eq!(site.events_of("login_failed").await.len(), 5, "the cancelled one too");
    assert_eq!(site.reputation("ann").await, -5);
    let mut fresh = ready(&site, "ann").await;
    assert_eq!(error(&answer(&mut fresh, "wrong").await, "password").0, "Invalid password", "a fresh plan counts anew");
    assert_eq!(answer(&mut fresh, "right horse").await["name"], "inside");
}

#[tokio::test]
async fn attempts_are_counted_for_each_stage() {
    let site = site().await;
    site.user("ann", "right horse").await;
    flow(&site, json!({"failed_attempts_before_cancel": 2})).await;
    let flow_id = site.app.site.snapshot().get_by::<weir_flow::Flow>("slug", "f").unwrap().0;
    let more = json!({"backends": [INBUILT], "failed_attempts_before_cancel": 2});
    site.step(flow_id, 3, "password", "again", more).await;
    let mut browser = ready(&site, "ann").await;
    answer(&mut browser, "wrong").await;
    answer(&mut browser, "right horse").await;
    assert_eq!(component(&browser.post("f", "", json!({})).await), "ak-stage-password");
    assert_eq!(error(&answer(&mut browser, "wrong").await, "password").0, "Invalid password");
    assert_denied(&answer(&mut browser, "wrong").await, "Invalid password");
}

#[tokio::test]
async fn passwords_are_taken_byte_for_byte() {
    let site = site().await;
    let secret = " ünder_score \u{1F40E} ";
    site.user("ann", secret).await;
    site.user("spaces", "   ").await;
    flow(&site, json!({"failed_attempts_before_cancel": 100})).await;
    let mut browser = ready(&site, "ann").await;
    for wrong in [secret.trim(), "under_score \u{1F40E}", &secret.to_uppercase(), &format!("{secret}x")] {
        assert_eq!(error(&answer(&mut browser, wrong).await, "password").0, "Invalid password");
    }
    assert_eq!(answer(&mut browser, secret).await["name"], "inside");
    let mut browser = ready(&site, "spaces").await;
    assert_eq!(answer(&mut browser, "   ").await["name"], "inside");
    let long = "x".repeat(4096);
    site.user("long", &long).await;
    let mut browser = ready(&site, "long").await;
    assert_eq!(error(&answer(&mut browser, &long[1..]).await, "password").0, "Invalid password");
    assert_eq!(error(&answer(&mut browser, &format!("{long}x")).await, "password").0, "Invalid password");
    assert_eq!(answer(&mut browser, &long).await["name"], "inside");
}

#[tokio::test]
async fn inactive_passwordless_and_unknown_accounts_fail_like_a_wrong_password() {
    let site = site().await;
    site.user("ann", "right horse").await;
    let bob = site.user("bob", "right horse").await;
    site.change_user(bob, json!({"is_active": false})).await;
    site.user("empty", "").await;
    flow(&site, json!({})).await;
    let mut seen = Vec::new();
    for (username, password) in
        [("ann", "wrong"), ("bob", "right horse"), ("empty", "!"), ("zoe", "right horse"), ("zoe", "")]
    {
        let mut browser = ready(&site, username).await;
        let mut shown = answer(&mut browser, password).await;
        assert_eq!(shown["pending_user"], username);
        if password.is_empty() {
            assert_eq!(error(&shown, "password").1, "blank");
            continue;
        }
        shown["pending_user"] = json!("?");
        shown["pending_user_avatar"] = json!("?");
        seen.push(shown);
        assert!(!browser.context().await.contains_key("auth_method"));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    assert_eq!(site.events_of("login_failed").await.len(), 5);
    let mut browser = ready(&site, "zoe").await;
    for _ in 0..4 {
        answer(&mut browser, "wrong").await;
    }
    assert_denied(&answer(&mut browser, "wrong").await, "Invalid password");
}

#[tokio::test]
async fn a_claimed_name_that_somebody_takes_meanwhile_stays_a_claim() {
    let site = site().await;
    flow(&site, json!({})).await;
    let mut browser = ready(&site, "zoe").await;
    site.user("zoe", "right horse").await;
    assert_eq!(error(&answer(&mut browser, "right horse").await, "password").0, "Invalid password");
}

#[tokio::test]
async fn a_user_deleted_meanwhile_is_denied() {
    let site = site().await;
    let ann = site.user("ann", "right horse").await;
    flow(&site, json!({})).await;
    let mut browser = ready(&site, "ann").await;
    site.delete("authentik_core.user", ann).await;
    assert_denied(&answer(&mut browser, "right horse").await, "Unknown error");
}

async fn app_password(site: &TestSite, user: i64, intent: Intent, life: Option<TimeDelta>) -> String {
    let mut unit = site.unit();
    let name = format!("t-{}", site.app.site.random.text(8));
    let new = NewToken { expires: life.map(|l| site.now() + l), ..NewToken::new(name, user, intent) };
    let (_, key) = token::mint(&mut unit, new).await.unwrap();
    unit.commit().await.unwrap();
    key
}

#[tokio::test]
async fn an_app_password_of_this_user_opens_and_others_do_not() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "right horse").await, site.user("bob", "").await);
    flow(&site, json!({"failed_attempts_before_cancel": 100})).await;
    let good = app_password(&site, ann, Intent::AppPassword, Some(TimeDelta::hours(1))).await;
    let mut browser = ready(&site, "ann").await;
    for bad in [
        app_password(&site, ann, Intent::Api, None).await,
        app_password(&site, ann, Intent::Recovery, None).await,
        app_password(&site, ann, Intent::Verification, None).await,
        app_password(&site, bob, Intent::AppPassword, None).await,
        good.to_uppercase(),
    ] {
        assert_eq!(error(&answer(&mut browser, &bad).await, "password").0, "Invalid password");
    }
    assert_eq!(answer(&mut browser, &good).await["name"], "inside");
    let context = browser.context().await;
    assert_eq!((&context["user_backend"], &context["auth_method"]), (&json!(TOKEN), &json!("token")));
    assert_eq!(context["auth_method_args"]["token"]["model_name"], "token");
    assert!(!context["auth_method_args"].to_string().contains(&good));
    site.clock.advance(TimeDelta::hours(2));
    let mut later = ready(&site, "ann").await;
    assert_eq!(error(&answer(&mut later, &good).await, "password").0, "Invalid password");
}

#[tokio::test]
async fn an_app_password_dies_with_the_account_and_with_a_lockdown() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let key = app_password(&site, ann, Intent::AppPassword, None).await;
    let mut browser = ready(&site, "ann").await;
    site.change_user(ann, json!({"is_active": false})).await;
    assert_eq!(error(&answer(&mut browser, &key).await, "password").0, "Invalid password");
    site.change_user(ann, json!({"is_active": true})).await;
    let mut unit = site.unit();
    accounts::advance_epoch(&mut unit.tx, ann).await.unwrap();
    unit.commit().await.unwrap();
    // The flow met the account before.
    assert_denied(&answer(&mut browser, &key).await, "Unknown error");
    let mut browser = ready(&site, "ann").await;
    assert_eq!(error(&answer(&mut browser, &key).await, "password").0, "Invalid password");
}

#[tokio::test]
async fn only_the_configured_stores_are_asked() {
    let site = site().await;
    let ann = site.user("ann", "right horse").await;
    let key = app_password(&site, ann, Intent::AppPassword, None).await;
    let stage = flow(&site, json!({"backends": [TOKEN]})).await;
    let mut browser = ready(&site, "ann").await;
    assert_eq!(error(&answer(&mut browser, "right horse").await, "password").0, "Invalid password");
    site.change(MODEL, stage, json!({"backends": [INBUILT]})).await;
    assert_eq!(error(&answer(&mut browser, &key).await, "password").0, "Invalid password");
    let directories = ["authentik.sources.ldap.auth.LDAPBackend", "authentik.sources.kerberos.auth.KerberosBackend"];
    site.change(MODEL, stage, json!({"backends": directories})).await;
    assert_eq!(error(&answer(&mut browser, "right horse").await, "password").0, "Invalid password");
    site.change(MODEL, stage, json!({"backends": [directories[0], TOKEN, INBUILT]})).await;
    assert_eq!(answer(&mut browser, "right horse").await["name"], "inside");
}

#[tokio::test]
async fn stores_must_be_known_ones_and_with_none_nobody_gets_in() {
    let site = site().await;
    let refused = site.try_make(MODEL, json!({"name": "x", "backends": ["some.Other"]})).await.err().unwrap();
    assert_eq!(refused.body()["backends"], json!(["\"some.Other\" is not a valid choice."]));
    let ann = site.user("ann", "right horse").await;
    flow(&site, json!({"backends": [], "failed_attempts_before_cancel": 100})).await;
    let key = app_password(&site, ann, Intent::AppPassword, None).await;
    let mut browser = ready(&site, "ann").await;
    for password in ["right horse", key.as_str(), "", "!"] {
        let refused = answer(&mut browser, password).await;
        assert!(refused["response_errors"]["password"].is_array(), "{refused}");
    }
}

#[tokio::test]
async fn hashes_of_other_kinds_are_taken_and_brought_up_to_date_when_right() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let imported = "pbkdf2_sha256$1000$saltsalt$7/O2z+7IXzrbT/C/qxhvt4aW1Mffp+YZhtP2XLJJxiM=";
    site.set_hash(ann, imported).await;
    let stored = || async { accounts::password_hash(&*site.db, ann).await.unwrap().unwrap() };
    let mut browser = ready(&site, "ann").await;
    assert_eq!(error(&answer(&mut browser, "wrong").await, "password").0, "Invalid password");
    assert_eq!(stored().await, imported, "a wrong password changes nothing");
    let before = site.account(ann).await.password_change_date;
    assert_eq!(answer(&mut browser, "right horse").await["name"], "inside");
    let current = stored().await;
    assert!(current.starts_with("argon2"), "{current}");
    assert_eq!(site.account(ann).await.password_change_date, before, "the password is the same");
    let mut browser = ready(&site, "ann").await;
    assert_eq!(answer(&mut browser, "right horse").await["name"], "inside");
    assert_eq!(stored().await, current, "a current hash stays");
}

#[tokio::test]
async fn the_first_proof_names_the_method() {
    let site = site().await;
    site.user("ann", "right horse").await;
    flow(&site, json!({})).await;
    let mut browser = ready(&site, "ann").await;
    browser.set_context(json!({"auth_method": "auth_mfa", "auth_method_args": {"known": 1}})).await;
    answer(&mut browser, "right horse").await;
    let context = browser.context().await;
    assert_eq!((&context["auth_method"], &context["auth_method_args"]), (&json!("auth_mfa"), &json!({"known": 1})));
    assert_end(&browser.post("f", "", json!({})).await, "/");
}
