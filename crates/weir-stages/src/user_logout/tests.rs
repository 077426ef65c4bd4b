use crate::tests::{assert_end, site};
use serde_json::json;
use weir_identity::session;

#[tokio::test]
async fn logging_out_ends_the_session_and_the_flow_goes_on_anonymously() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let enter = site.flow("in", "authentication", json!({})).await;
    let (_, binding) = site.step(enter, 0, "user_login", "login", json!({})).await;
    site.guard(binding, "who", json!({"set": {"pending_user": {"pk": ann}}}), json!({})).await;
    let leave = site.flow("out", "invalidation", json!({})).await;
    site.step(leave, 0, "dummy", "sure?", json!({})).await;
    site.step(leave, 1, "user_logout", "logout", json!({})).await;
    site.step(leave, 2, "dummy", "bye", json!({})).await;
    let mut browser = site.browser();
    assert_end(&browser.get("in", "").await, "/");
    assert_eq!(browser.username().await.as_deref(), Some("ann"));
    let old = browser.key.clone().unwrap();
    assert_eq!(browser.get("out", "next=/x").await["name"], "sure?");
    browser.set_context(json!({"mark": 1})).await;
    assert_eq!(browser.post("out", "next=/x", json!({})).await["name"], "bye");
    assert_ne!(browser.key.as_deref(), Some(old.as_str()));
    assert_eq!(browser.username().await, None);
    assert!(session::load(&*site.db, &old, site.now()).await.unwrap().is_none(), "the old cookie is dead at once");
    assert_eq!(site.sessions(ann).await, 0);
    assert_eq!(browser.context().await["mark"], 1, "the plan goes on");
    assert_end(&browser.post("out", "next=/x", json!({})).await, "/x");
    let events = site.events().await;
    let logout = events.iter().find(|e| e.0 == "logout").unwrap();
    assert_eq!(logout.2, "ann");
}

#[tokio::test]
async fn logging_out_anonymously_is_no_event() {
    let site = site().await;
    let leave = site.flow("out", "invalidation", json!({})).await;
    site.step(leave, 0, "user_logout", "logout", json!({})).await;
    let mut browser = site.browser();
    assert_end(&browser.post("out", "", json!({})).await, "/");
    assert!(site.events().await.is_empty());
}

#[tokio::test]
async fn the_data_of_the_session_end_with_it() {
    let site = site().await;
    let leave = site.flow("out", "invalidation", json!({})).await;
    site.step(leave, 0, "dummy", "sure?", json!({})).await;
    site.step(leave, 1, "user_logout", "logout", json!({})).await;
    let mut browser = site.browser();
    browser.get("out", "").await;
    let digest = browser.who().await.1.unwrap().digest;
    let mut unit = site.unit();
    session::save_data(&mut unit.tx, &digest, &weir_testkit::map(json!({"private": 1}))).await.unwrap();
    unit.commit().await.unwrap();
    browser.post("out", "", json!({})).await;
    assert!(browser.who().await.1.unwrap().data.is_empty());
}
