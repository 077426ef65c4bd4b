mod lists;
mod passkey;
mod passwordless;
mod second_factor;
mod set_up;

use crate::tests::component;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use weir_identity::device::{self, DeviceKind, DeviceRow};
use weir_testkit::{Browser, TestSite};
use weir_webauthn::software::Authenticator;

const ORIGIN: &str = "https://id.example.org";
/// A model of no list.
const MODEL: Uuid = Uuid::from_bytes([0xab; 16]);

/// A flow `setup` with this stage and one that shows that it was passed.
async fn setup_flow(site: &TestSite, config: Value) -> Uuid {
    let flow = site.flow("setup", "stage_configuration", json!({})).await;
    let (stage, _) = site.step(flow, 0, "authenticator_webauthn", "setup", config).await;
    site.step(flow, 1, "dummy", "inside", json!({})).await;
    stage
}

/// A browser of this user's before the set-up, and what it is told to make.
async fn before<'s>(site: &'s TestSite, user: i64) -> (Browser<'s>, Map<String, Value>) {
    let mut browser = site.browser();
    browser.bearer = Some(user);
    let shown = browser.get("setup", "").await;
    assert_eq!(component(&shown), "ak-stage-authenticator-webauthn", "{shown}");
    (browser, options(&shown))
}

fn options(shown: &Value) -> Map<String, Value> {
    shown["registration"].as_object().unwrap_or_else(|| panic!("{shown}")).clone()
}

/// What the set-up answers to an authenticator.
async fn register(site: &TestSite, user: i64, authenticator: &mut Authenticator) -> Value {
    let (mut browser, options) = before(site, user).await;
    browser.post("setup", "", json!({"response": authenticator.create(&options, ORIGIN)})).await
}

/// Has a device set up; the flow `setup` must be there.
async fn enrol(site: &TestSite, user: i64, authenticator: &mut Authenticator) -> DeviceRow {
    let shown = register(site, user, authenticator).await;
    assert_eq!(component(&shown), "ak-stage-dummy", "{shown}");
    devices(site, user).await.pop().unwrap()
}

async fn devices(site: &TestSite, user: i64) -> Vec<DeviceRow> {
    let all = device::confirmed_of_user(&*site.db, user).await.unwrap();
    all.into_iter().filter(|device| device.kind == DeviceKind::WebAuthn).collect()
}

/// Columns of the user's only credential that the API does not show.
async fn columns(site: &TestSite, user: i64) -> (i64, Option<bool>, Option<bool>, String) {
    let sql =
        "SELECT sign_count, backup_eligible, backed_up, attestation FROM identity_device_webauthn WHERE \"user\" = $1";
    let row = site.db.read_one(sql, &[user.into()]).await.unwrap().unwrap();
    let (count, attestation) = (row.int("sign_count").unwrap(), row.text("attestation").unwrap());
    (count, row.opt_bool("backup_eligible").unwrap(), row.opt_bool("backed_up").unwrap(), attestation)
}
