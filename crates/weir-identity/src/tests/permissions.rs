//! What users may do, and what they may give away.

use super::*;
use crate::permission::Assignment;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

#[tokio::test]
async fn rights_come_from_own_roles_and_those_of_groups_and_ancestors() {
    let f = fixture().await;
    let role = f.make::<Role>(json!({"name": "r"})).await.pk;
    let top = f.make::<Group>(json!({"name": "top", "roles": [role]})).await.pk;
    let low = f.make::<Group>(json!({"name": "low", "parents": [top]})).await.pk;
    let ann = f.make::<User>(json!({"username": "ann", "name": "", "groups": [low]})).await.int_pk();
    let mut unit = Unit::new(&f.site, acting(None));
    let global = Assignment { permissions: names(&["authentik_core.view_group"]), ..Default::default() };
    let ids = permission::assign(&mut unit, &role, &global).await.unwrap();
    assert_eq!(permission::assign(&mut unit, &role, &global).await.unwrap(), ids);
    let single = Assignment {
        permissions: names(&["view_user", "authentik_core.change_user"]),
        model: Some("authentik_core.user".to_owned()),
        object_pk: Some(ann.to_string()),
    };
    permission::assign(&mut unit, &role, &single).await.unwrap();
    unit.commit().await.unwrap();
    let grants = Grants::load(&*f.db, ann).await.unwrap();
    let own = ann.to_string();
    assert!(grants.may("authentik_core.view_group", None));
    assert!(grants.may("authentik_core.change_user", Some(&own)));
    assert!(!grants.may("authentik_core.change_user", None));
    assert!(!grants.may("authentik_core.change_user", Some("999")));
    let visible = |kind: &'static weir_core::ResourceType| grants.visible(kind, ann);
    assert_eq!(visible(kind::<Group>(&f.site).unwrap()), Some(Visible::All));
    assert_eq!(visible(kind::<User>(&f.site).unwrap()), Some(Visible::Some { owner: ann, keys: vec![own] }));
    assert_eq!(visible(kind::<Token>(&f.site).unwrap()), Some(Visible::Some { owner: ann, keys: vec![] }));
    assert_eq!(visible(kind::<Brand>(&f.site).unwrap()), None);
    f.patch::<User>(&ann.to_string(), json!({"is_active": false})).await;
    let inactive = Grants::load(&*f.db, ann).await.unwrap();
    assert!(!inactive.may("authentik_core.view_group", None));
    assert_eq!(inactive.visible(kind::<Token>(&f.site).unwrap(), ann), None);
    assert_eq!(Grants::load(&*f.db, 999).await.unwrap(), Grants::none());
}

#[tokio::test]
async fn superusers_may_everything_and_outposts_see_empty_lists() {
    let f = fixture().await;
    let boss = f.admin().await;
    let grants = Grants::load(&*f.db, boss).await.unwrap();
    assert!(grants.superuser && grants.may("anything.at_all", None));
    f.patch::<User>(&boss.to_string(), json!({"is_active": false})).await;
    assert!(!Grants::load(&*f.db, boss).await.unwrap().may("anything.at_all", None));
    let body = json!({"username": "o", "name": "", "type": "internal_service_account"});
    let outpost = f.make::<User>(body).await.int_pk();
    let visible = Grants::load(&*f.db, outpost).await.unwrap().visible(kind::<Brand>(&f.site).unwrap(), outpost);
    assert_eq!(visible, Some(Visible::Some { owner: outpost, keys: vec![] }));
}

