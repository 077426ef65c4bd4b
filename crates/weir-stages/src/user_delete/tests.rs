use crate::tests::{assert_denied, assert_end, component, site};
use futures_util::future::join_all;
use serde_json::json;
use weir_flow::Input;
use weir_identity::session;
use weir_testkit::{Browser, TestSite, map};

/// A way in for ann, and a way out of the site that asks first.
async fn flows(site: &TestSite) -> i64 {
    let ann = site.user("ann", "").await;
    let enter = site.flow("in", "authentication", json!({})).await;
    let (_, binding) = site.step(enter, 0, "user_login", "login", json!({})).await;
    site.guard(binding, "who", json!({"set": {"pending_user": {"pk": ann}}}), json!({})).await;
    let leave = site.flow("out", "unenrollment", json!({})).await;
    site.step(leave, 0, "dummy", "sure?", json!({})).await;
    site.step(leave, 1, "user_delete", "delete", json!({})).await;
    site.step(leave, 2, "dummy", "bye", json!({})).await;
    ann
}

async fn signed_in(site: &TestSite) -> Browser<'_> {
    let mut browser = site.browser();
    browser.get("in", "").await;
    browser
}

#[tokio::test]
async fn the_account_goes_with_its_sessions_and_the_flow_goes_on_anonymously() {
    let site = site().await;
    let ann = flows(&site).await;
    site.settings(|settings| settings.gdpr_compliance = false).await;
    let other = signed_in(&site).await;
    let mut browser = signed_in(&site).await;
    assert_eq!(browser.get("out", "next=/bye").await["name"], "sure?");
    assert!(site.find_user("ann").await.is_some(), "nothing happens before the answer");
    let old = browser.key.clone().unwrap();
    assert_eq!(browser.post("out", "next=/bye", json!({})).await["name"], "bye");
    assert!(site.find_user("ann").await.is_none());
    assert_eq!((browser.username().await, other.username().await), (None, None));
    assert!(session::load(&*site.db, &old, site.now()).await.unwrap().is_none(), "the old cookie is dead at once");
    assert_eq!(site.sessions(ann).await, 0);
    assert!(!browser.context().await.contains_key("pending_user"));
    assert_end(&browser.post("out", "next=/bye", json!({})).await, "/bye");
    let logout = site.events().await.into_iter().find(|e| e.0 == "logout").unwrap();
    assert_eq!(logout.2, "ann");
    let sql = "SELECT username, context FROM audit_event WHERE action = 'model_deleted'";
    let deleted = site.db.read_one(sql, &[]).await.unwrap().unwrap();
    assert_eq!(deleted.text("username").unwrap(), "ann");
    assert_eq!(deleted.json("context").unwrap()["model"]["model_name"], "user");
}

#[tokio::test]
async fn the_audit_trail_of_the_user_goes_too_where_the_law_asks_for_it() {
    let site = site().await;
    let ann = flows(&site).await;
    let mut browser = signed_in(&site).await;
    browser.get("out", "").await;
    browser.post("out", "", json!({})).await;
    // By a task: there may be many.
    let sql = "SELECT args FROM job WHERE actor_name = $1";
    let jobs = site.db.read(sql, &[weir_identity::user::FORGET.into()]).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].json("args").unwrap(), json!({"user": ann, "before": site.now().timestamp_micros()}));
}

#[tokio::test]
async fn it_acts_on_being_looked_at() {
    let site = site().await;
    flows(&site).await;
    let leave = site.flow("now", "unenrollment", json!({})).await;
    site.step(leave, 0, "user_delete", "delete now", json!({})).await;
    let mut browser = signed_in(&site).await;
    assert_end(&browser.get("now", "").await, "/");
    assert!(site.find_user("ann").await.is_none());
}

#[tokio::test]
async fn nobody_and_a_name_without_account_are_denied() {
    let site = site().await;
    flows(&site).await;
    let mut nobody = site.browser();
    nobody.get("out", "").await;
    assert_denied(&nobody.post("out", "", json!({})).await, "Unknown error");
    let mut claimed = site.browser();
    claimed.get("out", "").await;
    claimed.set_context(json!({"pending_user": {"pk": null, "username": "zoe", "email": "zoe"}})).await;
    assert_denied(&claimed.post("out", "", json!({})).await, "Unknown error");
    assert!(site.find_user("ann").await.is_some());
}

#[tokio::test]
async fn a_locked_account_and_one_of_weirs_own_stay() {
    let site = site().await;
    let ann = flows(&site).await;
    for fields in [json!({"is_active": false}), json!({"is_active": true, "type": "internal_service_account"})] {
        site.change_user(ann, fields).await;
        let mut browser = site.browser();
        browser.get("out", "").await;
        browser.set_context(json!({"pending_user": {"pk": ann}})).await;
        assert_denied(&browser.post("out", "", json!({})).await, "Unknown error");
        assert!(site.find_user("ann").await.is_some());
    }
}

#[tokio::test]
async fn what_refers_to_the_user_goes_by_its_own_rules() {
    let site = site().await;
    let ann = flows(&site).await;
    let kept = site.flow("kept", "authentication", json!({})).await;
    let binding = site.make("authentik_policies.policybinding", json!({"target": kept, "user": ann, "order": 0})).await;
    let mut browser = signed_in(&site).await;
    browser.get("out", "").await;
    browser.post("out", "", json!({})).await;
    let snapshot = site.app.site.snapshot();
    assert!(snapshot.find(binding).is_none(), "a binding to nobody would let everybody in");
    assert!(snapshot.find(kept).is_some());
}

#[tokio::test]
async fn of_many_answers_at_once_one_deletes_and_none_fails() {
    let site = site().await;
    flows(&site).await;
    let mut browser = signed_in(&site).await;
    browser.get("out", "").await;
    let tabs: Vec<Browser<'_>> = (0..20).map(|_| browser.clone()).collect();
    let done = join_all(tabs.into_iter().map(|mut tab| async move {
        tab.step("out", "", Input::Answer(map(json!({})))).await.map(|reply| format!("{reply:?}"))
    }))
    .await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert!(site.find_user("ann").await.is_none());
    let sql = "SELECT id FROM audit_event WHERE action = 'model_deleted'";
    assert_eq!(site.db.read(sql, &[]).await.unwrap().len(), 1);
    assert_eq!(component(&site.browser().get("out", "").await), "ak-stage-dummy");
}
