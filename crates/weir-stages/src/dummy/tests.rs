use crate::tests::{assert_end, component, site};
use serde_json::json;

#[tokio::test]
async fn it_shows_its_name_and_takes_any_answer() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "my name", json!({})).await;
    for answer in [json!({}), json!({"anything": [1, {"x": null}]}), json!({"component": "ak-stage-dummy"})] {
        let mut browser = site.browser();
        let shown = browser.get("f", "").await;
        assert_eq!((component(&shown), &shown["name"]), ("ak-stage-dummy", &json!("my name")));
        assert_end(&browser.post("f", "", answer).await, "/");
    }
}

#[tokio::test]
async fn it_fails_on_purpose_when_told_to() {
    let site = site().await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "d", json!({"throw_error": true})).await;
    let shown = site.browser().get("f", "").await;
    assert_eq!(component(&shown), "ak-stage-flow-error");
    assert_eq!(site.events_of("system_exception").await[0]["message"], "Test error");
}
