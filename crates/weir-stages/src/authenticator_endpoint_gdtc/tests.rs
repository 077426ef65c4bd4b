use super::AuthenticatorEndpointGdtcStage;
use crate::tests::{component, error, site};
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Resource as _;
use weir_identity::device::{self, DeviceKind};
use weir_testkit::TestSite;

async fn flow(site: &TestSite) -> (i64, Uuid) {
    let ann = site.user("ann", "").await;
    let id = site.flow("f", "authentication", json!({})).await;
    let fields = json!({"credentials": {"client_email": "a@b", "private_key": "very secret"}});
    let (_, binding) = site.step(id, 0, "authenticator_endpoint_gdtc", "chrome", fields).await;
    site.guard(binding, "who", json!({"set": {"pending_user": {"pk": ann}}}), json!({})).await;
    site.step(id, 1, "dummy", "inside", json!({})).await;
    (ann, binding)
}

fn proof(binding: Uuid, at: Value) -> Value {
    let info = json!({"devicePermanentId": "D-1", "keyTrustLevel": "CHROME_BROWSER_HW_KEY"});
    let proof = json!({"binding": binding, "at": at, "host": "D-1", "name": "ann's laptop", "info": info});
    json!({"weir/stages/authenticator_endpoint_gdtc/proof": proof})
}

#[tokio::test]
async fn an_answer_without_proof_passes_nobody() {
    let site = site().await;
    let (ann, _) = flow(&site).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(component(&shown), "xak-flow-frame");
    assert_eq!(shown["url"], "https://id.example.org/endpoint/gdtc/chrome/");
    assert_eq!(shown["loading_overlay"], true);
    for answer in [json!({}), json!({"component": "xak-flow-frame"})] {
        let refused = browser.post("f", "", answer).await;
        assert_eq!(error(&refused, "non_field_errors").0, "Your browser could not be verified.");
    }
    assert!(device::confirmed_of_user(&*site.db, ann).await.unwrap().is_empty());
    assert!(!browser.context().await.contains_key("auth_method"));
}

#[tokio::test]
async fn what_google_said_counts_for_this_step_and_for_five_minutes() {
    let site = site().await;
    let (ann, binding) = flow(&site).await;
    let now = json!(site.now());
    for (proof, passes) in [
        (proof(Uuid::nil(), now.clone()), false),
        (proof(binding, json!(site.now() - TimeDelta::minutes(5))), false),
        (proof(binding, json!(site.now() + TimeDelta::minutes(5))), false),
        (proof(binding, json!("yesterday")), false),
        (proof(binding, now), true),
    ] {
        let mut browser = site.browser();
        browser.get("f", "").await;
        browser.set_context(proof.clone()).await;
        let shown = browser.post("f", "", json!({})).await;
        assert_eq!(shown["name"] == "inside", passes, "{proof}");
        if passes {
            let context = browser.context().await;
            assert_eq!(context["auth_method"], "trusted_endpoint");
            assert_eq!(context["auth_method_args"]["known_device"], true);
            assert_eq!(context["auth_method_args"]["endpoints"][0]["devicePermanentId"], "D-1");
            assert!(!context.contains_key("weir/stages/authenticator_endpoint_gdtc/proof"), "it counts once");
        }
    }
    let made = device::confirmed_of_user(&*site.db, ann).await.unwrap();
    assert_eq!((made.len(), made[0].kind, made[0].name.as_str()), (1, DeviceKind::Endpoint, "ann's laptop"));
    assert_eq!((made[0].detail.as_str(), made[0].last_used), ("D-1", Some(site.now())));
}

#[tokio::test]
async fn the_private_key_stays_until_another_one_comes() {
    let site = site().await;
    let model = AuthenticatorEndpointGdtcStage::MODEL;
    let id = site.make(model, json!({"name": "x", "credentials": {"private_key": "very secret"}})).await;
    let kept = || {
        let kept = site.app.site.snapshot().get::<AuthenticatorEndpointGdtcStage>(id).unwrap();
        (kept.credentials["private_key"].clone(), kept.credentials["client_email"].clone())
    };
    for (number, shown) in
        [json!({"private_key": weir_events::MASK}), json!({"private_key": null}), json!({})].into_iter().enumerate()
    {
        let mut shown = shown;
        shown["client_email"] = json!(format!("{number}@b"));
        site.change(model, id, json!({"credentials": shown})).await;
        assert_eq!(kept(), (json!("very secret"), json!(format!("{number}@b"))));
    }
    site.change(model, id, json!({"credentials": {"private_key": "other secret", "client_email": "c@b"}})).await;
    assert_eq!(kept(), (json!("other secret"), json!("c@b")));
    let rows = site.db.read("SELECT context FROM audit_event", &[]).await.unwrap();
    assert!(rows.iter().all(|row| !row.text("context").unwrap().contains(" secret")));
}
