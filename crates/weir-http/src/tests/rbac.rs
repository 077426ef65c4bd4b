//! Permissions and roles.

use super::*;

#[tokio::test]
async fn permissions_are_listed_and_filtered() {
    let api = Api::start().await;
    let found = api.get("/rbac/permissions/?codename=view_user").admin().send().await.expect(200);
    assert_eq!(found["pagination"]["count"], 1);
    let id = &found["results"][0]["id"];
    let one = api.get(&format!("/rbac/permissions/{id}/")).admin().send().await.expect(200);
    assert_eq!((&one["app_label"], &one["model"]), (&json!("authentik_core"), &json!("user")));
    assert_eq!(api.get("/rbac/permissions/1/").admin().send().await.status, 404);
    assert_eq!(api.get("/rbac/permissions/nonsense/").admin().send().await.status, 404);
    assert_eq!(api.get("/rbac/permissions/?page=1000000").admin().send().await.status, 404);
    assert_eq!(api.get("/rbac/permissions/?role=nonsense").admin().send().await.status, 400);
    let ordered = api.get("/rbac/permissions/?content_type__model=user&ordering=-codename").admin().send().await;
    let names = column(&ordered.expect(200), "codename");
    assert!(names.windows(2).all(|w| w[0] >= w[1]), "{names:?}");
}

#[tokio::test]
async fn permissions_are_given_and_taken() {
    let api = Api::start().await;
    let role = api.make::<Role>(json!({"name": "viewers"})).await;
    let base = "/rbac/permissions/assigned_by_roles/";
    let assign = format!("{base}{role}/assign/");
    let body = json!({"permissions": ["authentik_core.view_user"]});
    let given = api.post(&assign, body.clone()).admin().send().await.expect(200);
    assert_eq!(given.as_array().unwrap().len(), 1);
    let pk = api.user.id.to_string();
    let one = json!({"permissions": ["authentik_core.change_user"], "model": "authentik_core.user", "object_pk": pk});
    api.post(&assign, one).admin().send().await.expect(200);
    let all = api.get(&format!("{base}?model=authentik_core.user")).admin().send().await.expect(200);
    let entry = &all["results"][0];
    assert_eq!(entry["model_permissions"][0]["codename"], "view_user");
    assert_eq!(entry["object_permissions"][0]["object_pk"], pk.as_str());
    assert_eq!(api.get(base).admin().send().await.expect(400), json!({"model": ["This field is required."]}));
    assert_eq!(api.get(&format!("{base}?model=nonsense")).admin().send().await.status, 400);
    let named = api.get(&format!("/rbac/permissions/roles/?uuid={role}")).admin().send().await.expect(200);
    assert_eq!(named["results"][0]["object_description"], "user");
    let bad = json!({"permissions": ["authentik_core.eat_user"]});
    assert_eq!(api.post(&assign, bad).admin().send().await.status, 400);
    let unassign = format!("{base}{role}/unassign/");
    assert_eq!(api.patch(&unassign, body).admin().send().await.status, 204);
    let all = api.get(&format!("{base}?model=authentik_core.user")).admin().send().await.expect(200);
    assert_eq!(all["results"][0]["model_permissions"], json!([]));
}

#[tokio::test]
async fn whoever_sees_one_role_sees_what_it_was_given_and_no_more() {
    let api = Api::start().await;
    let (mine, other) =
        (api.make::<Role>(json!({"name": "mine"})).await, api.make::<Role>(json!({"name": "other"})).await);
    let base = "/rbac/permissions/assigned_by_roles/";
    for role in [&mine, &other] {
        let body = json!({"permissions": ["authentik_core.view_user"], "model": "authentik_core.user",
                          "object_pk": api.user.id.to_string()});
        api.post(&format!("{base}{role}/assign/"), body).admin().send().await.expect(200);
    }
    let lists = [format!("{base}?model=authentik_core.user"), "/rbac/permissions/roles/".to_owned()];
    for list in &lists {
        assert_eq!(api.get(list).user().send().await.status, 403, "{list}");
    }
    api.grant(api.user.id, &["authentik_rbac.view_role"], Some(("authentik_rbac.role", &mine))).await;
    let given = api.get(&lists[0]).user().send().await.expect(200);
    assert_eq!(column(&given, "name"), ["mine"]);
    let given = api.get(&lists[1]).user().send().await.expect(200);
    assert_eq!(given["pagination"]["count"], 1);
    assert_eq!(given["results"][0]["object_description"], Value::Null, "the object itself is not theirs to see");
    let theirs = api.get(&format!("{}?uuid={other}", lists[1])).user().send().await.expect(200);
    assert_eq!(theirs["pagination"]["count"], 0);
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let api = Api::start().await;
    let role = api.make::<Role>(json!({"name": "mine"})).await;
    let rights = ["authentik_rbac.view_role", "authentik_rbac.assign_role_permissions", "authentik_rbac.change_role"];
    api.grant(api.user.id, &rights, None).await;
    let assign = format!("/rbac/permissions/assigned_by_roles/{role}/assign/");
    let more = api.post(&assign, json!({"permissions": ["authentik_core.delete_user"]})).user().send().await;
    assert_eq!(more.status, 400, "{}", more.text);
    let held = api.post(&assign, json!({"permissions": ["authentik_rbac.view_role"]})).user().send().await;
    assert_eq!(held.status, 200, "{}", held.text);
    let take = api.patch(&format!("/rbac/permissions/assigned_by_roles/{role}/unassign/"), json!({"permissions": []}));
    assert_eq!(take.user().send().await.status, 403);
}

#[tokio::test]
async fn a_role_gains_and_loses_users() {
    let api = Api::start().await;
    let role = api.make::<Role>(json!({"name": "viewers"})).await;
    let body = json!({"pk": api.user.id});
    assert_eq!(api.post(&format!("/rbac/roles/{role}/add_user/"), body.clone()).admin().send().await.status, 204);
    let listed = api.get(&format!("/rbac/roles/?users={}", api.user.id)).admin().send().await.expect(200);
    assert_eq!(column(&listed, "name"), ["viewers"]);
    assert_eq!(api.post(&format!("/rbac/roles/{role}/remove_user/"), body.clone()).admin().send().await.status, 204);
    let user = api.get(&format!("/core/users/{}/", api.user.id)).admin().send().await.expect(200);
    assert_eq!(user["roles"], json!([]));
    assert_eq!(api.post(&format!("/rbac/roles/{role}/add_user/"), body).user().send().await.status, 403);
}
