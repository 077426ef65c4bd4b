use crate::tests::{assert_denied, assert_end, component, error, site};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_identity::device::{self, DeviceKind, static_codes};
use weir_testkit::{Browser, TestSite};

const MODEL: &str = "authentik_stages_authenticator_static.authenticatorstaticstage";

async fn flow(site: &TestSite, config: Value) -> Uuid {
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    site.step(flow, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    let stage = site.stage(MODEL, "static", config).await;
    site.bind(flow, stage, 1, json!({})).await;
    site.step(flow, 2, "dummy", "inside", json!({})).await;
    stage
}

async fn ready<'s>(site: &'s TestSite, username: &str) -> (Browser<'s>, Value) {
    let mut browser = site.browser();
    browser.get("f", "").await;
    let shown = browser.post("f", "", json!({"uid_field": username})).await;
    (browser, shown)
}

#[tokio::test]
async fn the_codes_on_the_page_are_the_ones_that_are_kept() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let (mut browser, shown) = ready(&site, "ann").await;
    assert_eq!((component(&shown), &shown["pending_user"]), ("ak-stage-authenticator-static", &json!("ann")));
    let codes: Vec<String> = serde_json::from_value(shown["codes"].clone()).unwrap();
    assert_eq!((codes.len(), codes[0].len()), (6, 12));
    assert!(codes.iter().all(|c| c.chars().all(|l| l.is_ascii_lowercase() || ('2'..='9').contains(&l))));
    let mut distinct = codes.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 6);
    assert_eq!(browser.get("f", "").await["codes"], shown["codes"], "the same on reload");
    assert!(device::of_users(&*site.db, &[ann]).await.unwrap().is_empty());
    assert!(!browser.inspect().await.unwrap().to_string().contains(&codes[0]));

    assert_eq!(browser.post("f", "", json!({"anything": 1})).await["name"], "inside");
    let kept = device::confirmed_of_user(&*site.db, ann).await.unwrap();
    assert_eq!((kept.len(), kept[0].kind, kept[0].name.as_str()), (1, DeviceKind::Static, "Static Token"));
    let stored = static_codes::codes_of(&*site.db, &[kept[0].id()]).await.unwrap();
    assert_eq!(stored[&kept[0].id()], codes);
    assert!(!json!(browser.context().await).to_string().contains(&codes[0]), "the plan forgets them");
    assert_end(&browser.post("f", "", json!({})).await, "/");
    assert_eq!(device::confirmed_of_user(&*site.db, ann).await.unwrap().len(), 1);
}

#[tokio::test]
async fn number_and_length_are_the_stages_within_bounds() {
    let site = site().await;
    site.user("ann", "").await;
    let stage = flow(&site, json!({"token_count": 3, "token_length": 30})).await;
    let shape = |shown: &Value| {
        let codes = shown["codes"].as_array().unwrap();
        (codes.len(), codes.first().map(|c| c.as_str().unwrap().len()))
    };
    assert_eq!(shape(&ready(&site, "ann").await.1), (3, Some(30)));
    site.change(MODEL, stage, json!({"token_count": 2_147_483_647, "token_length": 100})).await;
    assert_eq!(shape(&ready(&site, "ann").await.1), (200, Some(100)));
    site.change(MODEL, stage, json!({"token_count": 0})).await;
    assert_eq!(shape(&ready(&site, "ann").await.1), (0, None));
    for wrong in [json!({"token_length": 101}), json!({"token_length": -1}), json!({"token_count": -1})] {
        assert!(site.try_change(MODEL, stage, wrong).await.is_err());
    }
}

#[tokio::test]
async fn codes_that_nobody_saw_are_not_kept() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let stage = flow(&site, json!({})).await;
    let alone = site.flow("g", "stage_configuration", json!({})).await;
    site.bind(alone, stage, 0, json!({})).await;
    let mut browser = site.browser();
    browser.bearer = Some(ann);
    let shown = browser.post("g", "", json!({})).await;
    assert_eq!(error(&shown, "non_field_errors").0, "Put these codes down first.");
    assert_eq!(shown["codes"].as_array().map(Vec::len), Some(6));
    assert!(device::of_users(&*site.db, &[ann]).await.unwrap().is_empty());
    assert_end(&browser.post("g", "", json!({})).await, "/");
    assert_eq!(device::confirmed_of_user(&*site.db, ann).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_is_passed_over_and_a_name_without_account_ends_in_a_denial() {
    let site = site().await;
    let stage = flow(&site, json!({})).await;
    let alone = site.flow("g", "stage_configuration", json!({})).await;
    site.bind(alone, stage, 0, json!({})).await;
    assert_end(&site.browser().get("g", "").await, "/");
    let (mut browser, shown) = ready(&site, "zoe").await;
    assert_eq!(shown["codes"].as_array().map(Vec::len), Some(6));
    assert_denied(&browser.post("f", "", json!({})).await, "Unknown error");
}

#[tokio::test]
async fn an_answer_that_arrives_twice_keeps_one_device() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let (mut browser, _) = ready(&site, "ann").await;
    let mut other = browser.clone();
    let answer = json!({"component": "ak-stage-authenticator-static"});
    tokio::join!(browser.post("f", "", answer.clone()), other.post("f", "", answer));
    assert_eq!(device::confirmed_of_user(&*site.db, ann).await.unwrap().len(), 1);
}
