use crate::tests::{assert_denied, assert_end, component, error, site};
use chrono::TimeDelta;
use serde_json::{Value, json};
use weir_flow::executor::{Input, Reply};
use weir_identity::{digest, session};
use weir_testkit::{Browser, TestSite, map};

const MODEL: &str = "authentik_stages_user_login.userloginstage";

/// A flow of a dummy stage, the log-in (with these settings) and another dummy stage.
async fn flow(site: &TestSite, settings: Value) -> uuid::Uuid {
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "before", json!({})).await;
    let (stage, _) = site.step(flow, 1, "user_login", "login", settings).await;
    site.step(flow, 2, "dummy", "after", json!({})).await;
    stage
}

async fn ready<'s>(site: &'s TestSite, context: Value) -> Browser<'s> {
    let mut browser = site.browser();
    browser.get("f", "next=/x").await;
    browser.set_context(context).await;
    browser
}

fn about(user: i64) -> Value {
    json!({"pending_user": {"pk": user}})
}

#[tokio::test]
async fn a_log_in_changes_the_key_kills_the_old_one_and_keeps_the_plan() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let mut browser = ready(&site, about(ann)).await;
    let old = browser.key.clone().unwrap();
    assert_eq!(browser.post("f", "next=/x", json!({})).await["name"], "after");
    assert_ne!(browser.key.as_deref(), Some(old.as_str()));
    assert_eq!(browser.username().await.as_deref(), Some("ann"));
    assert_eq!(browser.keeps_until, None, "a cookie that ends with the browser");
    assert!(session::load(&*site.db, &old, site.now()).await.unwrap().is_none());
    assert_eq!(browser.state().await.history.len(), 2, "the history moves along");
    assert_eq!(browser.context().await["pending_user"]["pk"], ann);
    assert_end(&browser.post("f", "next=/x", json!({})).await, "/x");
    assert_eq!(site.account(ann).await.last_login, Some(site.now()));
    let (_, row) = browser.who().await;
    let row = row.unwrap();
    assert_eq!((row.last_ip.as_str(), row.user_id), ("203.0.113.7", Some(ann)));
    assert!(row.last_user_agent.contains("Firefox"));
}

#[tokio::test]
async fn a_log_in_is_an_event_and_a_good_mark() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let context = json!({
        "pending_user": {"pk": ann}, "auth_method": "token", "auth_method_args": {"mfa": 1},
        "source": {"name": "corp"}, "device": {"name": "laptop"},
    });
    ready(&site, context).await.post("f", "", json!({})).await;
    let events = site.events().await;
    assert_eq!((events.len(), events[0].0.as_str(), events[0].2.as_str()), (1, "login", "ann"));
    let context = &events[0].1;
    assert_eq!(context["auth_method"], "token");
    assert_eq!(context["auth_method_args"], json!({"mfa": 1, "known_device": false}));
    assert_eq!((&context["source"], &context["device"]), (&json!({"name": "corp"}), &json!({"name": "laptop"})));
    assert!(context.get("outpost").is_none());
    assert_eq!(site.reputation("ann").await, 1);
}

#[tokio::test]
async fn nobody_the_inactive_and_the_claimed_are_not_signed_in() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    site.change_user(ann, json!({"is_active": false})).await;
    let stage = flow(&site, json!({})).await;
    for offset in ["seconds=0", "hours=1"] {
        site.change(MODEL, stage, json!({"remember_me_offset": offset})).await;
        for context in [json!({}), about(ann), json!({"pending_user": {"pk": null, "username": "zoe"}}), about(4711)] {
            let mut browser = ready(&site, context).await;
            assert_denied(&browser.post("f", "", json!({})).await, "Unknown error");
            assert_eq!(browser.username().await, None);
        }
    }
    assert!(site.events().await.is_empty());
}

#[tokio::test]
async fn an_account_locked_between_question_and_answer_is_not_signed_in() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"remember_me_offset": "hours=1"})).await;
    let mut browser = ready(&site, about(ann)).await;
    browser.post("f", "", json!({})).await;
    site.change_user(ann, json!({"is_active": false})).await;
    assert_denied(&browser.post("f", "", json!({"remember_me": true})).await, "Unknown error");
    assert_eq!(site.sessions(ann).await, 0);
}

#[tokio::test]
async fn staying_signed_in_is_asked_only_when_it_is_offered() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"session_duration": "hours=2", "remember_me_offset": "hours=3"})).await;
    for (remember, hours) in [(false, 2), (true, 5)] {
        let mut browser = ready(&site, about(ann)).await;
        let shown = browser.post("f", "", json!({})).await;
        assert_eq!((component(&shown), &shown["pending_user"]), ("ak-stage-user-login", &json!("ann")));
        assert_eq!(browser.username().await, None, "the question is no log-in");
        for (answer, refusal) in [
            (json!({}), ("This field is required.", "required")),
            (json!({"remember_me": null}), ("This field may not be null.", "null")),
            (json!({"remember_me": "maybe"}), ("Must be a valid boolean.", "invalid")),
        ] {
            assert_eq!(error(&browser.post("f", "", answer).await, "remember_me"), refusal);
        }
        assert_eq!(browser.post("f", "", json!({"remember_me": remember})).await["name"], "after");
        let end = site.now() + TimeDelta::hours(hours);
        assert_eq!(browser.keeps_until, Some(end));
        assert_eq!(browser.who().await.1.unwrap().expires, end);
        assert!(browser.cookies.is_empty(), "no device cookie when the choice was offered");
    }
}

