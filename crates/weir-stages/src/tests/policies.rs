//! What policies want done is done by the flow that asked them, and by nothing else.

use super::{assert_end, site};
use serde_json::json;
use weir_flow::{
    PlanContext,
    dry_run::{self, Question},
};
use weir_identity::accounts::{self, UNUSABLE_PASSWORD};

const EXPIRY: &str = "authentik_policies_expiry.passwordexpirypolicy";
const BINDING: &str = "authentik_policies.policybinding";

#[tokio::test]
async fn a_password_that_is_too_old_is_taken_away_when_a_flow_asks_but_not_in_a_dry_run() {
    let site = site().await;
    let ann = site.user("ann", "correct horse").await;
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let (_, second) = site.step(flow, 1, "dummy", "b", json!({})).await;
    // Expired one day before it was set.
    let policy = site.make(EXPIRY, json!({"name": "old", "days": -1})).await;
    site.make(BINDING, json!({"target": second, "policy": policy, "order": 0})).await;
    let hash = async || accounts::password_hash(&site.app.site.db, ann).await.unwrap().unwrap();
    let before = hash().await;

    let (account, http) = (site.account(ann).await, site.request());
    let mut unit = site.unit();
    let config = unit.snapshot.get::<weir_flow::Flow>(flow).unwrap();
    let mut question = Question { user: &account, is_signed_in: true, http: &http, context: PlanContext::default() };
    let shown = dry_run::flow(&site.app, &mut unit, &mut question, (flow, &config)).await.unwrap();
    assert!(!unit.tx.is_writing());
    unit.rollback().await.unwrap();
    assert_eq!((&shown["applies"], &shown["authentication"]["fulfilled"]), (&json!(true), &json!(true)));
    let stage = &shown["stages"][1];
    assert_eq!(
        (&stage["stage"]["name"], &stage["planned"], &stage["shown"]),
        (&json!("b"), &json!(true), &json!(false))
    );
    assert_eq!(stage["policies"]["effects"][0]["effect"], "expire_password");
    assert_eq!(hash().await, before);

    let mut browser = site.browser();
    assert_eq!(browser.get("f", "").await["name"], "a");
    browser.set_context(json!({"pending_user": {"pk": ann}})).await;
    assert_end(&browser.post("f", "", json!({})).await, "/");
    assert_eq!(hash().await, UNUSABLE_PASSWORD);
    let events = site.events_of("user_write").await;
    assert_eq!((events.len(), &events[0]["action_id"]), (1, &json!("password_expired")));
    assert_eq!(events[0]["affected_user"]["pk"], ann);
}
