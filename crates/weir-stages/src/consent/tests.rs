use crate::tests::{component, error, site};
use chrono::TimeDelta;
use serde_json::{Value, json};
use weir_identity::accounts;
use weir_testkit::{Browser, TestSite};

/// A flow of a dummy stage, consent with these settings, and another dummy stage.
async fn flow(site: &TestSite, settings: Value) -> uuid::Uuid {
    let flow = site.flow("f", "authorization", json!({})).await;
    site.step(flow, 0, "dummy", "before", json!({})).await;
    let (stage, _) = site.step(flow, 1, "consent", "ask", settings).await;
    site.step(flow, 2, "dummy", "after", json!({})).await;
    stage
}

fn permissions(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({"id": id, "name": id.to_uppercase()})).collect()
}

/// Arrives at the stage as this user, for the application `app`, with these permissions wanted.
async fn arrive<'s>(site: &'s TestSite, user: i64, wanted: &[&str]) -> (Browser<'s>, Value) {
    let mut browser = site.browser();
    browser.bearer = Some(user);
    browser.get("f", "").await;
    let context = json!({
        "application": {"pk": "8d6c8c0e-0000-4000-8000-000000000001", "name": "Wiki"}, "consent_permissions": permissions(wanted),
    });
    browser.set_context(context).await;
    let shown = browser.post("f", "", json!({})).await;
    (browser, shown)
}

async fn agree(browser: &mut Browser<'_>, shown: &Value) -> Value {
    browser.post("f", "", json!({"component": "ak-stage-consent", "token": shown["token"]})).await
}

async fn kept(site: &TestSite) -> Vec<(String, bool, Option<chrono::DateTime<chrono::Utc>>)> {
    let rows = site.db.read("SELECT permissions, expiring, expires FROM identity_consent", &[]).await.unwrap();
    rows.iter()
        .map(|r| (r.text("permissions").unwrap(), r.bool("expiring").unwrap(), r.opt_time("expires").unwrap()))
        .collect()
}

#[tokio::test]
async fn the_challenge_lists_what_is_wanted() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let (mut browser, shown) = arrive(&site, ann, &["a", "b"]).await;
    assert_eq!((component(&shown), &shown["pending_user"]), ("ak-stage-consent", &json!("ann")));
    assert_eq!((&shown["permissions"], &shown["additional_permissions"]), (&permissions(&["a", "b"]), &json!([])));
    assert!(shown.get("header_text").is_none());
    assert_eq!(shown["token"].as_str().map(str::len), Some(40));
    browser.set_context(json!({"consent_header": "Wiki wants to know you"})).await;
    assert_eq!(browser.get("f", "").await["header_text"], "Wiki wants to know you");
}

#[tokio::test]
async fn only_the_token_of_the_last_challenge_counts() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"mode": "always_require"})).await;
    let (mut browser, first) = arrive(&site, ann, &["a"]).await;
    let second = browser.get("f", "").await;
    assert_ne!(first["token"], second["token"]);
    let third = agree(&mut browser, &first).await;
    assert_eq!(error(&third, "token"), ("Invalid consent token, re-showing prompt", "invalid"));
    let fourth = agree(&mut browser, &second).await;
    assert_eq!(error(&fourth, "token").0, "Invalid consent token, re-showing prompt");
    assert_eq!(agree(&mut browser, &fourth).await["name"], "after");
    assert!(!browser.context().await.contains_key("goauthentik.io/stages/consent/token"), "used once");
}

#[tokio::test]
async fn consent_that_must_always_be_given_is_not_kept() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let stage = flow(&site, json!({"mode": "always_require"})).await;
    for _ in 0..2 {
        let (mut browser, shown) = arrive(&site, ann, &["a"]).await;
        assert_eq!(component(&shown), "ak-stage-consent");
        assert_eq!(agree(&mut browser, &shown).await["name"], "after");
    }
    assert!(kept(&site).await.is_empty());
    site.change("authentik_stages_consent.consentstage", stage, json!({"mode": "permanent"})).await;
    let mut browser = site.browser();
    browser.bearer = Some(ann);
    browser.get("f", "").await;
    browser.set_context(json!({"consent_permissions": permissions(&["a"])})).await;
    let shown = browser.post("f", "", json!({})).await;
    agree(&mut browser, &shown).await;
    assert!(kept(&site).await.is_empty(), "without an application there is nothing to keep it for");
}

