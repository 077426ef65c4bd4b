//! The seven operations and their rules.

use super::*;

#[tokio::test]
async fn an_object_lives_through_all_seven_operations() {
    let api = Api::start().await;
    let made = api.post("/stages/dummy/", json!({"name": "one"})).admin().send().await.expect(201);
    let pk = made["pk"].as_str().unwrap();
    let path = format!("/stages/dummy/{pk}/");
    assert_eq!(made["component"], "ak-stage-dummy-form");
    assert_eq!(api.get(&path).admin().send().await.expect(200), made);
    let listed = api.get("/stages/dummy/?search=one").admin().send().await.expect(200);
    assert_eq!(listed["results"][0], made);
    assert_eq!(listed["pagination"]["count"], 1);
    let patched = api.patch(&path, json!({"throw_error": true})).admin().send().await.expect(200);
    assert_eq!((&patched["name"], &patched["throw_error"]), (&json!("one"), &json!(true)));
    let replaced = api.put(&path, json!({"name": "two"})).admin().send().await.expect(200);
    assert_eq!((&replaced["name"], &replaced["throw_error"]), (&json!("two"), &json!(false)));
    let used = api.get(&format!("{path}used_by/")).admin().send().await.expect(200);
    assert_eq!(used, json!([]));
    assert_eq!(api.delete(&path).admin().send().await.status, 204);
    let gone = api.get(&path).admin().send().await;
    assert_eq!(gone.detail(404), "No Dummy Stage matches the given query.");
    assert_eq!(api.delete(&path).admin().send().await.status, 404);
}

#[tokio::test]
async fn bad_bodies_are_refused_field_by_field() {
    let api = Api::start().await;
    let empty = api.post("/stages/dummy/", json!({})).admin().send().await.expect(400);
    assert_eq!(empty, json!({"name": ["This field is required."]}));
    let blank =
        api.post("/stages/dummy/", json!({"name": " ", "throw_error": "perhaps"})).admin().send().await.expect(400);
    assert_eq!(blank, json!({"name": ["This field may not be blank."], "throw_error": ["Must be a valid boolean."]}));
    let null = api.post("/stages/dummy/", json!({"name": null})).admin().send().await.expect(400);
    assert_eq!(null, json!({"name": ["This field may not be null."]}));
    let list = api.post("/stages/dummy/", json!(["no", "object"])).admin().send().await.expect(400);
    assert_eq!(list, json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}));
    let nul = api.post("/stages/dummy/", json!({"name": "a\u{0}b"})).admin().send().await.expect(400);
    assert_eq!(nul, json!({"name": ["Null characters are not allowed."]}));
    api.make::<DummyStage>(json!({"name": "taken"})).await;
    let taken = api.post("/stages/deny/", json!({"name": "taken"})).admin().send().await.expect(400);
    assert_eq!(taken, json!({"name": ["Deny Stage with this name already exists."]}));
    let reference = json!({"target": "6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11", "order": 0, "stage": "nonsense"});
    let reference = api.post("/flows/bindings/", reference).admin().send().await.expect(400);
    assert_eq!(reference["stage"], json!(["Invalid pk \"nonsense\" - object does not exist."]));
}

#[tokio::test]
async fn a_list_is_paged_ordered_and_filtered() {
    let api = Api::start().await;
    for name in ["c", "a", "b"] {
        api.make::<DummyStage>(json!({"name": name})).await;
    }
    let page = api.get("/stages/dummy/?page_size=2").admin().send().await.expect(200);
    assert_eq!(column(&page, "name"), ["a", "b"]);
    let numbers =
        json!({"next": 2, "previous": 0, "count": 3, "current": 1, "total_pages": 2, "start_index": 1, "end_index": 2});
    assert_eq!(page["pagination"], numbers);
    let page = api.get("/stages/dummy/?page_size=2&page=2&ordering=-name").admin().send().await.expect(200);
    assert_eq!(column(&page, "name"), ["a"]);
    assert_eq!(column(&api.get("/stages/dummy/?name=b").admin().send().await.expect(200), "name"), ["b"]);
    assert_eq!(api.get("/stages/dummy/?page=9").admin().send().await.detail(404), "Invalid page.");
    assert_eq!(api.get("/stages/dummy/?page=x").admin().send().await.detail(404), "Invalid page.");
    let bad = api.get("/stages/dummy/?throw_error=perhaps").admin().send().await.expect(400);
    assert_eq!(bad, json!({"throw_error": ["Must be a valid boolean."]}));
    let ignored =
        api.get("/stages/dummy/?ordering=nothing&unheard=of&page_size=100000").admin().send().await.expect(200);
    assert_eq!(ignored["pagination"]["count"], 3);
    let empty = api.get("/stages/dummy/?search=zzz").admin().send().await.expect(200);
    let none =
        json!({"next": 0, "previous": 0, "count": 0, "current": 1, "total_pages": 1, "start_index": 0, "end_index": 0});
    assert_eq!(empty["pagination"], none);
}