#[tokio::test]
async fn unknown_permissions_models_and_objects_are_refused() {
    let f = fixture().await;
    let role = f.make::<Role>(json!({"name": "r"})).await.pk;
    let ann = f.user("ann").await;
    let refused = async |permissions: &[&str], model: Option<&str>, object: Option<&str>| {
        let mut unit = Unit::new(&f.site, acting(None));
        let wanted = Assignment {
            permissions: names(permissions),
            model: model.map(str::to_owned),
            object_pk: object.map(str::to_owned),
        };
        let error = permission::assign(&mut unit, &role, &wanted).await.err().unwrap();
        assert_eq!(error.status(), 400);
        let body = error.body();
        body.as_object().unwrap().keys().next().unwrap().clone()
    };
    assert_eq!(refused(&["authentik_core.fly_user"], None, None).await, "permissions");
    assert_eq!(refused(&["view_user"], None, None).await, "permissions");
    assert_eq!(refused(&["authentik_core.view_group"], Some("authentik_core.user"), None).await, "permissions");
    assert_eq!(refused(&["authentik_core.view_user"], Some("authentik_core.ghost"), None).await, "model");
    assert_eq!(refused(&["view_user"], Some("authentik_core.user"), Some("999")).await, "object_pk");
    assert_eq!(refused(&["authentik_core.view_user"], None, Some(&ann.to_string())).await, "model");
    let mut unit = Unit::new(&f.site, acting(None));
    let nothing = Assignment::default();
    assert_eq!(permission::assign(&mut unit, "nonsense", &nothing).await.err().unwrap().status(), 404);
}

#[tokio::test]
async fn nobody_gives_permissions_they_do_not_hold() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let role = f.make::<Role>(json!({"name": "r"})).await.pk;
    f.grant(ann, &["authentik_core.view_user", "authentik_rbac.assign_role_permissions"]).await;
    let assign = async |actor: Option<i64>, permission: &str| {
        let mut unit = Unit::new(&f.site, acting(actor));
        let wanted = Assignment { permissions: names(&[permission]), ..Default::default() };
        permission::assign(&mut unit, &role, &wanted).await?;
        unit.commit().await
    };
    assign(Some(ann), "authentik_core.view_user").await.unwrap();
    assert_eq!(assign(Some(ann), "authentik_core.delete_user").await.err().unwrap().status(), 400);
    assign(None, "authentik_core.delete_user").await.unwrap();
    // The role now holds more than ann does, so she cannot hand it out, in any way.
    let bob = f.user("bob").await.to_string();
    assert!(f.try_patch::<User>(Some(ann), &bob, json!({"roles": [role]})).await.is_err());
    assert!(f.try_make::<Group>(Some(ann), json!({"name": "g", "roles": [role]})).await.is_err());
    let holder = f.make::<Group>(json!({"name": "holder", "roles": [role]})).await.pk;
    assert!(f.try_patch::<User>(Some(ann), &bob, json!({"groups": [holder]})).await.is_err());
    assert!(f.try_patch::<Group>(Some(ann), &holder, json!({"users": [ann]})).await.is_err());
    assert!(f.try_make::<Group>(Some(ann), json!({"name": "child", "parents": [holder]})).await.is_err());
    let mut unit = Unit::new(&f.site, acting(Some(ann)));
    assert!(group::set_user(&mut unit, &holder, ann, true).await.is_err());
    drop(unit);
    // What does not confer anything stays possible.
    f.try_patch::<Group>(Some(ann), &holder, json!({"name": "renamed"})).await.unwrap();
    f.grant(ann, &["authentik_core.delete_user"]).await;
    f.try_patch::<User>(Some(ann), &bob, json!({"roles": [role], "groups": [holder]})).await.unwrap();
}

#[tokio::test]
async fn superuser_status_is_given_and_taken_only_with_the_permission() {
    let f = fixture().await;
    let boss = f.admin().await;
    let ann = f.user("ann").await;
    let group = f.make::<Group>(json!({"name": "g"})).await.pk;
    let error = f.try_patch::<Group>(Some(ann), &group, json!({"is_superuser": true})).await.err().unwrap();
    assert_eq!(
        texts(error),
        json!({"is_superuser": ["User does not have permission to set superuser status to True."]})
    );
    assert!(f.try_make::<Group>(Some(ann), json!({"name": "h", "is_superuser": true})).await.is_err());
    let root = f.make::<Group>(json!({"name": "root", "is_superuser": true})).await.pk;
    let error = f.try_patch::<Group>(Some(ann), &root, json!({"is_superuser": false})).await.err().unwrap();
    assert_eq!(
        texts(error),
        json!({"is_superuser": ["User does not have permission to set superuser status to False."]})
    );
    // Neither by joining nor by going under it.
    assert!(f.try_patch::<User>(Some(ann), &ann.to_string(), json!({"groups": [root]})).await.is_err());
    assert!(f.try_patch::<Group>(Some(ann), &root, json!({"users": [ann]})).await.is_err());
    assert!(f.try_patch::<Group>(Some(ann), &group, json!({"parents": [root]})).await.is_err());
    f.grant(ann, &["authentik_core.enable_group_superuser", "authentik_core.disable_group_superuser"]).await;
    f.try_patch::<Group>(Some(ann), &group, json!({"is_superuser": true})).await.unwrap();
    f.try_patch::<Group>(Some(ann), &group, json!({"is_superuser": false})).await.unwrap();
    f.try_patch::<Group>(Some(boss), &group, json!({"is_superuser": true, "users": [ann]})).await.unwrap();
    assert!(membership::is_superuser(&*f.db, ann).await.unwrap());
}

