//! Users, groups, service accounts, passwords.

use super::*;

#[tokio::test]
async fn me_tells_who_i_am() {
    let api = Api::start().await;
    let me = api.get("/core/users/me/").admin().send().await.expect(200);
    assert_eq!((&me["user"]["username"], &me["user"]["is_superuser"]), (&json!("admin"), &json!(true)));
    assert_eq!(me["users"].as_array().unwrap().len(), 1);
    let me = api.get("/core/users/me/").user().send().await.expect(200);
    assert_eq!(me["user"]["system_permissions"], json!([]));
}

#[tokio::test]
async fn a_user_lives_through_the_api() {
    let api = Api::start().await;
    let body = json!({"username": "new", "name": "New", "attributes": {"a": 1}});
    let made = api.post("/core/users/", body).admin().send().await.expect(201);
    let path = format!("/core/users/{}/", made["pk"]);
    assert_eq!(made["uid"].as_str().unwrap().len(), 64);
    let changed = api.patch(&path, json!({"email": "new@example.org"})).admin().send().await.expect(200);
    assert_eq!(changed["email"], "new@example.org");
    let bad = api.patch(&path, json!({"email": "nonsense", "path": "/x/"})).admin().send().await.expect(400);
    assert_eq!(bad["email"], json!(["Enter a valid email address."]));
    let taken = api.post("/core/users/", json!({"username": "new", "name": ""})).admin().send().await.expect(400);
    assert!(taken.get("username").is_some(), "{taken}");
    let listed = api.get("/core/users/?attributes=%7B%22a%22%3A1%7D").admin().send().await.expect(200);
    assert_eq!(column(&listed, "username"), ["new"]);
    assert_eq!(api.get("/core/users/?attributes=x").admin().send().await.status, 400);
    assert_eq!(api.delete(&path).admin().send().await.status, 204);
    assert_eq!(api.get(&path).admin().send().await.detail(404), "No User matches the given query.");
}

#[tokio::test]
async fn paths_are_those_of_the_users_one_sees() {
    let api = Api::start().await;
    api.make::<User>(json!({"username": "x", "name": "", "path": "people/x"})).await;
    let paths = api.get("/core/users/paths/").admin().send().await.expect(200);
    assert_eq!(paths, json!({"paths": ["people/x", "users"]}));
    let found = api.get("/core/users/paths/?search=PEOPLE").admin().send().await.expect(200);
    assert_eq!(found, json!({"paths": ["people/x"]}));
    assert_eq!(api.get("/core/users/paths/").user().send().await.status, 403);
}

