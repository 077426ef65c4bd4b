//! Links that lead into a flow.

use super::{assert_denied, assert_end, component, site};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_flow::{Flow, links};
use weir_identity::{accounts, token};
use weir_testkit::TestSite;

/// A link into a flow, planned for this user.
async fn link(site: &TestSite, flow: &str, user: i64, context: Value, revoke: bool) -> String {
    let mut unit = site.unit();
    let (flow_id, found) = links::find_flow(&unit, flow).unwrap();
    let request = site.request();
    let wish = links::PlanRequest {
        flow_id,
        flow: &found,
        request: &request,
        user: None,
        context: TestSite::context(context),
        allow_empty: true,
        for_token: true,
    };
    let plan = links::plan(&site.app, &mut unit, wish).await.unwrap();
    let text = json!(plan).to_string();
    let key = mint(site, flow_id, user, text, revoke).await;
    format!("flow_token={key}")
}

async fn mint(site: &TestSite, flow_id: Uuid, user_id: i64, plan: String, revoke_on_execution: bool) -> String {
    let mut unit = site.unit();
    let new = token::NewFlowToken {
        identifier: format!("link-{}", site.app.site.random.text(8)),
        user_id,
        epoch: None,
        flow_id,
        plan,
        expires: site.now() + TimeDelta::minutes(30),
        revoke_on_execution,
    };
    let key = token::mint_flow_token(&mut unit.tx, &*site.app.site.random, site.now(), &new).await.unwrap().unwrap();
    unit.commit().await.unwrap();
    key
}

fn about(user: i64) -> Value {
    json!({"pending_user": {"pk": user}})
}