#[tokio::test]
async fn a_session_ends_on_time() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"session_duration": "hours=2"})).await;
    let mut browser = ready(&site, about(ann)).await;
    browser.post("f", "", json!({})).await;
    site.clock.advance(TimeDelta::hours(2) - TimeDelta::seconds(1));
    assert_eq!(browser.username().await.as_deref(), Some("ann"));
    site.clock.advance(TimeDelta::seconds(1));
    assert_eq!(browser.username().await, None);
}

#[tokio::test]
async fn a_browser_becomes_known_by_its_cookie_or_by_another_session_from_its_address() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let stage = flow(&site, json!({})).await;
    let known = async |browser: &mut Browser<'_>, user: i64| {
        browser.get("f", "").await;
        browser.set_context(about(user)).await;
        browser.post("f", "", json!({})).await;
        site.events_of("login").await.last().unwrap()["auth_method_args"]["known_device"].as_bool().unwrap()
    };
    let mut browser = site.browser();
    assert!(!known(&mut browser, ann).await);
    assert_eq!(browser.cookies[0].0, "authentik_device");
    // The cookie alone, from elsewhere, in a new session.
    let mut travelling = site.browser();
    travelling.cookies = browser.cookies.clone();
    travelling.request.client_ip = "198.51.100.9".to_owned();
    assert!(known(&mut travelling, ann).await);
    let mut other_person = site.browser();
    other_person.cookies = browser.cookies.clone();
    other_person.request.client_ip = "198.51.100.10".to_owned();
    assert!(!known(&mut other_person, bob).await, "the cookie is about one person");
    let mut same_address = site.browser();
    assert!(known(&mut same_address, ann).await);
    // Signing in again in the only session from here makes nothing known.
    let mut again = site.browser();
    again.request.client_ip = "192.0.2.1".to_owned();
    assert!(!known(&mut again, bob).await);
    again.cookies.clear();
    again.get("f", "").await;
    again.post("f", "", json!({})).await;
    assert!(!known(&mut again, bob).await);
    site.clock.advance(TimeDelta::days(30));
    let mut late = site.browser();
    late.cookies = browser.cookies.clone();
    late.request.client_ip = "198.51.100.11".to_owned();
    assert!(!known(&mut late, ann).await, "the cookie has run out");
    site.change(MODEL, stage, json!({"remember_device": "seconds=0"})).await;
    let mut forgetful = site.browser();
    known(&mut forgetful, ann).await;
    assert!(forgetful.cookies.is_empty());
}

#[tokio::test]
async fn what_is_known_of_the_device_already_stays() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let context = json!({"pending_user": {"pk": ann}, "auth_method_args": {"known_device": true}});
    ready(&site, context).await.post("f", "", json!({})).await;
    assert_eq!(site.events_of("login").await[0]["auth_method_args"]["known_device"], true);
}

#[tokio::test]
async fn other_sessions_end_when_the_stage_says_so() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let stage = flow(&site, json!({})).await;
    let mut browsers = Vec::new();
    for user in [ann, ann, bob] {
        let mut browser = ready(&site, about(user)).await;
        browser.post("f", "", json!({})).await;
        browsers.push(browser);
    }
    assert_eq!(site.sessions(ann).await, 2);
    site.change(MODEL, stage, json!({"terminate_other_sessions": true})).await;
    let mut last = ready(&site, about(ann)).await;
    last.post("f", "", json!({})).await;
    assert_eq!((site.sessions(ann).await, site.sessions(bob).await), (1, 1));
    assert_eq!(browsers[0].username().await, None);
    assert_eq!(last.username().await.as_deref(), Some("ann"));
}

#[tokio::test]
async fn a_second_log_in_in_one_browser_replaces_the_first_with_all_that_belonged_to_it() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let stage = flow(&site, json!({"network_binding": "bind_asn"})).await;
    let mut browser = ready(&site, about(ann)).await;
    browser.post("f", "", json!({})).await;
    let (_, row) = browser.who().await;
    let row = row.unwrap();
    assert_eq!(row.data["bindings"], json!({"network": "bind_asn", "geoip": "no_binding"}));
    let mut data = row.data.clone();
    data.extend(map(json!({"impersonate_user": 1, "impersonate_original_user": 2, "kept": 3})));
    let mut unit = site.unit();
    session::save_data(&mut unit.tx, &row.digest, &data).await.unwrap();
    unit.commit().await.unwrap();
    site.change(MODEL, stage, json!({"network_binding": "no_binding"})).await;
    browser.post("f", "", json!({})).await;
    browser.get("f", "").await;
    browser.set_context(about(bob)).await;
    browser.post("f", "", json!({})).await;
    assert_eq!(browser.username().await.as_deref(), Some("bob"));
    assert_eq!(serde_json::Value::Object(browser.who().await.1.unwrap().data), json!({"kept": 3}));
    assert_eq!((site.sessions(ann).await, site.sessions(bob).await), (0, 1));
}

#[tokio::test]
async fn the_key_is_stored_as_a_digest_only() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let mut browser = ready(&site, about(ann)).await;
    browser.post("f", "", json!({})).await;
    let key = browser.key.clone().unwrap();
    assert_eq!(browser.who().await.1.unwrap().digest, digest(&key));
    let reply = browser.step("f", "", Input::View).await.unwrap();
    let Reply::Challenge(shown) = reply else { panic!("no challenge") };
    assert!(!shown.to_string().contains(&key));
}
