//! The first run.

use super::{assert_end, component};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use weir_core::{Map, Resource, ResourceType, resource::UuidKeyed};
use weir_flow::{Flow, NotApplicable, setup};
use weir_testkit::{TestSite, Wiring};

/// Looks like an instance of a blueprint, as far as the set-up is concerned.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Instance {
    name: String,
    #[serde(default)]
    metadata: Map,
    #[serde(default)]
    enabled: bool,
}
impl UuidKeyed for Instance {}
impl Resource for Instance {
    const MODEL: &'static str = "authentik_blueprints.blueprintinstance";
    const PATH: &'static str = "managed/blueprints";
    const SCHEMA: &'static str = "BlueprintInstance";
    const VERBOSE: &'static str = "Blueprint Instance";
    const PARAM: &'static str = "instance_uuid";
}

async fn site() -> TestSite {
    let mut resources = crate::resources();
    resources.push(ResourceType::of::<Instance>());
    let wiring = Wiring { resources, hooks: crate::hooks, stages: crate::kinds(), ..Wiring::default() };
    TestSite::new(wiring).await
}

async fn instance(site: &TestSite, name: &str, label: &str) -> Uuid {
    let metadata = json!({"labels": {"blueprints.goauthentik.io/system-oobe": label}});
    site.make(Instance::MODEL, json!({"name": name, "metadata": metadata, "enabled": true})).await
}

/// The set-up flow: an address and a password for the administrator, who is then signed in.
async fn flow(site: &TestSite, admin: i64) -> Uuid {
    let flow = site.flow(setup::FLOW, "stage_configuration", json!({})).await;
    site.guard(flow, "started", json!({"only_with": "goauthentik.io/core/setup/started-by"}), json!({})).await;
    let mut fields = Vec::new();
    for (name, kind) in [("base_url", "text"), ("password", "password"), ("password_repeat", "password")] {
        let body = json!({"name": name, "field_key": name, "label": name, "type": kind});
        fields.push(site.make("authentik_stages_prompt.prompt", body).await);
    }
    site.step(flow, 10, "prompt", "ask", json!({"fields": fields})).await;
    let (_, write) = site.step(flow, 20, "user_write", "write", json!({"user_creation_mode": "never_create"})).await;
    site.guard(write, "prefill", json!({"set": {"pending_user": {"pk": admin}}}), json!({})).await;
    site.step(flow, 100, "user_login", "login", json!({})).await;
    flow
}

fn answers(address: &str) -> serde_json::Value {
    json!({"base_url": address, "password": "a good password", "password_repeat": "a good password"})
}

#[tokio::test]
async fn set_up_makes_the_administrator_keeps_the_address_and_closes_behind_itself() {
    let site = site().await;
    let admin = site.user("akadmin", "").await;
    let flow_id = flow(&site, admin).await;
    let first_run = instance(&site, "first run", "true").await;
    let other = instance(&site, "other", "false").await;
    assert_eq!(component(&site.browser().get(setup::FLOW, "").await), "ak-stage-access-denied");
    let mut unit = site.unit();
    let plan = setup::plan(&site.app, &mut unit, &site.request()).await.unwrap();
    unit.commit().await.unwrap();
    let mut browser = site.browser();
    browser.adopt(plan, None).await;
    assert_eq!(component(&browser.get(setup::FLOW, "").await), "ak-stage-prompt");
    assert_eq!(site.installation(setup::DONE).await, None);
    assert_end(&browser.post(setup::FLOW, "", answers("https://id.example.org/")).await, "/");
    assert_eq!(browser.username().await.as_deref(), Some("akadmin"));
    assert!(site.installation(setup::DONE).await.is_some());
    let snapshot = site.app.site.snapshot();
    assert_eq!(snapshot.settings.base_url, "https://id.example.org/");
    assert_eq!(json!(snapshot.get::<Flow>(flow_id).unwrap().authentication), "require_superuser");
    assert!(!snapshot.get::<Instance>(first_run).unwrap().enabled);
    assert!(snapshot.get::<Instance>(other).unwrap().enabled);
    let mut unit = site.unit();
    let again = setup::plan(&site.app, &mut unit, &site.request()).await;
    assert!(matches!(again, Err(NotApplicable::Refused(_))));
}

#[tokio::test]
async fn an_address_that_is_none_is_not_kept_and_set_up_ends_all_the_same() {
    let site = site().await;
    let admin = site.user("akadmin", "").await;
    flow(&site, admin).await;
    for address in ["javascript:alert(1)", "httpx://x", "id.example.org", "https:"] {
        let mut unit = site.unit();
        let plan = setup::plan(&site.app, &mut unit, &site.request()).await;
        unit.commit().await.unwrap();
        let Ok(plan) = plan else { panic!("not applicable") };
        let mut browser = site.browser();
        browser.adopt(plan, None).await;
        assert_end(&browser.post(setup::FLOW, "", answers(address)).await, "/");
        assert_eq!(site.app.site.snapshot().settings.base_url, "");
        let flow = site.app.site.snapshot().get_by::<Flow>("slug", setup::FLOW).unwrap().0;
        site.change(Flow::MODEL, flow, json!({"authentication": "none"})).await;
    }
}

#[tokio::test]
async fn without_the_flow_there_is_no_set_up_yet() {
    let site = site().await;
    let plan = setup::plan(&site.app, &mut site.unit(), &site.request()).await;
    assert!(matches!(plan, Err(NotApplicable::Empty)));
}
