use crate::tests::{assert_denied, assert_end, site};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_identity::{accounts, membership};
use weir_testkit::{Browser, TestSite};

const MODEL: &str = "authentik_stages_user_write.userwritestage";
const FAILED: &str = "Failed to update user. Please try again later.";
const NOBODY: &str = "No user found and can't create new user.";

/// A flow of a dummy stage and user write with these settings; gives the stage.
async fn flow(site: &TestSite, settings: Value) -> Uuid {
    let flow = site.flow("f", "enrollment", json!({})).await;
    site.step(flow, 0, "dummy", "before", json!({})).await;
    let (stage, _) = site.step(flow, 1, "user_write", "write", settings).await;
    site.step(flow, 2, "dummy", "after", json!({})).await;
    stage
}

/// Runs the stage with this context.
async fn write(browser: &mut Browser<'_>, context: Value) -> Value {
    browser.get("f", "").await;
    browser.set_context(context).await;
    browser.post("f", "", json!({})).await
}

async fn written(site: &TestSite, context: Value) -> weir_core::Map {
    let mut browser = site.browser();
    let shown = write(&mut browser, context).await;
    assert_eq!(shown["name"], "after", "{shown}");
    browser.context().await
}

#[tokio::test]
async fn without_answers_there_is_nothing_to_write() {
    let site = site().await;
    flow(&site, json!({})).await;
    assert_denied(&write(&mut site.browser(), json!({})).await, "No Pending data.");
}

#[tokio::test]
async fn a_new_user_gets_the_stages_defaults_and_becomes_pending() {
    let site = site().await;
    let group = site.group("new ones", &[]).await;
    let stage = flow(&site, json!({"create_users_group": group})).await;
    let context = written(&site, json!({"prompt_data": {"username": "zoe", "email": "zoe@example.org"}})).await;
    let zoe = site.find_user("zoe").await.unwrap();
    assert_eq!((zoe.name.as_str(), zoe.email.as_str(), zoe.kind.as_str()), ("", "zoe@example.org", "external"));
    assert_eq!((zoe.path.as_str(), zoe.is_active), ("users", true));
    assert!(membership::is_member(&*site.db, zoe.id, group).await.unwrap());
    assert_eq!(context["pending_user"], json!({"pk": zoe.id}));
    assert_eq!(context["user_backend"], "authentik.core.auth.InbuiltBackend");
    let settings = json!({
        "create_users_as_inactive": true, "user_type": "internal", "user_path_template": "guests/2026", "create_users_group": null,
    });
    site.change(MODEL, stage, settings).await;
    written(&site, json!({"prompt_data": {"username": "yan"}})).await;
    let yan = site.find_user("yan").await.unwrap();
    assert_eq!((yan.kind.as_str(), yan.path.as_str(), yan.is_active), ("internal", "guests/2026", false));
    let extra = json!({"prompt_data": {"username": "xia"}, "user_path": "elsewhere", "user_type": "service_account"});
    written(&site, extra).await;
    let xia = site.find_user("xia").await.unwrap();
    assert_eq!((xia.kind.as_str(), xia.path.as_str()), ("service_account", "elsewhere"));
}

#[tokio::test]
async fn an_internal_service_account_is_never_made() {
    let site = site().await;
    let stage = flow(&site, json!({"user_type": "internal_service_account"})).await;
    for (username, extra) in [("a", json!({})), ("b", json!({"user_type": "internal_service_account"}))] {
        let mut context = weir_testkit::map(json!({"prompt_data": {"username": username}}));
        context.extend(weir_testkit::map(extra));
        written(&site, Value::Object(context)).await;
        assert_eq!(site.find_user(username).await.unwrap().kind, "service_account");
    }
    site.change(MODEL, stage, json!({"user_type": "external"})).await;
    written(&site, json!({"prompt_data": {"username": "c", "type": "internal_service_account"}})).await;
    assert_eq!(site.find_user("c").await.unwrap().kind, "external");
}

