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
