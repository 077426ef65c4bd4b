//! Several requests of one session at the same time.

use super::{component, site};
use futures_util::future::join_all;
use serde_json::json;
use weir_core::validate::Mode;
use weir_flow::executor::{Input, Reply, RunError};
use weir_identity::{accounts, session};
use weir_testkit::{Browser, TestSite, map};

/// Stages of the flow: more than the answers of any test.
const STAGES: usize = 30;

async fn ready(site: &TestSite) -> Browser<'_> {
    let flow = site.flow("f", "authentication", json!({})).await;
    for order in 0..STAGES {
        let name = format!("stage {order}");
        site.step(flow, i32::try_from(order).unwrap(), "dummy", &name, json!({})).await;
    }
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser
}

/// Stages passed so far.
async fn passed(browser: &Browser<'_>) -> usize {
    STAGES - browser.state().await.plan.unwrap().steps.len()
}

fn answer() -> Input {
    Input::Answer(map(json!({"component": "ak-stage-dummy"})))
}

#[tokio::test]
async fn of_two_tabs_that_answer_the_same_stage_one_passes_it() {
    let site = site().await;
    ready(&site).await;
    // On a busy machine, twenty may come one after the other, so that nobody meets anybody.
    for _ in 0..20 {
        let mut browser = site.browser();
        browser.get("f", "").await;
        let mut tabs: Vec<_> = (0..20).map(|_| browser.clone()).collect();
        let done = join_all(tabs.iter_mut().map(|tab| tab.try_step("f", "", answer()))).await;
        // Those that began after a winner was done answered the next stage, one at a time.
        let counted = done.iter().filter(|d| matches!(d, Ok(Reply::ToSelf))).count();
        assert_eq!(passed(&browser).await, counted, "each answer that counted passed one stage");
        assert!(done.iter().all(|d| matches!(d, Ok(_) | Err(RunError::Conflict))));
        if done.iter().any(|d| matches!(d, Err(RunError::Conflict))) {
            return;
        }
    }
    panic!("nobody lost");
}

#[tokio::test]
async fn whoever_lost_sees_where_the_winner_led() {
    let site = site().await;
    let browser = ready(&site).await;
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let (first, second) = tokio::join!(one.step("f", "", answer()), two.step("f", "", answer()));
    let replies = [first.unwrap(), second.unwrap()];
    let counted = replies.iter().filter(|r| **r == Reply::ToSelf).count();
    assert!(counted >= 1);
    assert_eq!(passed(&browser).await, counted);
}

#[tokio::test]
async fn of_many_log_ins_from_one_session_one_is_made() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "user_login", "login", json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.set_context(json!({"pending_user": {"pk": ann}})).await;
    assert_eq!(browser.step("f", "", answer()).await.unwrap(), Reply::ToSelf);
    let mut tabs: Vec<_> = (0..10).map(|_| browser.clone()).collect();
    let done = join_all(tabs.iter_mut().map(|tab| tab.try_step("f", "", Input::View))).await;
    assert_eq!(site.sessions(ann).await, 1);
    assert_eq!(site.events_of("login").await.len(), 1);
    let keys: Vec<_> = tabs.iter().filter(|t| t.key != browser.key).collect();
    let mut signed_in = 0;
    for tab in &keys {
        signed_in += usize::from(tab.username().await.is_some());
    }
    assert_eq!(signed_in, 1);
    assert!(done.iter().any(Result::is_ok));
}

#[tokio::test]
async fn two_log_ins_of_one_user_from_two_browsers_both_succeed() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "user_login", "login", json!({})).await;
    let mut browsers: Vec<_> = (0..8).map(|_| site.browser()).collect();
    for browser in &mut browsers {
        browser.get("f", "").await;
        browser.set_context(json!({"pending_user": {"pk": ann}})).await;
    }
    let shown = join_all(browsers.iter_mut().map(|b| b.post("f", "", json!({})))).await;
    assert!(shown.iter().all(|c| component(c) == "xak-flow-redirect"));
    assert_eq!(site.sessions(ann).await, 8);
}

#[tokio::test]
async fn a_request_in_flight_does_not_bring_a_deleted_session_back() {
    let site = site().await;
    let mut browser = ready(&site).await;
    let (_, row) = browser.who().await;
    let mut unit = site.unit();
    session::log_out(&mut unit.tx, &row.unwrap().digest).await.unwrap();
    unit.commit().await.unwrap();
    let old = browser.key.clone();
    let shown = browser.post("f", "", json!({})).await;
    assert_eq!(shown["name"], "stage 1", "a new session answers its own plan");
    assert_ne!(browser.key, old);
    browser.key = old;
    assert!(browser.who().await.1.is_none());
}

#[tokio::test]
async fn parallel_wrong_passwords_of_one_session_are_all_counted() {
    let site = site().await;
    site.user("ann", "right horse").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "identification", "id", json!({"user_fields": ["username"]})).await;
    let more = json!({"backends": ["authentik.core.auth.InbuiltBackend"], "failed_attempts_before_cancel": 100});
    let (stage, _) = site.step(flow, 1, "password", "pw", more).await;
    let mut browser = site.browser();
    browser.post("f", "", json!({"uid_field": "ann"})).await;
    let mut tabs: Vec<_> = (0..12).map(|_| browser.clone()).collect();
    let wrong = || Input::Answer(map(json!({"password": "wrong"})));
    let done = join_all(tabs.iter_mut().map(|tab| tab.try_step("f", "", wrong()))).await;
    let answered = done.iter().filter(|d| d.is_ok()).count();
    let attempts = &browser.context().await["weir/stages/password/attempts"][stage.to_string()];
    assert_eq!(attempts.as_u64(), Some(answered as u64), "an answer that did not count told nothing");
}

#[tokio::test]
async fn a_lockdown_wins_against_log_ins_in_flight() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "user_login", "login", json!({})).await;
    let mut browsers: Vec<_> = (0..12).map(|_| site.browser()).collect();
    for browser in &mut browsers {
        browser.get("f", "").await;
        browser.set_context(json!({"pending_user": {"pk": ann}})).await;
        assert_eq!(browser.step("f", "", answer()).await.unwrap(), Reply::ToSelf);
    }
    let (early, late) = browsers.split_at_mut(4);
    join_all(early.iter_mut().map(|b| b.get("f", ""))).await;
    let lockdown = async {
        let mut unit = site.unit();
        accounts::lock(&mut unit.tx, ann).await.unwrap();
        let users = site.app.site.registry.find("authentik_core.user").unwrap();
        unit.update(users, &ann.to_string(), &map(json!({"is_active": false})), Mode::Patch).await.unwrap();
        accounts::advance_epoch(&mut unit.tx, ann).await.unwrap();
        session::delete_of_user(&mut unit.tx, ann, None).await.unwrap();
        unit.commit().await.unwrap();
    };
    let (shown, ()) = tokio::join!(join_all(late.iter_mut().map(|b| b.get("f", ""))), lockdown);
    assert!(shown.iter().all(|c| ["xak-flow-redirect", "ak-stage-access-denied"].contains(&component(c))));
    site.change_user(ann, json!({"is_active": true})).await;
    assert_eq!(site.sessions(ann).await, 0);
    for browser in early.iter().chain(late.iter()) {
        assert_eq!(browser.username().await, None, "nothing made before the lockdown lives after it");
    }
}
