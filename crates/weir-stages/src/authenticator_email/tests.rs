use super::mask;
use crate::tests::{component, error, site};
use serde_json::{Value, json};
use weir_testkit::TestSite;

async fn newest(site: &TestSite) -> String {
    site.mails().await.pop().unwrap()["secrets"][0].as_str().unwrap().to_owned()
}

#[test]
fn an_address_is_masked_but_for_its_first_letters() {
    assert_eq!(mask("myname@company.org"), "m*****@c******.org");
    assert_eq!(mask("ab@cd.org"), "**@**.org");
}

#[tokio::test]
async fn an_address_is_set_up_by_its_code_and_proves_the_next_sign_in() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let setup = site.flow("setup", "stage_configuration", json!({})).await;
    site.step(setup, 0, "authenticator_email", "mail", json!({})).await;
    site.step(setup, 1, "dummy", "done", json!({})).await;
    let mut browser = site.browser();
    browser.bearer = Some(ann);
    let shown = browser.get("setup", "").await;
    assert_eq!((component(&shown), &shown["email_required"]), ("ak-stage-authenticator-email", &Value::Bool(false)));
    assert_eq!(shown["email"], "a**@e******.org");
    let wrong = browser.post("setup", "", json!({"code": "nope"})).await;
    assert_eq!(error(&wrong, "non_field_errors").0, "Code does not match");
    let code = newest(&site).await;
    assert_eq!(code.len(), 6);
    assert_eq!(browser.post("setup", "", json!({"code": code})).await["name"], "done");
}