#[tokio::test]
async fn without_any_right_every_operation_answers_403() {
    let api = Api::start().await;
    let pk = api.make::<DummyStage>(json!({"name": "one"})).await;
    let path = format!("/stages/dummy/{pk}/");
    let text = "You do not have permission to perform this action.";
    for request in [
        api.get("/stages/dummy/"),
        api.get(&path),
        api.get(&format!("{path}used_by/")),
        api.post("/stages/dummy/", json!({})),
        api.put(&path, json!({})),
        api.patch(&path, json!({})),
        api.delete(&path),
    ] {
        assert_eq!(request.user().send().await.detail(403), text);
    }
}

#[tokio::test]
async fn a_right_on_one_object_shows_that_object_alone() {
    let api = Api::start().await;
    let one = api.make::<DummyStage>(json!({"name": "one"})).await;
    let two = api.make::<DummyStage>(json!({"name": "two"})).await;
    let model = DummyStage::MODEL;
    api.grant(api.user.id, &["authentik_stages_dummy.view_dummystage"], Some((model, &one))).await;
    let listed = api.get("/stages/dummy/").user().send().await.expect(200);
    assert_eq!(column(&listed, "name"), ["one"]);
    assert_eq!(listed["pagination"]["count"], 1);
    api.get(&format!("/stages/dummy/{one}/")).user().send().await.expect(200);
    // Hidden: as if it did not exist, for reading and for writing.
    let hidden = api.get(&format!("/stages/dummy/{two}/")).user().send().await;
    assert_eq!(hidden.detail(404), "No Dummy Stage matches the given query.");
    assert_eq!(api.delete(&format!("/stages/dummy/{two}/")).user().send().await.status, 404);
    // Seen, but not to be changed; the body is not even looked at.
    let path = format!("/stages/dummy/{one}/");
    assert_eq!(api.patch(&path, json!({"name": ""})).user().send().await.status, 403);
    api.grant(api.user.id, &["authentik_stages_dummy.change_dummystage"], Some((model, &one))).await;
    assert_eq!(api.patch(&path, json!({"name": ""})).user().send().await.status, 400);
    assert_eq!(api.patch(&path, json!({"name": "won"})).user().send().await.status, 200);
    assert_eq!(api.delete(&path).user().send().await.status, 403);
}

#[tokio::test]
async fn a_right_on_all_objects_is_enough() {
    let api = Api::start().await;
    let all = ["view", "add", "change", "delete"].map(|a| format!("authentik_stages_dummy.{a}_dummystage"));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    api.grant(api.user.id, &all, None).await;
    let made = api.post("/stages/dummy/", json!({"name": "mine"})).user().send().await.expect(201);
    let path = format!("/stages/dummy/{}/", made["pk"].as_str().unwrap());
    assert_eq!(api.patch(&path, json!({"name": "still mine"})).user().send().await.status, 200);
    assert_eq!(api.delete(&path).user().send().await.status, 204);
    assert_eq!(api.get("/stages/deny/").user().send().await.status, 403);
}