#[tokio::test]
async fn the_creation_mode_decides_between_new_and_existing_users() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let stage = flow(&site, json!({})).await;
    let pending = json!({"pk": ann});
    written(&site, json!({"pending_user": pending, "prompt_data": {"name": "Ann A."}})).await;
    assert_eq!(site.account(ann).await.name, "Ann A.");
    site.change(MODEL, stage, json!({"user_creation_mode": "never_create"})).await;
    written(&site, json!({"pending_user": pending, "prompt_data": {"name": "Ann B."}})).await;
    assert_eq!(site.account(ann).await.name, "Ann B.");
    let data = json!({"username": "zoe"});
    assert_denied(&write(&mut site.browser(), json!({"prompt_data": data})).await, NOBODY);
    let claimed = json!({"pk": null, "username": "zoe", "email": "zoe"});
    let context = json!({"prompt_data": data, "pending_user": claimed});
    assert_denied(&write(&mut site.browser(), context.clone()).await, NOBODY);
    assert!(site.find_user("zoe").await.is_none(), "a claimed name is nobody");
    site.change(MODEL, stage, json!({"user_creation_mode": "always_create"})).await;
    let context = json!({"pending_user": pending, "prompt_data": {"username": "yan", "name": "Yan"}});
    let after = written(&site, context).await;
    assert_eq!(site.account(ann).await.name, "Ann B.");
    assert_eq!(after["pending_user"]["pk"], site.find_user("yan").await.unwrap().id);
}

#[tokio::test]
async fn whoever_is_signed_in_is_written_when_nobody_is_pending() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"user_creation_mode": "never_create"})).await;
    let mut browser = site.browser();
    browser.bearer = Some(ann);
    let shown = write(&mut browser, json!({"prompt_data": {"email": "new@example.org"}})).await;
    assert_eq!(shown["name"], "after");
    assert_eq!(site.account(ann).await.email, "new@example.org");
    assert_eq!(browser.context().await["pending_user"], json!({"pk": ann}));
}

#[tokio::test]
async fn only_the_listed_fields_and_attributes_are_written() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let before = site.account(ann).await;
    flow(&site, json!({})).await;
    let data = json!({
        "name": "Ann", "path": "people/a", "type": "external", "component": "ak-stage-prompt",
        "pk": 4711, "id": 4711, "uuid": "6f1bca4c-94e4-4f6f-8f3a-111111111111", "uid": "x", "is_superuser": true,
        "last_login": "2020-01-01T00:00:00Z", "date_joined": "2020-01-01T00:00:00Z", "groups": ["x"], "roles": ["x"],
        "security_epoch": 99, "attributes.color": "blue", "attributes_settings.locale": "de", "attributes": {"nested": {"a": 1}},
    });
    written(&site, json!({"pending_user": {"pk": ann}, "prompt_data": data})).await;
    let after = site.account(ann).await;
    assert_eq!((after.name.as_str(), after.path.as_str(), after.kind.as_str()), ("Ann", "people/a", "external"));
    let attributes = json!({"color": "blue", "settings": {"locale": "de"}, "nested": {"a": 1}});
    assert_eq!(Value::Object(after.attributes), attributes);
    let same = |a: &weir_identity::Account| {
        (a.id, a.uuid, a.username.clone(), a.email.clone(), a.last_login, a.date_joined, a.security_epoch, a.is_active)
    };
    let now = site.account(ann).await;
    assert_eq!(same(&now), same(&before));
    assert!(!membership::is_superuser(&*site.db, ann).await.unwrap());
    assert!(membership::groups_of(&*site.db, ann).await.unwrap().is_empty());
}