#[tokio::test]
async fn permanent_consent_is_asked_once() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    flow(&site, json!({"mode": "permanent"})).await;
    let (mut browser, shown) = arrive(&site, ann, &["b", "a"]).await;
    agree(&mut browser, &shown).await;
    assert_eq!(kept(&site).await, [("a b".to_owned(), false, None)]);
    site.clock.advance(TimeDelta::days(10_000));
    assert_eq!(arrive(&site, ann, &["a", "b"]).await.1["name"], "after");
    assert_eq!(component(&arrive(&site, bob, &["a", "b"]).await.1), "ak-stage-consent", "for this person only");
}

#[tokio::test]
async fn expiring_consent_is_asked_again_and_renewed_in_place() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"mode": "expiring", "consent_expire_in": "days=2"})).await;
    let (mut browser, shown) = arrive(&site, ann, &["a"]).await;
    agree(&mut browser, &shown).await;
    assert_eq!(kept(&site).await, [("a".to_owned(), true, Some(site.now() + TimeDelta::days(2)))]);
    site.clock.advance(TimeDelta::days(2) - TimeDelta::seconds(1));
    assert_eq!(arrive(&site, ann, &["a"]).await.1["name"], "after");
    site.clock.advance(TimeDelta::seconds(1));
    let (mut browser, shown) = arrive(&site, ann, &["a"]).await;
    assert_eq!((component(&shown), &shown["permissions"]), ("ak-stage-consent", &permissions(&["a"])));
    agree(&mut browser, &shown).await;
    assert_eq!(kept(&site).await, [("a".to_owned(), true, Some(site.now() + TimeDelta::days(2)))]);
}

#[tokio::test]
async fn other_permissions_are_asked_for_with_the_new_ones_apart() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"mode": "permanent"})).await;
    let (mut browser, shown) = arrive(&site, ann, &["a", "b"]).await;
    agree(&mut browser, &shown).await;
    let (mut browser, shown) = arrive(&site, ann, &["b", "c"]).await;
    assert_eq!((&shown["permissions"], &shown["additional_permissions"]), (&permissions(&["b"]), &permissions(&["c"])));
    agree(&mut browser, &shown).await;
    assert_eq!(kept(&site).await, [("b c".to_owned(), false, None)]);
    let (mut browser, shown) = arrive(&site, ann, &["b"]).await;
    assert_eq!(component(&shown), "ak-stage-consent", "fewer are not the same either");
    browser.set_context(json!({"consent_additional_permissions": permissions(&["c"])})).await;
    assert_eq!(browser.get("f", "").await["name"], "after", "both lists together are what is wanted");
}

#[tokio::test]
async fn consent_does_not_survive_a_lockdown() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"mode": "permanent"})).await;
    let (mut browser, shown) = arrive(&site, ann, &["a"]).await;
    agree(&mut browser, &shown).await;
    let mut unit = site.unit();
    accounts::advance_epoch(&mut unit.tx, ann).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(component(&arrive(&site, ann, &["a"]).await.1), "ak-stage-consent");
}

#[tokio::test]
async fn an_empty_or_foreign_answer_is_no_agreement() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"mode": "permanent"})).await;
    let (mut browser, _) = arrive(&site, ann, &["a"]).await;
    for answer in [
        json!({}),
        json!({"token": ""}),
        json!({"token": "x"}),
        json!({"token": 1}),
        json!({"component": "ak-stage-dummy"}),
    ] {
        assert_eq!(component(&browser.post("f", "", answer).await), "ak-stage-consent");
    }
    assert!(kept(&site).await.is_empty());
}