#[tokio::test]
async fn used_by_names_only_what_the_caller_may_view() {
    let api = Api::start().await;
    let stage = api.make::<DummyStage>(json!({"name": "one"})).await;
    let flow = json!({"name": "f", "slug": "f", "title": "f", "designation": "recovery"});
    let flow = api.post("/flows/instances/", flow).admin().send().await.expect(201);
    let binding = json!({"target": flow["pk"], "stage": stage, "order": 0});
    let binding = api.post("/flows/bindings/", binding).admin().send().await.expect(201);
    let path = format!("/stages/dummy/{stage}/used_by/");
    let used = api.get(&path).admin().send().await.expect(200);
    assert_eq!(used.as_array().unwrap().len(), 1);
    assert_eq!((&used[0]["pk"], &used[0]["action"]), (&binding["pk"], &json!("cascade")));
    api.grant(api.user.id, &["authentik_stages_dummy.view_dummystage"], None).await;
    assert_eq!(api.get(&path).user().send().await.expect(200), json!([]));
}

#[tokio::test]
async fn what_initial_permissions_prescribe_comes_with_a_new_object() {
    let api = Api::start().await;
    let role = api.make::<Role>(json!({"name": "builders"})).await;
    let wanted = ["view", "change"].map(|a| permission::number(&format!("authentik_stages_dummy.{a}_dummystage")));
    let rule = json!({"name": "own", "role": role, "permissions": wanted});
    let rule = api.post("/rbac/initial_permissions/", rule).admin().send().await.expect(201);
    assert_eq!(rule["permissions_obj"].as_array().unwrap().len(), 2);
    api.post(&format!("/rbac/roles/{role}/add_user/"), json!({"pk": api.user.id})).admin().send().await;
    api.grant(api.user.id, &["authentik_stages_dummy.add_dummystage"], None).await;
    let made = api.post("/stages/dummy/", json!({"name": "own"})).user().send().await.expect(201);
    api.make::<DummyStage>(json!({"name": "foreign"})).await;
    let listed = api.get("/stages/dummy/").user().send().await.expect(200);
    assert_eq!(column(&listed, "name"), ["own"]);
    let path = format!("/stages/dummy/{}/", made["pk"].as_str().unwrap());
    assert_eq!(api.patch(&path, json!({"name": "own still"})).user().send().await.status, 200);
    assert_eq!(api.delete(&path).user().send().await.status, 403);
}

#[tokio::test]
async fn everybody_manages_their_own_tokens() {
    let api = Api::start().await;
    let body = json!({"identifier": "mine", "user": api.admin.id, "intent": "api"});
    let made = api.post("/core/tokens/", body).user().send().await.expect(201);
    assert_eq!(made["user"], api.user.id, "the owner is forced to be the caller");
    let listed = api.get("/core/tokens/").user().send().await.expect(200);
    assert_eq!(column(&listed, "identifier"), ["mine", "user-api"]);
    let key = api.get("/core/tokens/mine/view_key/").user().send().await.expect(200);
    let by_new_key = api.get("/core/users/me/").key(key["key"].as_str().unwrap()).send().await.expect(200);
    assert_eq!(by_new_key["user"]["username"], "user");
    assert_eq!(api.get("/core/tokens/admin-api/").user().send().await.status, 404);
    assert_eq!(api.get("/core/tokens/admin-api/view_key/").user().send().await.status, 404);
    assert_eq!(api.patch("/core/tokens/mine/", json!({"description": "d"})).user().send().await.status, 200);
    let moved = api.patch("/core/tokens/mine/", json!({"user": api.admin.id})).user().send().await.expect(400);
    assert_eq!(moved, json!({"user": ["User cannot be changed"]}));
    assert_eq!(api.post("/core/tokens/mine/set_key/", json!({"key": "x"})).user().send().await.status, 403);
    assert_eq!(api.delete("/core/tokens/mine/").user().send().await.status, 204);
}

#[tokio::test]
async fn a_key_set_from_outside_works_and_the_old_one_does_not() {
    let api = Api::start().await;
    let old = api.user.key.clone();
    let new = "a-key-that-somebody-chose-elsewhere";
    assert_eq!(api.post("/core/tokens/user-api/set_key/", json!({"key": new})).admin().send().await.status, 204);
    assert_eq!(api.get("/core/users/me/").key(new).send().await.status, 200);
    assert_eq!(api.get("/core/users/me/").key(&old).send().await.status, 403);
}