#[tokio::test]
async fn new_objects_get_initial_permissions() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let role = f.make::<Role>(json!({"name": "makers"})).await.pk;
    f.patch::<User>(&ann.to_string(), json!({"roles": [role]})).await;
    let id = |name: &str| permission::number(name);
    let wanted = [id("authentik_core.change_group"), id("authentik_core.view_user")];
    let rule = f.make::<InitialPermissions>(json!({"name": "i", "role": role, "permissions": wanted})).await;
    let shown = f.answers::<InitialPermissions>(&[], None).await.unwrap();
    assert_eq!(shown[0]["permissions_obj"].as_array().unwrap().len(), 2);
    assert_eq!(shown[0]["pk"], rule.int_pk());
    let error = f.try_make::<InitialPermissions>(None, json!({"name": "j", "role": role, "permissions": [1]})).await;
    assert_eq!(error.err().unwrap().status(), 400);
    assert!(
        f.try_make::<InitialPermissions>(Some(ann), json!({"name": "k", "role": role, "permissions": wanted}))
            .await
            .is_err()
    );
    let mut unit = Unit::new(&f.site, acting(Some(ann)));
    let made = unit.create(kind::<Group>(&f.site).unwrap(), &map(json!({"name": "g"})), None).await.unwrap();
    initial::apply(&mut unit, &made).await.unwrap();
    unit.commit().await.unwrap();
    let grants = Grants::load(&*f.db, ann).await.unwrap();
    assert!(grants.may("authentik_core.change_group", Some(&made.pk)));
    assert!(!grants.objects.contains_key("authentik_core.view_user"));
    f.remove::<Group>(&made.pk).await;
    assert!(Grants::load(&*f.db, ann).await.unwrap().objects.is_empty());
}

#[tokio::test]
async fn what_roles_were_given_is_shown_by_model_and_by_role() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let (one, two) = (f.make::<Role>(json!({"name": "one"})).await.pk, f.make::<Role>(json!({"name": "two"})).await.pk);
    let mut unit = Unit::new(&f.site, acting(None));
    let global = Assignment { permissions: names(&["authentik_core.view_user"]), ..Default::default() };
    permission::assign(&mut unit, &one, &global).await.unwrap();
    let single = Assignment {
        permissions: names(&["impersonate"]),
        model: Some("authentik_core.user".to_owned()),
        object_pk: Some(ann.to_string()),
    };
    permission::assign(&mut unit, &two, &single).await.unwrap();
    let shown = permission::objects_of_role(&mut unit, Some(&two)).await.unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["object_description"], "ann");
    assert_eq!(shown[0]["object_pk"], ann.to_string());
    assert_eq!(permission::objects_of_role(&mut unit, None).await.unwrap().len(), 1);
    unit.commit().await.unwrap();
    let on = async |pk: Option<&str>| {
        let found = permission::on_model(&*f.db, &f.site.registry, "authentik_core.user", pk).await.unwrap();
        found.iter().map(permission::assigned_view).collect::<Vec<Value>>()
    };
    let all = on(None).await;
    assert_eq!((&all[0]["name"], &all[1]["name"]), (&json!("one"), &json!("two")));
    assert_eq!(all[0]["model_permissions"][0]["codename"], "view_user");
    assert_eq!(all[1]["object_permissions"][0]["codename"], "impersonate");
    assert_eq!(on(Some("999")).await.len(), 1);
    assert_eq!(permission::global_of_role(&*f.db, &one).await.unwrap(), ["authentik_core.view_user".to_owned()].into());
    let mut unit = Unit::new(&f.site, acting(None));
    permission::unassign(&mut unit, &two, &single).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(on(None).await.len(), 1);
}
