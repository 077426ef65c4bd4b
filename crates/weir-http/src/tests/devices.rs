//! Both collections of devices, and the lists over all kinds.

use super::*;
use weir_identity::device::{DeviceKind, static_codes, totp};

async fn app(api: &Api, user_id: i64) -> String {
    let new = totp::NewTotp {
        user_id,
        name: "App".to_owned(),
        secret: b"12345678901234567890".to_vec(),
        digits: 6,
        used_step: -1,
        drift: 0,
    };
    let mut unit = Unit::new(&api.app.site, Actor::system());
    let made = totp::create(&mut unit, new).await.unwrap();
    unit.commit().await.unwrap();
    made.pk
}

async fn paper(api: &Api, user: i64) -> String {
    let mut unit = Unit::new(&api.app.site, Actor::system());
    let codes = ["one".to_owned(), "two".to_owned()];
    let made = static_codes::create(&mut unit, user, "Paper", &codes).await.unwrap();
    unit.commit().await.unwrap();
    made.pk
}

#[tokio::test]
async fn people_see_rename_and_remove_their_own_devices_only() {
    let api = Api::start().await;
    let (ann, bob) = (api.person("ann").await, api.person("bob").await);
    let pk = app(&api, ann.id).await;
    let path = format!("/authenticators/totp/{pk}/");
    let listed = api.get("/authenticators/totp/").key(&ann.key).send().await.expect(200);
    assert_eq!(listed["results"].as_array().map(Vec::len), Some(1));
    let shown = &listed["results"][0];
    assert_eq!((&shown["pk"], &shown["name"]), (&json!(pk.parse::<i64>().unwrap()), &json!("App")));
    assert_eq!((&shown["user"]["pk"], &shown["user"]["username"]), (&json!(ann.id), &json!("ann")));
    assert!(!listed.to_string().contains("GEZDG"), "the secret is nobody's to see");
    let body = json!({"name": "Phone", "user": bob.id, "confirmed": false, "secret": "x", "pk": 99});
    let renamed = api.patch(&path, body).key(&ann.key).send().await.expect(200);
    assert_eq!(
        (&renamed["name"], &renamed["user"]["pk"], &renamed["pk"]),
        (&json!("Phone"), &json!(ann.id), &shown["pk"])
    );
    assert_eq!(api.put(&path, json!({"name": "Again"})).key(&ann.key).send().await.expect(200)["name"], "Again");
    for bad in [json!({"name": ""}), json!({"name": "x".repeat(65)}), json!({"name": null})] {
        api.patch(&path, bad).key(&ann.key).send().await.expect(400);
    }
    assert_eq!(api.get(&format!("{path}used_by/")).key(&ann.key).send().await.expect(200), json!([]));

    // Not even a superuser finds it here.
    for key in [bob.key.as_str(), api.admin.key.as_str()] {
        let listed = api.get("/authenticators/totp/").key(key).send().await.expect(200);
        assert_eq!(listed["results"], json!([]));
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let answer = api.request(method, &path).json(json!({"name": "Stolen"})).key(key).send().await;
            assert_eq!(answer.status, 404, "{method} {}", answer.text);
        }
    }
    assert_eq!(api.delete(&path).key(&ann.key).send().await.status, 204);
    assert_eq!(api.get(&path).key(&ann.key).send().await.status, 404);
}

