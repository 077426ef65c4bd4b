//! All stages, all policies.

use super::*;

#[tokio::test]
async fn all_stages_stand_in_one_list_with_what_they_share() {
    let api = Api::start().await;
    let dummy = api.make::<DummyStage>(json!({"name": "b"})).await;
    api.make::<DenyStage>(json!({"name": "a"})).await;
    let all = api.get("/stages/all/").admin().send().await.expect(200);
    assert_eq!(column(&all, "name"), ["a", "b"]);
    assert_eq!(column(&all, "meta_model_name"), [DenyStage::MODEL, DummyStage::MODEL]);
    let one = api.get(&format!("/stages/all/{dummy}/")).admin().send().await.expect(200);
    assert_eq!(one["component"], "ak-stage-dummy-form");
    assert_eq!(api.get(&format!("/stages/all/{dummy}/used_by/")).admin().send().await.expect(200), json!([]));
    assert_eq!(api.delete(&format!("/stages/all/{dummy}/")).admin().send().await.status, 204);
    assert_eq!(api.get(&format!("/stages/all/{dummy}/")).admin().send().await.status, 404);
}

#[tokio::test]
async fn the_list_of_all_stages_shows_only_kinds_that_may_be_seen() {
    let api = Api::start().await;
    let dummy = api.make::<DummyStage>(json!({"name": "b"})).await;
    let deny = api.make::<DenyStage>(json!({"name": "a"})).await;
    assert_eq!(api.get("/stages/all/").user().send().await.status, 403);
    api.grant(api.user.id, &["authentik_stages_dummy.view_dummystage"], None).await;
    let all = api.get("/stages/all/").user().send().await.expect(200);
    assert_eq!(column(&all, "name"), ["b"]);
    assert_eq!(api.get(&format!("/stages/all/{deny}/")).user().send().await.status, 404);
    assert_eq!(api.delete(&format!("/stages/all/{dummy}/")).user().send().await.status, 403);
}

#[tokio::test]
async fn permissions_on_a_family_count_where_all_its_kinds_stand_together() {
    const VIEW: &str = "authentik_flows.view_stage";
    let api = Api::start().await;
    let dummy = api.make::<DummyStage>(json!({"name": "b"})).await;
    let deny = api.make::<DenyStage>(json!({"name": "a"})).await;
    let offered = api.get("/rbac/permissions/?codename=view_stage").admin().send().await.expect(200);
    assert_eq!(column(&offered, "model_verbose"), ["Stage"]);
    // On one object, of whatever kind.
    api.grant(api.user.id, &[VIEW], Some(("authentik_flows.stage", &deny))).await;
    let seen = api.get("/stages/all/").user().send().await.expect(200);
    assert_eq!(column(&seen, "name"), ["a"]);
    assert_eq!(api.get(&format!("/stages/all/{deny}/")).user().send().await.status, 200);
    assert_eq!(api.get(&format!("/stages/all/{dummy}/")).user().send().await.status, 404);
    assert_eq!(api.get(&format!("/stages/deny/{deny}/")).user().send().await.status, 403, "it is of the family only");
    let entries = api.get("/rbac/permissions/roles/").admin().send().await.expect(200);
    assert_eq!(column(&entries, "object_description"), ["a"]);
    // Beside a kind that may be seen.
    api.grant(api.user.id, &["authentik_stages_dummy.view_dummystage"], None).await;
    let seen = api.get("/stages/all/").user().send().await.expect(200);
    assert_eq!(column(&seen, "name"), ["a", "b"]);
    assert_eq!(api.delete(&format!("/stages/all/{deny}/")).user().send().await.status, 403);
    // On all, and to remove.
    api.grant(api.user.id, &["authentik_flows.delete_stage"], None).await;
    assert_eq!(api.delete(&format!("/stages/all/{deny}/")).user().send().await.status, 204);
    let other = api.make::<DenyStage>(json!({"name": "c"})).await;
    assert_eq!(api.get(&format!("/stages/all/{other}/")).user().send().await.status, 404);
    api.grant(api.user.id, &[VIEW], None).await;
    let seen = api.get("/stages/all/").user().send().await.expect(200);
    assert_eq!(column(&seen, "name"), ["b", "c"]);
}

#[tokio::test]
async fn nobody_gives_a_permission_on_a_family_without_having_it() {
    let api = Api::start().await;
    let stage = api.make::<DummyStage>(json!({"name": "b"})).await;
    let role = api.make::<Role>(json!({"name": "helpers"})).await;
    let rights = ["authentik_rbac.view_role", "authentik_rbac.assign_role_permissions"];
    api.grant(api.user.id, &[&rights[..], &["authentik_stages_dummy.view_dummystage"]].concat(), None).await;
    let path = format!("/rbac/permissions/assigned_by_roles/{role}/assign/");
    let all = json!({"permissions": ["authentik_flows.view_stage"]});
    let one = json!({"permissions": ["view_stage"], "model": "authentik_flows.stage", "object_pk": stage});
    assert_eq!(api.post(&path, all.clone()).user().send().await.status, 400);
    assert_eq!(api.post(&path, one.clone()).user().send().await.status, 400);
    api.grant(api.user.id, &["authentik_flows.view_stage"], Some(("authentik_flows.stage", &stage))).await;
    assert_eq!(api.post(&path, one.clone()).user().send().await.status, 200);
    assert_eq!(api.post(&path, all.clone()).user().send().await.status, 400);
    let model = api.get("/rbac/permissions/assigned_by_roles/?model=authentik_flows.stage").admin().send().await;
    let given = model.expect(200);
    let helpers = given["results"].as_array().unwrap().iter().find(|row| row["name"] == "helpers").unwrap();
    assert_eq!(helpers["object_permissions"][0]["object_pk"], json!(stage));
    // What was given on an object goes with it.
    assert_eq!(api.delete(&format!("/stages/dummy/{stage}/")).admin().send().await.status, 204);
    let left = "SELECT id FROM identity_role_permission WHERE object_id = $1";
    assert!(api.app.site.db.read(left, &[stage.as_str().into()]).await.unwrap().is_empty());
}

#[tokio::test]
async fn types_are_offered_without_those_for_tests() {
    let api = Api::start().await;
    let types = api.get("/stages/all/types/").user().send().await.expect(200);
    assert_eq!(types.as_array().unwrap().len(), 1);
    assert_eq!((&types[0]["name"], &types[0]["description"]), (&json!("Deny Stage"), &json!("Refuses.")));
}

#[tokio::test]
async fn the_policy_cache_needs_its_own_permissions() {
    let api = Api::start().await;
    assert_eq!(api.get("/policies/all/cache_info/").admin().send().await.expect(200), json!({"count": 0}));
    assert_eq!(api.request("POST", "/policies/all/cache_clear/").admin().send().await.status, 204);
    api.grant(api.user.id, &["authentik_policies.view_policy_cache"], None).await;
    assert_eq!(api.get("/policies/all/cache_info/").user().send().await.status, 200);
    assert_eq!(api.request("POST", "/policies/all/cache_clear/").user().send().await.status, 403);
}