async fn stored(api: &Api, id: i64) -> String {
    accounts::password_hash(&api.app.site.db, id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_new_password_ends_other_sessions() {
    let api = Api::start().await;
    let path = format!("/core/users/{}/set_password/", api.user.id);
    let (session, own) = (api.sign_in(api.user.id).await, api.sign_in(api.admin.id).await);
    assert_eq!(api.post(&path, json!({"password": ""})).admin().send().await.status, 400);
    assert_eq!(api.post(&path, json!({"password": "x".repeat(5000)})).admin().send().await.status, 400);
    assert_eq!(api.post(&path, json!({"password": " correct horse "})).browser(&own).send().await.status, 204);
    let hash = stored(&api, api.user.id).await;
    let password = weir_crypto::Password::new(" correct horse ").unwrap();
    assert!(api.app.hashes.verify(hash, password).await.unwrap());
    assert_eq!(api.get("/core/users/me/").cookie(&session).send().await.status, 403);
    let mine = format!("/core/users/{}/set_password/", api.admin.id);
    assert_eq!(api.post(&mine, json!({"password": "another one"})).browser(&own).send().await.status, 204);
    assert_eq!(api.get("/core/users/me/").cookie(&own).send().await.status, 200, "the caller's own session stays");
    let events = api.get("/events/events/?action=password_set").admin().send().await.expect(200);
    assert_eq!(events["pagination"]["count"], 2);
    assert!(!events.to_string().contains("correct horse"));
}

#[tokio::test]
async fn a_hash_is_taken_when_it_can_be_read() {
    let api = Api::start().await;
    let path = format!("/core/users/{}/set_password_hash/", api.user.id);
    let bad = api.post(&path, json!({"password": "nonsense"})).admin().send().await.expect(400);
    assert!(bad.get("password").is_some());
    let hash = format!("pbkdf2_sha256$1000$c2FsdA$A{}=", "A".repeat(42));
    assert_eq!(api.post(&path, json!({"password": hash})).admin().send().await.status, 204);
    assert_eq!(stored(&api, api.user.id).await, hash);
}

#[tokio::test]
async fn resetting_a_password_does_not_lead_to_higher_rights() {
    let api = Api::start().await;
    let permissions = ["authentik_core.view_user", "authentik_core.reset_user_password"];
    api.grant(api.user.id, &permissions, None).await;
    let third = api.person("third").await;
    let path = |id: i64| format!("/core/users/{id}/set_password/");
    let body = || json!({"password": "whatever it is"});
    assert_eq!(api.post(&path(third.id), body()).user().send().await.status, 204);
    assert_eq!(api.post(&path(api.admin.id), body()).user().send().await.status, 403);
    api.grant(third.id, &["authentik_core.delete_user"], None).await;
    assert_eq!(api.post(&path(third.id), body()).user().send().await.status, 403);
}

#[tokio::test]
async fn a_service_account_comes_with_its_password_and_group() {
    let api = Api::start().await;
    let body = json!({"name": "robot", "create_group": true});
    let made = api.post("/core/users/service_account/", body).admin().send().await.expect(200);
    assert_eq!(made["username"], "robot");
    let user = api.get(&format!("/core/users/{}/", made["user_pk"])).admin().send().await.expect(200);
    assert_eq!((&user["type"], &user["path"]), (&json!("service_account"), &json!("goauthentik.io/service-accounts")));
    assert_eq!(user["uid"], made["user_uid"]);
    assert_eq!(user["groups"], json!([made["group_pk"]]));
    let token = api.get("/core/tokens/service-account-robot-password/").admin().send().await.expect(200);
    assert_eq!((&token["intent"], &token["expiring"]), (&json!("app_password"), &json!(true)));
    // An app password is no key of the interface.
    assert_eq!(api.get("/core/users/me/").key(made["token"].as_str().unwrap()).send().await.status, 403);
    let again = api.post("/core/users/service_account/", json!({"name": "robot"})).admin().send().await.expect(400);
    assert!(again.get("non_field_errors").is_some(), "{again}");
    let endless = json!({"name": "endless", "expiring": false});
    api.post("/core/users/service_account/", endless).admin().send().await.expect(200);
    let token = api.get("/core/tokens/service-account-endless-password/").admin().send().await.expect(200);
    assert_eq!((&token["expires"], &token["expiring"]), (&Value::Null, &json!(false)));
}

#[tokio::test]
async fn members_come_and_go() {
    let api = Api::start().await;
    let group = api.make::<Group>(json!({"name": "team"})).await;
    let path = |action: &str| format!("/core/groups/{group}/{action}/");
    let body = json!({"pk": api.user.id});
    assert_eq!(api.post(&path("add_user"), body.clone()).admin().send().await.status, 204);
    let shown = api.get(&format!("/core/groups/{group}/")).admin().send().await.expect(200);
    assert_eq!(shown["users"], json!([api.user.id]));
    assert_eq!(api.post(&path("remove_user"), body.clone()).admin().send().await.status, 204);
    assert_eq!(api.post(&path("add_user"), json!({"pk": 4711})).admin().send().await.status, 404);
    assert_eq!(api.post(&path("add_user"), json!({})).admin().send().await.status, 400);
    assert_eq!(api.post(&path("add_user"), body).user().send().await.status, 403);
}

#[tokio::test]
async fn nobody_fills_a_superuser_group_without_the_right_to_make_one() {
    let api = Api::start().await;
    let group = api.make::<Group>(json!({"name": "gods", "is_superuser": true})).await;
    let permissions = ["view_user", "view_group", "add_user_to_group", "change_user", "change_group"];
    let permissions = permissions.map(|p| format!("authentik_core.{p}"));
    let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
    api.grant(api.user.id, &permissions, None).await;
    let body = json!({"pk": api.user.id});
    let refused = api.post(&format!("/core/groups/{group}/add_user/"), body).user().send().await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let own = api.patch(&format!("/core/users/{}/", api.user.id), json!({"groups": [group]})).user().send().await;
    assert_eq!(own.status, 400, "{}", own.text);
    let me = api.get("/core/users/me/").user().send().await.expect(200);
    assert_eq!(me["user"]["is_superuser"], false);
}

#[tokio::test]
async fn switching_and_lockdown_say_that_they_are_not_set_up() {
    let api = Api::start().await;
    let off = api.post("/core/users/switch/", json!({})).user().send().await.expect(400);
    assert_eq!(off, json!({"non_field_errors": ["User switching is disabled."]}));
    let off = api.post("/core/users/account_lockdown/", json!({})).user().send().await.expect(400);
    assert_eq!(off, json!({"non_field_errors": ["No lockdown flow configured."]}));
    let other = json!({"user": api.admin.id});
    assert_eq!(api.post("/core/users/account_lockdown/", other).user().send().await.status, 403);
}
