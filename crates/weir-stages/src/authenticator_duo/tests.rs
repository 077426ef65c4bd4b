use super::{AuthenticatorDuoStage, import};
use crate::tests::{
    assert_denied, component, error,
    service::{Asked, Service},
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use uuid::Uuid;
use weir_core::Resource as _;
use weir_flow::{Input, app::Services};
use weir_identity::device::{self, DeviceKind, DeviceRow, duo};
use weir_testkit::{Browser, TestSite, Wiring, map};

/// What Duo says about enrolments and questions.
#[derive(Clone)]
struct Script {
    status: &'static str,
    decision: &'static str,
    is_async: bool,
    waits: usize,
}

struct Fake {
    service: Service,
    script: Arc<Mutex<Script>>,
}

impl Fake {
    async fn start() -> Self {
        let script = Script { status: "waiting", decision: "allow", is_async: true, waits: 1 };
        let script = Arc::new(Mutex::new(script));
        let said = Arc::clone(&script);
        let service = Service::start(move |asked| respond(asked, &said)).await;
        Self { service, script }
    }

    fn says(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    fn paths(&self) -> Vec<String> {
        let paths = self.service.asked().into_iter().map(|asked| asked.path);
        paths.map(|path| path.split('?').next().unwrap().to_owned()).collect()
    }
}

fn respond(asked: &Asked, script: &Mutex<Script>) -> (u16, String) {
    let mut script = script.lock().unwrap();
    let path = asked.path.split('?').next().unwrap();
    let response = match path {
        "/auth/v2/enroll" => json!({
            "user_id": format!("DU-{}", asked.field("username")), "username": asked.field("username"),
            "activation_code": "duo://abc", "activation_barcode": "https://api.example/frame/qr?value=abc",
            "expiration": 1_900_000_000,
        }),
        "/auth/v2/enroll_status" => json!(script.status),
        "/auth/v2/auth" if script.is_async => json!({"txid": "T1"}),
        "/auth/v2/auth" => json!({"result": script.decision, "status": script.decision, "status_msg": "."}),
        "/auth/v2/auth_status" if script.waits > 0 => {
            script.waits -= 1;
            json!({"result": "waiting", "status": "pushed"})
        }
        "/auth/v2/auth_status" => json!({"result": script.decision, "status": script.decision}),
        _ => return (404, r#"{"stat": "FAIL", "code": 40401, "message": "Resource not found"}"#.to_owned()),
    };
    (200, json!({"stat": "OK", "response": response}).to_string())
}

async fn site(url: &str) -> TestSite {
    TestSite::new(Wiring {
        resources: crate::resources(),
        hooks: crate::hooks,
        stages: crate::kinds(),
        services: Services { duo_url: Some(url.to_owned()), ..Services::default() },
        ..Wiring::default()
    })
    .await
}

fn fields() -> Value {
    json!({"client_id": "DIXX", "client_secret": "very secret", "api_hostname": "api-1234.Duo.example"})
}

async fn flow(site: &TestSite) -> (i64, Uuid) {
    let ann = site.user("ann", "").await;
    let id = site.flow("f", "stage_configuration", json!({})).await;
    let (stage, binding) = site.step(id, 0, "authenticator_duo", "duo", fields()).await;
    site.guard(binding, "who", json!({"set": {"pending_user": {"pk": ann}}}), json!({})).await;
    site.step(id, 1, "dummy", "inside", json!({})).await;
    (ann, stage)
}

async fn devices(site: &TestSite, user: i64) -> Vec<DeviceRow> {
    device::confirmed_of_user(&*site.db, user).await.unwrap()
}

#[tokio::test]
async fn a_user_is_enrolled_once_and_the_device_made_when_duo_says_so() {
    let fake = Fake::start().await;
    let site = site(&fake.service.url).await;
    let (ann, stage) = flow(&site).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(component(&shown), "ak-stage-authenticator-duo");
    assert_eq!((&shown["activation_code"], &shown["stage_uuid"]), (&json!("duo://abc"), &json!(stage)));
    assert_eq!(shown["activation_barcode"], "https://api.example/frame/qr?value=abc");
    assert_eq!(browser.get("f", "").await["activation_code"], "duo://abc");
    let asked = fake.service.asked();
    assert_eq!(asked.len(), 1, "looking again enrols nobody");
    assert_eq!((asked[0].path.as_str(), asked[0].field("username").as_str()), ("/auth/v2/enroll", "ann"));
    assert_eq!(asked[0].header("host"), "api-1234.duo.example");
    assert_eq!(asked[0].header("date"), "Fri, 1 May 2026 12:00:00 +0000");
    fake.says(|script| script.status = "success");
    assert_eq!(browser.post("f", "", json!({})).await["name"], "inside");
    let asked = fake.service.asked().remove(0);
    assert_eq!((asked.field("user_id"), asked.field("activation_code")), ("DU-ann".to_owned(), "duo://abc".to_owned()));
    let made = devices(&site, ann).await;
    assert_eq!((made.len(), made[0].kind, made[0].name.as_str()), (1, DeviceKind::Duo, "Duo Authenticator"));
    assert_eq!((made[0].detail.as_str(), made[0].stage), ("DU-ann", Some(stage)));
    let kept = format!("{:?} {:?}", site.events().await, browser.inspect().await);
    assert!(!kept.contains("very secret") && !kept.contains("duo://abc"), "{kept}");
}

#[tokio::test]
async fn an_account_that_nobody_opened_makes_no_device() {
    let fake = Fake::start().await;
    let site = site(&fake.service.url).await;
    let (ann, _) = flow(&site).await;
    let fresh = site.browser().post("f", "", json!({})).await;
    assert_eq!(component(&fresh), "ak-stage-authenticator-duo", "an answer before the question is none");
    for status in ["waiting", "invalid", "success?"] {
        fake.says(|script| script.status = status);
        let mut browser = site.browser();
        browser.get("f", "").await;
        let said = if status == "waiting" { "waiting" } else { "invalid" };
        let text = format!("Invalid enrollment status: {said}.");
        assert_denied(&browser.post("f", "", json!({})).await, &text);
    }
    assert!(devices(&site, ann).await.is_empty());
}

#[tokio::test]
async fn an_account_at_duo_is_bound_once_also_by_fifty_answers_at_once() {
    let fake = Fake::start().await;
    let site = site(&fake.service.url).await;
    let (ann, _) = flow(&site).await;
    fake.says(|script| script.status = "success");
    let mut browser = site.browser();
    browser.get("f", "").await;
    let tabs: Vec<Browser<'_>> = (0..50).map(|_| browser.clone()).collect();
    let done = join_all(
        tabs.into_iter()
            .map(|mut tab| async move { tab.step("f", "", Input::Answer(map(json!({})))).await.map(|_| ()) }),
    )
    .await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(devices(&site, ann).await.len(), 1);
    let mut again = site.browser();
    again.get("f", "").await;
    assert_denied(&again.post("f", "", json!({})).await, "Device with Credential ID already exists.");
}

#[tokio::test]
async fn what_duo_refuses_ends_the_flow_and_is_told_to_administrators() {
    for (status, body, text) in [
        (
            401,
            r#"{"stat": "FAIL", "code": 40103, "message": "Invalid signature", "message_detail": "skey"}"#,
            "Invalid signature (skey)",
        ),
        (200, "<html>", "Duo gave no usable answer (200)."),
        (503, r#"{"stat": "OK", "response": {}}"#, "Duo gave no usable answer (503)."),
        (200, r#"{"stat": "OK", "response": {"user_id": 7}}"#, "Duo gave no usable answer."),
    ] {
        let service = Service::start(move |_| (status, body.to_owned())).await;
        let site = site(&service.url).await;
        flow(&site).await;
        assert_denied(&site.browser().get("f", "").await, text);
        let events = site.events_of("configuration_error").await;
        assert_eq!(events[0]["error"], text);
        assert!(!events[0].to_string().contains("very secret"));
    }
}

#[tokio::test]
async fn nobody_and_a_locked_account_are_denied() {
    let fake = Fake::start().await;
    let site = site(&fake.service.url).await;
    let bob = site.user("bob", "").await;
    site.change_user(bob, json!({"is_active": false})).await;
    let id = site.flow("open", "enrollment", json!({})).await;
    site.step(id, 0, "dummy", "first", json!({})).await;
    site.step(id, 1, "authenticator_duo", "duo", fields()).await;
    for pending in
        [json!({}), json!({"pending_user": {"pk": null, "username": "z"}}), json!({"pending_user": {"pk": bob}})]
    {
        let mut browser = site.browser();
        browser.get("open", "").await;
        browser.set_context(pending).await;
        assert_denied(&browser.post("open", "", json!({})).await, "Unknown error");
    }
    assert!(fake.paths().is_empty());
}

#[tokio::test]
async fn the_host_is_a_name_and_nothing_else() {
    let site = site("http://127.0.0.1:9").await;
    for host in ["https://api.example", "api.example/path", "api.example?x", "a@b.example"] {
        let mut body = map(fields());
        body.extend(map(json!({"name": "x", "api_hostname": host})));
        let refused = site.try_make(AuthenticatorDuoStage::MODEL, Value::Object(body)).await.err().unwrap();
        assert!(refused.body()["api_hostname"].is_array(), "{host}");
    }
}

/// Somebody with Duo, and a flow that asks for it.
async fn validating(site: &TestSite) -> (i64, DeviceRow) {
    let ann = site.user("ann", "").await;
    let stage = site.stage("authenticator_duo", "duo", fields()).await;
    let mut unit = site.unit();
    let device = duo::create(&mut unit, (ann, "Duo"), stage, "DU-ann").await.unwrap();
    unit.commit().await.unwrap();
    let id = site.flow("in", "authentication", json!({})).await;
    site.step(id, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    site.step(id, 1, "authenticator_validate", "mfa", json!({})).await;
    site.step(id, 2, "dummy", "inside", json!({})).await;
    (ann, device)
}

async fn asked(site: &TestSite) -> Browser<'_> {
    let mut browser = site.browser();
    let shown = browser.post("in", "", json!({"uid_field": "ann"})).await;
    assert_eq!(shown["device_challenges"][0]["device_class"], "duo");
    browser
}

#[tokio::test]
async fn who_agrees_on_the_telephone_is_let_in() {
    let fake = Fake::start().await;
    let site = site(&fake.service.url).await;
    let (_, device) = validating(&site).await;
    for is_async in [true, false] {
        fake.says(|script| (script.is_async, script.waits) = (is_async, 2));
        let mut browser = asked(&site).await;
        browser.set_context(json!({"application": {"name": "Wiki & more"}})).await;
        assert_eq!(browser.post("in", "", json!({"duo": device.id()})).await["name"], "inside");
        let context = browser.context().await;
        assert_eq!(context["auth_method_args"]["mfa_devices"][0]["model_name"], "duodevice");
        let asked = fake.service.asked();
        assert_eq!(asked.len(), if is_async { 4 } else { 1 });
        let push = &asked[0];
        for (name, value) in [
            ("user_id", "DU-ann"),
            ("factor", "auto"),
            ("device", "auto"),
            ("ipaddr", "203.0.113.7"),
            ("pushinfo", "Domain=id.example.org&Application=Wiki+%26+more"),
        ] {
            assert_eq!(push.field(name), value);
        }
        assert!(push.field("type").ends_with(" Login request"));
    }
    let used = device::find(&*site.db, DeviceKind::Duo, &device.pk).await.unwrap().unwrap();
    assert_eq!((used.last_used, used.throttle.failed_at), (Some(site.now()), None));
}

#[tokio::test]
async fn who_refuses_is_not_and_can_be_asked_again() {
    let fake = Fake::start().await;
    let site = site(&fake.service.url).await;
    let (_, device) = validating(&site).await;
    fake.says(|script| script.decision = "deny");
    let mut browser = asked(&site).await;
    let refused = browser.post("in", "", json!({"duo": device.id()})).await;
    assert_eq!(error(&refused, "duo"), ("Duo denied access", "denied"));
    assert_eq!(site.events_of("login_failed").await[0]["auth_method_args"]["device_class"], "duo");
    assert_eq!(site.reputation("ann").await, -1);
    fake.says(|script| script.decision = "allow");
    assert_eq!(browser.post("in", "", json!({"duo": device.id()})).await["name"], "inside");
}

#[tokio::test]
async fn when_duo_is_away_nobody_is_let_in() {
    for (status, body) in [(500, ""), (0, ""), (200, "allow"), (200, r#"{"stat": "OK", "response": {}}"#)] {
        let service = Service::start(move |_| (status, body.to_owned())).await;
        let site = site(&service.url).await;
        let (_, device) = validating(&site).await;
        let refused = asked(&site).await.post("in", "", json!({"duo": device.id()})).await;
        assert_eq!(error(&refused, "duo"), ("Duo denied access", "denied"), "{status} {body}");
        assert_eq!(site.events_of("configuration_error").await.len(), 1);
        assert!(site.events_of("login_failed").await.is_empty(), "nobody answered wrongly");
    }
}

#[tokio::test]
async fn a_device_of_somebody_else_is_not_found() {
    let fake = Fake::start().await;
    let site = site(&fake.service.url).await;
    let (_, device) = validating(&site).await;
    let bob = site.user("bob", "").await;
    let mut unit = site.unit();
    let other = duo::create(&mut unit, (bob, "Duo"), device.stage.unwrap(), "DU-bob").await.unwrap();
    unit.commit().await.unwrap();
    for id in [other.id(), 0, -1, 999] {
        let mut browser = asked(&site).await;
        let answer = Input::Answer(map(json!({"duo": id})));
        let refused = browser.step("in", "", answer).await.unwrap_err();
        assert_eq!(refused.status(), 404, "{id}");
    }
    assert!(fake.paths().is_empty());
}

#[tokio::test]
async fn only_one_question_is_on_a_telephone_at_a_time() {
    let service = Service::start(|asked| {
        if asked.path.starts_with("/auth/v2/auth_status") {
            std::thread::sleep(Duration::from_millis(400));
        }
        let response = if asked.path == "/auth/v2/auth" { json!({"txid": "T1"}) } else { json!({"result": "allow"}) };
        (200, json!({"stat": "OK", "response": response}).to_string())
    })
    .await;
    let site = site(&service.url).await;
    let (_, device) = validating(&site).await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(asked(&site).await);
    }
    let done = join_all(sessions.into_iter().map(|mut session| {
        let answer = Input::Answer(map(json!({"duo": device.id()})));
        async move { session.step("in", "", answer).await.map_err(|error| error.status()).err() }
    }))
    .await;
    let let_in = done.iter().filter(|status| status.is_none()).count();
    assert!(done.iter().flatten().all(|status| *status == 429), "{done:?}");
    let pushes = service.asked().iter().filter(|asked| asked.path == "/auth/v2/auth").count();
    assert!(let_in == pushes && (1..10).contains(&pushes), "{let_in} {pushes}");
}

#[tokio::test]
async fn a_device_removed_while_its_owner_decides_opens_nothing() {
    let fake = Fake::start().await;
    let site = site(&fake.service.url).await;
    let (ann, device) = validating(&site).await;
    fake.says(|script| script.waits = 3);
    let mut browser = asked(&site).await;
    let (refused, ()) = tokio::join!(browser.post("in", "", json!({"duo": device.id()})), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        site.change_user(ann, json!({"is_active": false})).await;
    });
    assert_eq!(error(&refused, "duo").0, "Duo denied access");
}

#[tokio::test]
async fn accounts_at_duo_are_imported_page_by_page_to_users_of_the_same_name() {
    let service = Service::start(|asked| {
        let offset = asked.path.split("offset=").nth(1).unwrap_or("0").to_owned();
        let (names, next): (&[&str], Value) = match offset.as_str() {
            "0" => (&["ann", "nobody"], json!(2)),
            "2" => (&["bob", "carl"], json!(4)),
            _ => (&["dora"], Value::Null),
        };
        let users: Vec<Value> = names.iter().map(|n| json!({"user_id": format!("DU-{n}"), "username": n})).collect();
        (200, json!({"stat": "OK", "response": users, "metadata": {"next_offset": next}}).to_string())
    })
    .await;
    let site = site(&service.url).await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    site.user("dora", "").await;
    let mut config = map(fields());
    let bare = site.stage("authenticator_duo", "bare", Value::Object(config.clone())).await;
    config.extend(map(json!({"admin_integration_key": "DIADMIN", "admin_secret_key": "s"})));
    let stage = site.stage("authenticator_duo", "duo", Value::Object(config)).await;
    let typed = |id| site.app.site.snapshot().get::<AuthenticatorDuoStage>(id).unwrap();
    let mut unit = site.unit();
    let refused = import::import(&site.app, &mut unit, bare, &typed(bare)).await.unwrap_err();
    assert_eq!(refused.status(), 400);
    assert!(import::bind(&mut unit, bob, stage, "DU-bob").await.unwrap());
    assert!(!import::bind(&mut unit, ann, stage, "DU-bob").await.unwrap(), "an account is one person's");
    assert_eq!(import::import(&site.app, &mut unit, stage, &typed(stage)).await.unwrap(), (2, String::new()));
    assert_eq!(import::import(&site.app, &mut unit, stage, &typed(stage)).await.unwrap(), (0, String::new()));
    unit.commit().await.unwrap();
    let made = devices(&site, ann).await;
    assert_eq!((made[0].name.as_str(), made[0].detail.as_str()), (import::NAME, "DU-ann"));
}