#[tokio::test]
async fn administrators_see_the_devices_of_all_by_permission_alone() {
    let api = Api::start().await;
    let (ann, bob) = (api.person("ann").await, api.person("bob").await);
    let (first, second) = (app(&api, ann.id).await, app(&api, bob.id).await);
    let admin = "/authenticators/admin/totp/";
    assert_eq!(api.get(admin).key(&ann.key).send().await.status, 403, "owning one is no reason");
    let path = format!("{admin}{first}/");
    for method in ["GET", "PATCH", "DELETE"] {
        let answer = api.request(method, &path).json(json!({"name": "x"})).key(&ann.key).send().await;
        assert_eq!(answer.status, 403, "{method}");
    }
    let model = DeviceKind::Totp.model();
    api.grant(ann.id, &["authentik_stages_authenticator_totp.view_totpdevice"], Some((model, &second))).await;
    assert_eq!(column(&api.get(admin).key(&ann.key).send().await.expect(200), "name"), ["App"]);
    let other = format!("{admin}{second}/");
    assert_eq!(api.get(&path).key(&ann.key).send().await.status, 404);
    assert_eq!(api.get(&other).key(&ann.key).send().await.expect(200)["user"]["username"], "bob");
    assert_eq!(api.patch(&other, json!({"name": "x"})).key(&ann.key).send().await.status, 403);
    api.grant(ann.id, &["authentik_stages_authenticator_totp.view_totpdevice"], None).await;
    assert_eq!(api.get(admin).key(&ann.key).send().await.expect(200)["pagination"]["count"], 2);
    assert_eq!(api.patch(&path, json!({"name": "x"})).key(&ann.key).send().await.status, 403, "not as owner either");
    let listed = api.get(&format!("{admin}?search=app&ordering=-name&page_size=1")).admin().send().await.expect(200);
    assert_eq!(listed["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(api.patch(&other, json!({"name": "y", "user": ann.id})).admin().send().await.expect(200)["name"], "y");
    assert_eq!(api.get(&other).admin().send().await.expect(200)["user"]["pk"], bob.id);
    assert_eq!(api.delete(&other).admin().send().await.status, 204);
    assert_eq!(api.get("/authenticators/totp/").key(&bob.key).send().await.expect(200)["pagination"]["count"], 0);
}

#[tokio::test]
async fn what_an_administrator_makes_is_their_own_and_proves_nothing() {
    let api = Api::start().await;
    for kind in ["duo", "email", "sms", "static", "totp", "webauthn"] {
        let made = api.post(&format!("/authenticators/admin/{kind}/"), json!({"name": "New", "user": 1}));
        let made = made.admin().send().await.expect(201);
        let pk = made["pk"].as_i64().unwrap();
        assert_eq!(api.get(&format!("/authenticators/admin/{kind}/{pk}/")).admin().send().await.expect(200), made);
        let owner = made["user"]["username"].as_str().unwrap();
        assert_eq!(owner, "admin", "{made}");
        let own = api.get(&format!("/authenticators/{kind}/{pk}/")).admin().send().await;
        assert_eq!(own.status, 404, "unconfirmed devices are hidden: {}", own.text);
        assert_eq!(
            api.post(&format!("/authenticators/{kind}/"), json!({"name": "x"})).admin().send().await.status,
            405
        );
        let again = api.post(&format!("/authenticators/admin/{kind}/"), json!({"name": "New"})).admin().send().await;
        assert_eq!(again.status, 201);
    }
    let chosen = "6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11";
    let body = json!({"pk": chosen, "name": "Laptop"});
    let made = api.post("/authenticators/admin/endpoint/", body.clone()).admin().send().await.expect(201);
    assert_eq!(made, body);
    assert_eq!(
        api.post("/authenticators/admin/endpoint/", body).admin().send().await.status,
        400,
        "one key, one device"
    );
    for wrong in [json!({"pk": "x", "name": "Laptop"}), json!({"pk": 5, "name": "Laptop"})] {
        let refused = api.post("/authenticators/admin/endpoint/", wrong).admin().send().await.expect(400);
        assert_eq!(refused, json!({"pk": ["Must be a valid UUID."]}));
    }
    let path = format!("/authenticators/admin/endpoint/{chosen}/");
    let refused = api.patch(&path, json!({"pk": ["x"]})).admin().send().await.expect(400);
    assert_eq!(refused, json!({"pk": ["Must be a valid UUID."]}));
    let other = "6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f12";
    let renamed = api.put(&path, json!({"name": "Desk", "pk": other})).admin().send().await.expect(200);
    assert_eq!(renamed, json!({"pk": chosen, "name": "Desk"}));
    assert_eq!(api.delete(&path).admin().send().await.status, 204);
}

#[tokio::test]
async fn one_list_holds_the_devices_of_all_kinds() {
    let api = Api::start().await;
    let (ann, bob) = (api.person("ann").await, api.person("bob").await);
    let (totp, codes) = (app(&api, ann.id).await, paper(&api, ann.id).await);
    paper(&api, bob.id).await;
    let listed = api.get("/authenticators/all/").key(&ann.key).send().await.expect(200);
    let listed = listed.as_array().unwrap();
    let types: Vec<&str> = listed.iter().map(|d| d["type"].as_str().unwrap()).collect();
    let expected =
        ["authentik_stages_authenticator_static.StaticDevice", "authentik_stages_authenticator_totp.TOTPDevice"];
    assert_eq!(types, expected);
    assert_eq!((&listed[0]["pk"], &listed[1]["pk"]), (&json!(codes), &json!(totp)));
    assert_eq!(
        (&listed[1]["verbose_name"], &listed[1]["verbose_name_plural"]),
        (&json!("TOTP Device"), &json!("TOTP Devices"))
    );
    assert_eq!(listed[1]["meta_model_name"], "authentik_stages_authenticator_totp.totpdevice");
    assert_eq!((&listed[1]["confirmed"], &listed[1]["last_used"]), (&json!(true), &Value::Null));

    let all = format!("/authenticators/admin/all/?user={}", ann.id);
    assert_eq!(api.get(&all).key(&ann.key).send().await.status, 403);
    assert_eq!(api.get(&all).admin().send().await.expect(200).as_array().map(Vec::len), Some(2));
    assert_eq!(api.get("/authenticators/admin/all/").admin().send().await.expect(200), json!([]));
    assert_eq!(api.get("/authenticators/admin/all/?user=99999").admin().send().await.expect(200), json!([]));
    api.get("/authenticators/admin/all/?user=x").admin().send().await.expect(400);
    api.grant(bob.id, &["authentik_stages_authenticator_static.view_staticdevice"], None).await;
    let seen = api.get(&all).key(&bob.key).send().await.expect(200);
    assert_eq!(seen.as_array().map(Vec::len), Some(1), "{seen}");
}

#[tokio::test]
async fn codes_are_shown_to_their_owner_and_their_removal_is_on_record() {
    let api = Api::start().await;
    let ann = api.person("ann").await;
    let pk = paper(&api, ann.id).await;
    let path = format!("/authenticators/static/{pk}/");
    let shown = api.get(&path).key(&ann.key).send().await.expect(200);
    assert_eq!(shown["token_set"], json!([{"token": "one"}, {"token": "two"}]));
    assert_eq!(api.delete(&path).key(&ann.key).send().await.status, 204);
    let events = api.get("/events/events/?ordering=created").admin().send().await.expect(200);
    let actions = column(&events, "action");
    // The contract shows actions of its own kind by their prefix.
    for expected in ["model_created", "custom_", "model_deleted"] {
        assert!(actions.iter().any(|a| a == expected), "{expected} in {actions:?}");
    }
    assert!(!events.to_string().contains("\"one\""), "the codes are on no record");
}

#[tokio::test]
async fn a_device_does_not_take_along_what_belongs_to_a_user_of_the_same_number() {
    let api = Api::start().await;
    let ann = api.person("ann").await;
    let mut device = app(&api, ann.id).await;
    while device.parse::<i64>().unwrap() < ann.id {
        device = app(&api, ann.id).await;
    }
    assert_eq!(device, ann.id.to_string());
    let flow = json!({"slug": "f", "name": "f", "title": "f", "designation": "authentication"});
    let target = api.post("/flows/instances/", flow).admin().send().await.expect(201);
    let binding = json!({"target": target["pk"], "user": ann.id, "order": 0});
    let binding = api.make::<PolicyBinding>(binding).await;
    let path = format!("/authenticators/admin/totp/{device}/");
    let used = api.get(&format!("/authenticators/totp/{device}/used_by/")).key(&ann.key).send().await.expect(200);
    assert_eq!(used, json!([]));
    assert_eq!(api.delete(&path).admin().send().await.status, 204);
    let kept =
        Unit::new(&api.app.site, Actor::system()).find(kind::<PolicyBinding>(&api.app.site).unwrap(), &binding).await;
    assert!(kept.unwrap().is_some());
}

#[tokio::test]
async fn devices_and_documents_are_ordered_by_the_times_they_show() {
    let api = Api::start().await;
    for name in ["first", "second"] {
        api.post("/authenticators/admin/webauthn/", json!({"name": name})).admin().send().await.expect(201);
        api.make::<DummyStage>(json!({"name": name})).await;
        api.clock.advance(TimeDelta::hours(1));
    }
    for list in ["/authenticators/admin/webauthn/?ordering=created_on", "/stages/dummy/?ordering=created"] {
        let up = api.get(list).admin().send().await.expect(200);
        assert_eq!(column(&up, "name"), ["first", "second"], "{list}");
        let down = api.get(&list.replace('=', "=-")).admin().send().await.expect(200);
        assert_eq!(column(&down, "name"), ["second", "first"], "{list}");
    }
    let first = api.get("/stages/dummy/?name=first").admin().send().await.expect(200);
    let path = format!("/stages/dummy/{}/", first["results"][0]["pk"].as_str().unwrap());
    api.patch(&path, json!({"throw_error": true})).admin().send().await.expect(200);
    let changed = api.get("/stages/dummy/?ordering=-last_updated").admin().send().await.expect(200);
    assert_eq!(column(&changed, "name"), ["first", "second"]);
}
