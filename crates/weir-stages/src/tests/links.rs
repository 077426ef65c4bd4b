//! Ways into a flow beside its page.

use super::{assert_end, site};
use chrono::TimeDelta;
use serde_json::json;
use weir_core::ApiError;
use weir_flow::{Designation, links};
use weir_policy::RequestInfo;
use weir_testkit::TestSite;

async fn default(site: &TestSite, request: &RequestInfo, designation: Designation) -> Option<String> {
    links::default_flow(&site.app, &mut site.unit(), request, None, designation).await.unwrap()
}

#[tokio::test]
async fn the_default_flow_is_the_brands_else_the_first_that_applies_by_slug() {
    let site = site().await;
    let mut request = site.request();
    assert_eq!(default(&site, &request, Designation::Authentication).await, None);
    let closed = site.flow("a-closed", "authentication", json!({})).await;
    site.guard(closed, "no", json!({"passing": false}), json!({})).await;
    site.flow("c-open", "authentication", json!({})).await;
    site.flow("b-open", "authentication", json!({})).await;
    site.flow("a-out", "invalidation", json!({})).await;
    assert_eq!(default(&site, &request, Designation::Authentication).await.as_deref(), Some("b-open"));
    assert_eq!(default(&site, &request, Designation::Invalidation).await.as_deref(), Some("a-out"));
    assert_eq!(default(&site, &request, Designation::Recovery).await, None);
    let body = json!({"domain": "example.org", "flow_authentication": closed});
    request.brand = Some(site.make("authentik_brands.brand", body).await);
    let chosen = default(&site, &request, Designation::Authentication).await;
    assert_eq!(chosen.as_deref(), Some("a-closed"), "policies of the brand's flow are not asked");
}

async fn recovery(site: &TestSite, request: &RequestInfo, user: i64) -> Result<String, ApiError> {
    let account = site.account(user).await;
    let mut unit = site.unit();
    let expires = site.now() + TimeDelta::minutes(30);
    let link = links::recovery_link(&site.app, &mut unit, request, &account, expires, false).await?;
    unit.commit().await?;
    Ok(site.app.flow_page(&link.slug, &link.query()))
}

#[tokio::test]
async fn a_recovery_link_leads_its_user_into_the_brands_flow_and_keeps_its_key() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let mut request = site.request();
    let none = recovery(&site, &request, ann).await.unwrap_err();
    assert_eq!(none.body(), json!({"non_field_errors": ["No recovery flow set."]}));
    let flow = site.flow("rec", "recovery", json!({"authentication": "require_token"})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let body = json!({"domain": "example.org", "flow_recovery": flow});
    request.brand = Some(site.make("authentik_brands.brand", body).await);
    let page = recovery(&site, &request, ann).await.unwrap();
    assert_eq!(recovery(&site, &request, ann).await.unwrap(), page, "a renewed link keeps its key");
    let query = page.strip_prefix("/if/flow/rec/?").unwrap();
    let mut browser = site.browser();
    assert_eq!(browser.get("rec", query).await["name"], "a");
    assert_eq!(browser.context().await["pending_user"]["pk"], ann);
    assert_end(&browser.post("rec", query, json!({})).await, "/");
}

#[tokio::test]
async fn a_recovery_flow_that_does_not_apply_makes_no_link_and_an_empty_one_does() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("rec", "recovery", json!({})).await;
    let mut request = site.request();
    let body = json!({"domain": "example.org", "flow_recovery": flow});
    request.brand = Some(site.make("authentik_brands.brand", body).await);
    assert!(recovery(&site, &request, ann).await.is_ok());
    site.guard(flow, "not-ann", json!({"only_user": "ann"}), json!({"negate": true})).await;
    let refused = recovery(&site, &request, ann).await.unwrap_err();
    assert_eq!(refused.body(), json!({"non_field_errors": ["Recovery flow not applicable to user"]}));
}

#[tokio::test]
async fn a_plan_made_elsewhere_goes_on_in_the_browsers_session() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    site.step(flow, 0, "dummy", "a", json!({})).await;
    let mut unit = site.unit();
    let (flow_id, found) = links::find_flow(&unit, "f").unwrap();
    let request = site.request();
    let wish = links::PlanRequest {
        flow_id,
        flow: &found,
        request: &request,
        user: None,
        context: links::about(ann),
        allow_empty: false,
        for_token: false,
    };
    let plan = links::plan(&site.app, &mut unit, wish).await.unwrap();
    unit.commit().await.unwrap();
    let mut browser = site.browser();
    browser.adopt(plan, Some("next=/back")).await;
    assert_eq!(browser.state().await.query_parameter("next").as_deref(), Some("/back"));
    assert_eq!(browser.get("f", "next=/back").await["name"], "a");
    assert_eq!(browser.context().await["pending_user"]["pk"], ann);
    assert_end(&browser.post("f", "next=/back", json!({})).await, "/back");
}