#[tokio::test]
async fn neighbours_of_a_nested_attribute_stay() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    site.change_user(ann, json!({"attributes": {"a": {"b": {"c": 1, "d": 2}}, "e": 3}})).await;
    flow(&site, json!({})).await;
    let data = json!({"attributes.a.b.c": "new", "attributes": {"a": {"f": [1]}}});
    written(&site, json!({"pending_user": {"pk": ann}, "prompt_data": data})).await;
    let expected = json!({"a": {"b": {"c": "new", "d": 2}, "f": [1]}, "e": 3});
    assert_eq!(Value::Object(site.account(ann).await.attributes), expected);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let site = site().await;
    let ann = site.user("ann", "right horse").await;
    site.user("bob", "").await;
    let group = site.group("g", &[]).await;
    flow(&site, json!({"create_users_group": group})).await;
    let before = accounts::password_hash(&*site.db, ann).await.unwrap();
    for (data, message) in [
        (json!({"username": "bob", "password": "new horse"}), FAILED),
        (json!({"name": "N", "attributes": "text"}), FAILED),
        (json!({"type": "superhero"}), FAILED),
        (json!({"email": "no address"}), FAILED),
        (json!({"path": "/slash"}), FAILED),
        (json!({"username": "x".repeat(151)}), FAILED),
        (json!({"is_active": "perhaps"}), FAILED),
        (json!({"password": "x".repeat(4097)}), FAILED),
        (json!({"username": ""}), "Unknown error"),
    ] {
        let shown = write(&mut site.browser(), json!({"pending_user": {"pk": ann}, "prompt_data": data})).await;
        assert_denied(&shown, message);
    }
    let after = site.account(ann).await;
    assert_eq!((after.username.as_str(), after.name.as_str()), ("ann", "ann"));
    assert_eq!(accounts::password_hash(&*site.db, ann).await.unwrap(), before);
    assert!(!membership::is_member(&*site.db, ann, group).await.unwrap());
    assert!(site.events().await.is_empty());
    let new = write(&mut site.browser(), json!({"prompt_data": {"username": "bob"}})).await;
    assert_denied(&new, FAILED);
    let nameless = write(&mut site.browser(), json!({"prompt_data": {"email": "x@example.org"}})).await;
    assert_denied(&nameless, "Unknown error");
}

#[tokio::test]
async fn enrolment_does_not_overwrite_whom_it_names() {
    let site = site().await;
    let admin = site.admin("akadmin", "secret").await;
    flow(&site, json!({"user_creation_mode": "always_create"})).await;
    let data = json!({"username": "akadmin", "password": "mine now", "email": "evil@example.org"});
    assert_denied(&write(&mut site.browser(), json!({"prompt_data": data})).await, FAILED);
    assert_eq!(site.account(admin).await.email, "akadmin@example.org");
}

#[tokio::test]
async fn a_password_is_hashed_noted_and_masked() {
    let site = site().await;
    flow(&site, json!({})).await;
    let data =
        json!({"username": "zoe", "password": " right horse ", "password_repeat": " right horse ", "color": "blue"});
    written(&site, json!({"prompt_data": data})).await;
    let zoe = site.find_user("zoe").await.unwrap();
    let hash = accounts::password_hash(&*site.db, zoe.id).await.unwrap().unwrap();
    let verify = async |text: &str| {
        let secret = weir_crypto::Password::new(text.as_bytes()).unwrap();
        site.app.hashes.verify(hash.clone(), secret).await.unwrap()
    };
    assert!(verify(" right horse ").await && !verify("right horse").await);
    let events = site.events().await;
    let told: Vec<(&str, &str)> = events.iter().map(|e| (e.0.as_str(), e.2.as_str())).collect();
    assert_eq!(told, [("password_set", "zoe"), ("user_write", "zoe")]);
    let context = &events[1].1;
    assert_eq!(
        (&context["created"], &context["username"], &context["color"]),
        (&json!(true), &json!("zoe"), &json!("blue"))
    );
    assert_eq!(
        (&context["password"], &context["password_repeat"]),
        (&json!(weir_events::MASK), &json!(weir_events::MASK))
    );
    assert!(!events.iter().any(|e| e.1.to_string().contains("horse")));
    let empty = json!({"pending_user": {"pk": zoe.id}, "prompt_data": {"password": "", "name": "Zoe"}});
    written(&site, empty).await;
    assert_eq!(accounts::password_hash(&*site.db, zoe.id).await.unwrap().unwrap(), hash, "an empty answer sets none");
    assert_eq!(site.events_of("user_write").await[1]["created"], false);
}