/// A recovery flow that only links open, with two stages, and a user.
async fn recovery(site: &TestSite) -> (Uuid, i64) {
    let flow = site.flow("rec", "recovery", json!({"authentication": "require_token"})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    site.step(flow, 1, "dummy", "b", json!({})).await;
    (flow, site.user("ann", "").await)
}

#[tokio::test]
async fn a_link_restores_its_plan_once() {
    let site = site().await;
    let (_, ann) = recovery(&site).await;
    let query = link(&site, "rec", ann, about(ann), true).await;
    let mut browser = site.browser();
    assert_eq!(browser.get("rec", &query).await["name"], "a");
    let context = browser.context().await;
    assert_eq!(context["pending_user"]["pk"], ann);
    assert!(context["is_restored"].as_str().unwrap().starts_with("link-"));
    // The page keeps the token in its address: the plan goes on all the same.
    assert_eq!(browser.post("rec", &query, json!({})).await["name"], "b");
    assert_end(&browser.post("rec", &query, json!({})).await, "/");
    let used = site.browser().get("rec", &query).await;
    assert_denied(&used, "This link is invalid or has expired. Please request a new one.");
}

#[tokio::test]
async fn a_link_that_is_not_used_up_neither_starts_over_nor_ends() {
    let site = site().await;
    let (_, ann) = recovery(&site).await;
    let query = link(&site, "rec", ann, about(ann), false).await;
    let mut browser = site.browser();
    browser.get("rec", &query).await;
    assert_eq!(browser.post("rec", &query, json!({})).await["name"], "b", "restored once, then walked");
    assert_eq!(browser.get("rec", &query).await["name"], "b");
    assert_eq!(site.browser().get("rec", &query).await["name"], "a", "another browser may open it too");
}

#[tokio::test]
async fn of_fifty_who_open_a_link_at_once_one_gets_in() {
    let site = site().await;
    let (_, ann) = recovery(&site).await;
    let query = link(&site, "rec", ann, about(ann), true).await;
    let mut browsers: Vec<_> = (0..50).map(|_| site.browser()).collect();
    let shown = join_all(browsers.iter_mut().map(|b| b.get("rec", &query))).await;
    let inside = shown.iter().filter(|c| component(c) == "ak-stage-dummy").count();
    let outside = shown.iter().filter(|c| component(c) == "ak-stage-access-denied").count();
    assert_eq!((inside, outside), (1, 49));
}

#[tokio::test]
async fn an_expired_link_and_one_from_before_a_lockdown_are_none() {
    let site = site().await;
    let (_, ann) = recovery(&site).await;
    let expired = link(&site, "rec", ann, about(ann), true).await;
    site.clock.advance(TimeDelta::minutes(31));
    let text = "This link is invalid or has expired. Please request a new one.";
    assert_denied(&site.browser().get("rec", &expired).await, text);
    let locked = link(&site, "rec", ann, about(ann), true).await;
    let mut unit = site.unit();
    accounts::advance_epoch(&mut unit.tx, ann).await.unwrap();
    unit.commit().await.unwrap();
    assert_denied(&site.browser().get("rec", &locked).await, text);
    assert_denied(&site.browser().get("rec", "flow_token=nonsense").await, text);
    assert_denied(&site.browser().get("rec", "flow_token=").await, text);
}

#[tokio::test]
async fn the_running_context_is_laid_over_but_cannot_exchange_the_person() {
    let site = site().await;
    let flow = site.flow("mail", "enrollment", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let context = json!({"pending_user": {"pk": ann}, "kept": 1, "both": "link", "auth_method": "password"});
    let query = link(&site, "mail", ann, context, true).await;
    let mut browser = site.browser();
    browser.get("mail", "").await;
    let running = json!({
        "pending_user": {"pk": bob}, "pending_user_identifier": "bob", "auth_method": "forged", "both": "running",
        "prompt_data": {"x": 1}, "is_redirected": flow,
    });
    browser.set_context(running).await;
    browser.get("mail", &query).await;
    let mut context = browser.context().await;
    context.shift_remove("is_restored");
    context.shift_remove("weir/flow/restored");
    let expected = json!({
        "pending_user": {"pk": ann}, "kept": 1, "both": "running", "auth_method": "password", "prompt_data": {"x": 1},
    });
    assert_eq!(Value::Object(context), expected);
}

#[tokio::test]
async fn the_context_of_another_flow_is_not_laid_over() {
    let site = site().await;
    let (_, ann) = recovery(&site).await;
    let other = site.flow("other", "authentication", json!({})).await;
    site.step(other, 0, "dummy", "o", json!({})).await;
    let query = link(&site, "rec", ann, about(ann), true).await;
    let mut browser = site.browser();
    browser.get("other", "").await;
    browser.set_context(json!({"foreign": 1})).await;
    browser.get("rec", &query).await;
    assert!(!browser.context().await.contains_key("foreign"));
}

#[tokio::test]
async fn a_link_opened_at_another_flow_restores_nothing_and_stays_good() {
    let site = site().await;
    let (_, ann) = recovery(&site).await;
    let other = site.flow("other", "authentication", json!({})).await;
    site.step(other, 0, "dummy", "o", json!({})).await;
    site.step(other, 1, "dummy", "p", json!({})).await;
    let query = link(&site, "rec", ann, about(ann), true).await;
    let mut browser = site.browser();
    browser.get("other", "").await;
    browser.post("other", "", json!({})).await;
    assert_eq!(browser.get("other", &query).await["name"], "p", "the running plan goes on");
    assert!(!browser.context().await.contains_key("pending_user"));
    assert_eq!(browser.get("rec", &query).await["name"], "a");
}

#[tokio::test]
async fn a_link_whose_plan_is_about_somebody_else_is_denied_and_used_up() {
    let site = site().await;
    let (_, ann) = recovery(&site).await;
    let bob = site.user("bob", "").await;
    let query = link(&site, "rec", bob, about(ann), true).await;
    let mut browser = site.browser();
    assert_denied(&browser.get("rec", &query).await, "Unknown error");
    assert!(browser.state().await.plan.is_none());
    let text = "This link is invalid or has expired. Please request a new one.";
    assert_denied(&browser.get("rec", &query).await, text);
}

#[tokio::test]
async fn a_link_with_an_unreadable_plan_is_used_up_and_restores_nothing() {
    let site = site().await;
    let flow = site.flow("open", "recovery", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let ann = site.user("ann", "").await;
    for plan in ["not json".to_owned(), json!({"version": 0, "flow": flow, "steps": [], "context": {}}).to_string()] {
        let key = mint(&site, flow, ann, plan, true).await;
        let mut browser = site.browser();
        assert_eq!(browser.get("open", &format!("flow_token={key}")).await["name"], "a", "planned anew");
        assert!(!browser.context().await.contains_key("is_restored"));
        let sql = "SELECT id FROM identity_token WHERE flow_id IS NOT NULL";
        assert!(site.db.read(sql, &[]).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_link_that_leads_to_a_denial_or_a_failure_stays_used() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    // A stage that writes before it refuses: its writes are undone, the use of the link is not.
    let flow = site.flow("f", "recovery", json!({})).await;
    site.step(flow, 0, "user_write", "w", json!({"user_creation_mode": "never_create"})).await;
    site.step(flow, 1, "dummy", "d", json!({"throw_error": true})).await;
    site.user("bob", "").await;
    let context = json!({"pending_user": {"pk": ann}, "prompt_data": {"username": "bob"}});
    let query = link(&site, "f", ann, context, true).await;
    let denied = site.browser().get("f", &query).await;
    assert_denied(&denied, "Failed to update user. Please try again later.");
    let sql = "SELECT id FROM identity_token WHERE flow_id IS NOT NULL";
    assert!(site.db.read(sql, &[]).await.unwrap().is_empty());
    assert_eq!(site.account(ann).await.username, "ann");
    let fails = site.flow("g", "recovery", json!({})).await;
    site.step(fails, 0, "dummy", "e", json!({"throw_error": true})).await;
    let query = link(&site, "g", ann, about(ann), true).await;
    assert_eq!(component(&site.browser().get("g", &query).await), "ak-stage-flow-error");
    assert!(site.db.read(sql, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn deleting_a_flow_ends_its_links() {
    let site = site().await;
    let (flow, ann) = recovery(&site).await;
    link(&site, "rec", ann, about(ann), true).await;
    site.delete(<Flow as weir_core::Resource>::MODEL, flow).await;
    assert!(site.db.read("SELECT id FROM identity_token", &[]).await.unwrap().is_empty());
}
