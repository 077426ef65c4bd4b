use crate::tests::{assert_denied, component, site};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_testkit::TestSite;

const MODEL: &str = "authentik_stages_invitation.invitation";
const INVALID: &str = "Invalid invite/invite not found";

/// A flow that begins with an invitation and goes on with a prompt for `email` and a dummy.
async fn flow(site: &TestSite, settings: Value) -> Uuid {
    let flow = site.flow("join", "enrollment", json!({})).await;
    site.step(flow, 0, "invitation", "invited", settings).await;
    let field = json!({"name": "mail", "field_key": "email", "label": "Mail", "type": "text", "required": true});
    let prompt = site.make("authentik_stages_prompt.prompt", field).await;
    site.step(flow, 1, "prompt", "ask", json!({"fields": [prompt]})).await;
    site.step(flow, 2, "dummy", "inside", json!({})).await;
    flow
}

async fn invite(site: &TestSite, more: Value) -> Uuid {
    let mut body = json!({"name": "friends"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site.make(MODEL, body).await
}

#[tokio::test]
async fn an_invitation_opens_the_flow_and_its_answers_win() {
    let site = site().await;
    let flow = flow(&site, json!({})).await;
    let fixed = json!({"email": "fixed@example.org", "attributes": {"team": "a"}});
    let id = invite(&site, json!({"fixed_data": fixed, "flow": flow})).await;
    for query in [format!("itoken={id}"), format!("token={}", id.simple())] {
        let mut browser = site.browser();
        let shown = browser.get("join", &query).await;
        assert_eq!(component(&shown), "ak-stage-prompt");
        let context = browser.context().await;
        assert_eq!((&context["prompt_data"], &context["invitation_in_effect"]), (&fixed, &json!(true)));
        assert_eq!(context["invitation"]["name"], "friends");
        assert_eq!(browser.post("join", &query, json!({"email": "other@example.org"})).await["name"], "inside");
        assert_eq!(browser.context().await["prompt_data"]["email"], "fixed@example.org");
    }
    let used = site.events_of("invitation_used").await;
    assert_eq!((used.len(), &used[0]["invitation_uuid"]), (2, &json!(id.simple().to_string())));
}

#[tokio::test]
async fn without_one_that_counts_the_flow_ends_or_goes_on_as_configured() {
    let site = site().await;
    let own = flow(&site, json!({})).await;
    let other = site.flow("other", "enrollment", json!({})).await;
    let foreign = invite(&site, json!({"flow": other})).await;
    let late = invite(&site, json!({"expires": site.now() + TimeDelta::minutes(1)})).await;
    site.clock.advance(TimeDelta::minutes(1));
    let deleted = invite(&site, json!({"flow": own})).await;
    site.delete("authentik_flows.flow", other).await;
    for query in [String::new(), "itoken=nonsense".to_owned(), format!("itoken={foreign}"), format!("itoken={late}")] {
        assert_denied(&site.browser().get("join", &query).await, INVALID);
    }
    assert_eq!(component(&site.browser().get("join", &format!("itoken={deleted}")).await), "ak-stage-prompt");
    let stage = site.app.site.snapshot().by_unique("authentik_flows.stage", "name", "invited").map(|o| o.id);
    if let Some(stage) = stage {
        let model = "authentik_stages_invitation.invitationstage";
        site.change(model, stage, json!({"continue_flow_without_invitation": true})).await;
        assert_eq!(component(&site.browser().get("join", "").await), "ak-stage-prompt");
    }
}

#[tokio::test]
async fn of_fifty_who_use_an_invitation_for_one_at_once_one_gets_in() {
    let site = site().await;
    flow(&site, json!({})).await;
    let id = invite(&site, json!({"single_use": true})).await;
    let query = format!("itoken={id}");
    let mut browsers: Vec<_> = (0..50).map(|_| site.browser()).collect();
    let shown = join_all(browsers.iter_mut().map(|b| b.get("join", &query))).await;
    let inside = shown.iter().filter(|c| component(c) == "ak-stage-prompt").count();
    let outside = shown.iter().filter(|c| c["error_message"] == INVALID).count();
    assert_eq!((inside, outside), (1, 49));
    assert!(site.db.read("SELECT id FROM invitation", &[]).await.unwrap().is_empty());
    assert_eq!(site.events_of("invitation_used").await.len(), 1);
}

#[tokio::test]
async fn looking_at_a_page_does_not_use_an_invitation_up() {
    let site = site().await;
    flow(&site, json!({})).await;
    let id = invite(&site, json!({"single_use": true})).await;
    let query = format!("itoken={id}");
    for _ in 0..3 {
        let looked = site.browser().step("join", &query, weir_flow::Input::Look).await.unwrap();
        let weir_flow::Reply::Challenge(shown) = looked else { panic!("no challenge") };
        assert_eq!(shown["header_text"], "Continue to accept this invitation.");
    }
    assert_eq!(component(&site.browser().get("join", &query).await), "ak-stage-prompt", "still good for one");
}