/// A browser in which this user is signed in.
async fn signed_in<'s>(site: &'s TestSite, user: i64) -> Browser<'s> {
    let mut browser = site.browser();
    browser.get("in", "").await;
    browser.set_context(json!({"pending_user": {"pk": user}})).await;
    assert_end(&browser.post("in", "", json!({})).await, "/");
    browser
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions_of_the_user() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "old").await, site.user("bob", "").await);
    let enter = site.flow("in", "authentication", json!({})).await;
    site.step(enter, 0, "dummy", "start", json!({})).await;
    site.step(enter, 1, "user_login", "login", json!({})).await;
    flow(&site, json!({"user_creation_mode": "never_create"})).await;
    let mut own = signed_in(&site, ann).await;
    let (other, foreign) = (signed_in(&site, ann).await, signed_in(&site, bob).await);
    write(&mut own, json!({"prompt_data": {"name": "Ann"}})).await;
    assert_eq!(site.sessions(ann).await, 2, "other fields end nothing");
    assert_end(&own.post("f", "", json!({})).await, "/");
    write(&mut own, json!({"prompt_data": {"password": "new"}})).await;
    assert_eq!(own.username().await.as_deref(), Some("ann"), "who changed it stays");
    assert_eq!(other.username().await, None);
    assert_eq!(foreign.username().await.as_deref(), Some("bob"));
    // By a recovery link, nobody of the user's is the one who changed it.
    write(&mut site.browser(), json!({"pending_user": {"pk": ann}, "prompt_data": {"password": "newer"}})).await;
    assert_eq!(own.username().await, None);
    assert_eq!(site.sessions(bob).await, 1);
}

#[tokio::test]
async fn groups_and_sources_of_the_context_are_remembered() {
    let site = site().await;
    let (a, b, fixed) = (site.group("a", &[]).await, site.group("b", &[]).await, site.group("fixed", &[]).await);
    let ann = site.user("ann", "").await;
    flow(&site, json!({"create_users_group": fixed})).await;
    let context = json!({
        "pending_user": {"pk": ann}, "prompt_data": {"name": "Ann"}, "groups": [a, {"pk": b, "name": "b"}, Uuid::nil(), "x"],
        "goauthentik.io/sources/connection": {"source": {"name": "corp"}},
    });
    for _ in 0..2 {
        written(&site, context.clone()).await;
    }
    let groups: Vec<String> =
        membership::groups_of(&*site.db, ann).await.unwrap().into_iter().map(|g| g.name).collect();
    assert_eq!(groups, ["a", "b", "fixed"], "the group is for updated users too");
    assert_eq!(site.account(ann).await.attributes["goauthentik.io/user/sources"], json!(["corp"]));
}

#[tokio::test]
async fn answers_may_activate_and_deactivate() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"create_users_as_inactive": true})).await;
    written(&site, json!({"pending_user": {"pk": ann}, "prompt_data": {"is_active": false}})).await;
    assert!(!site.account(ann).await.is_active);
    written(&site, json!({"prompt_data": {"username": "zoe", "is_active": true}})).await;
    assert!(site.find_user("zoe").await.unwrap().is_active);
}

#[tokio::test]
async fn parallel_enrolments_of_one_name_make_one_user() {
    let site = site().await;
    flow(&site, json!({"user_creation_mode": "always_create"})).await;
    let mut browsers = Vec::new();
    for _ in 0..8 {
        let mut browser = site.browser();
        browser.get("f", "").await;
        browser.set_context(json!({"prompt_data": {"username": "zoe", "password": "p"}})).await;
        browsers.push(browser);
    }
    let shown = futures_util::future::join_all(browsers.iter_mut().map(|b| b.post("f", "", json!({})))).await;
    let (mut made, mut denied) = (0, 0);
    for challenge in shown {
        match challenge["component"].as_str() {
            Some("ak-stage-dummy") => made += 1,
            _ => {
                assert_denied(&challenge, FAILED);
                denied += 1;
            }
        }
    }
    assert_eq!((made, denied), (1, 7));
}
