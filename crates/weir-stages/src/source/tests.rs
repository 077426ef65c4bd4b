use crate::tests::component;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Resource as _;
use weir_flow::sources::resume::{self, Refusal, Waiting};
use weir_resource::HookSet;
use weir_sources::{inbuilt, oauth::OAuthSource};
use weir_testkit::{Browser, TestSite, Wiring};

async fn site() -> TestSite {
    let mut resources = crate::resources();
    resources.extend(weir_sources::resources());
    let hooks = |set: &mut HookSet| {
        crate::hooks(set);
        super::hooks(set, &weir_sources::kinds());
    };
    let stages = weir_sources::stages(crate::kinds());
    TestSite::new(Wiring { resources, hooks, stages, sources: weir_sources::kinds(), ..Wiring::default() }).await
}

async fn oauth(site: &TestSite, slug: &str) -> Uuid {
    let body = json!({
        "name": slug, "slug": slug, "provider_type": "github", "consumer_key": "k", "consumer_secret": "s",
    });
    site.make(OAuthSource::MODEL, body).await
}

/// A flow that waits for a source and then shows a page.
async fn waiting_flow(site: &TestSite, fields: Value) -> Uuid {
    let mut stage = json!({"source": oauth(site, "home").await});
    stage.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    site.step(flow, 0, "source", "wait", stage).await;
    site.step(flow, 1, "dummy", "the end", json!({})).await;
    flow
}

async fn waiting(browser: &Browser<'_>) -> Waiting {
    serde_json::from_value(browser.context().await["weir/stages/source/waiting"].clone()).unwrap()
}

async fn take(site: &TestSite, id: Uuid, learned: Value) -> Result<weir_flow::Plan, Refusal> {
    let mut unit = site.unit();
    let taken = resume::take(&mut unit.tx, site.now(), id, TestSite::context(learned)).await.unwrap();
    unit.commit().await.unwrap();
    taken
}

#[tokio::test]
async fn it_sends_the_browser_off_and_an_answer_proves_nothing() {
    let site = site().await;
    waiting_flow(&site, json!({})).await;
    let mut browser = site.browser();
    let away = json!({"component": "xak-flow-redirect", "to": "/source/oauth/login/home/", "final_redirect": false});
    assert_eq!(browser.get("f", "").await, away);
    let first = waiting(&browser).await;
    for answer in [json!({}), json!({"component": "xak-flow-redirect", "to": "/"}), json!({"is_restored": first.id})] {
        assert_eq!(browser.post("f", "", answer).await, away);
    }
    assert_eq!(waiting(&browser).await, first, "a second look waits for the same");
}

#[tokio::test]
async fn the_plan_that_is_brought_back_goes_on_with_what_was_learned() {
    let site = site().await;
    waiting_flow(&site, json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    let id = waiting(&browser).await.id;
    let plan = take(&site, id, json!({"is_sso": true, "is_restored": "forged"})).await.unwrap();
    browser.adopt(plan, None).await;
    let shown = browser.get("f", "").await;
    assert_eq!((component(&shown), &shown["name"]), ("ak-stage-dummy", &json!("the end")));
    let context = browser.context().await;
    assert_eq!((&context["is_sso"], &context["is_restored"]), (&json!(true), &json!(id.to_string())));
    assert!(!context.contains_key("weir/stages/source/waiting"));
    assert_eq!(take(&site, id, json!({})).await.unwrap_err(), Refusal::Gone, "it was taken");
}

#[tokio::test]
async fn of_fifty_that_come_back_at_once_one_goes_on() {
    let site = site().await;
    waiting_flow(&site, json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    let id = waiting(&browser).await.id;
    let taken = join_all((0..50).map(|_| take(&site, id, json!({})))).await;
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 1);
}

#[tokio::test]
async fn too_late_is_gone() {
    let site = site().await;
    waiting_flow(&site, json!({"resume_timeout": "minutes=1"})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    let id = waiting(&browser).await.id;
    site.clock.advance(chrono::TimeDelta::seconds(60));
    assert_eq!(take(&site, id, json!({})).await.unwrap_err(), Refusal::Gone);
}

#[tokio::test]
async fn the_person_of_a_plan_stays_and_a_lockdown_ends_it() {
    let site = site().await;
    let flow = waiting_flow(&site, json!({})).await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    site.step(flow, -1, "identification", "who", json!({"user_fields": ["username"]})).await;
    let put_aside = async || {
        let mut browser = site.browser();
        browser.get("f", "").await;
        browser.post("f", "", json!({"uid_field": "ann"})).await;
        waiting(&browser).await.id
    };
    let other = take(&site, put_aside().await, json!({"pending_user": {"pk": bob}})).await;
    assert_eq!(other.unwrap_err(), Refusal::OtherUser);
    let nobody = take(&site, put_aside().await, json!({"pending_user": {"pk": null, "username": "ann"}})).await;
    assert_eq!(nobody.unwrap_err(), Refusal::OtherUser);
    assert!(take(&site, put_aside().await, json!({"pending_user": {"pk": ann}})).await.is_ok());
    let id = put_aside().await;
    let mut unit = site.unit();
    weir_identity::accounts::advance_epoch(&mut unit.tx, ann).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(take(&site, id, json!({"pending_user": {"pk": ann}})).await.unwrap_err(), Refusal::Gone);
}

#[tokio::test]
async fn a_source_that_is_off_denies() {
    let site = site().await;
    waiting_flow(&site, json!({})).await;
    let snapshot = site.app.site.snapshot();
    let (id, _) = snapshot.get_by::<OAuthSource>("slug", "home").unwrap();
    site.change(OAuthSource::MODEL, id, json!({"enabled": false})).await;
    let shown = site.browser().get("f", "").await;
    assert_eq!((component(&shown), &shown["error_message"]), ("ak-stage-access-denied", &json!("Invalid source")));
}

#[tokio::test]
async fn only_sources_for_browsers_can_be_chosen() {
    let site = site().await;
    let mut unit = site.unit();
    inbuilt::ensure(&mut unit).await.unwrap();
    unit.commit().await.unwrap();
    let inbuilt = site.app.site.snapshot().of_model(inbuilt::InbuiltSource::MODEL).next().unwrap().id;
    let body = json!({"name": "s", "source": inbuilt});
    let error = site.try_make(super::SourceStage::MODEL, body).await.err().unwrap();
    let text = "Invalid source selected, only web-based sources are supported.";
    assert_eq!(error.body(), json!({"source": [text]}));
}
