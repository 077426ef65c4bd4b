//! Membership over the hierarchy, answers and lists of groups, roles.

use super::*;
use uuid::Uuid;

#[tokio::test]
async fn members_of_descendants_are_members_and_superusers() {
    let f = fixture().await;
    let root = f.make::<Group>(json!({"name": "root", "is_superuser": true, "attributes": {"a": 1, "b": 1}})).await.pk;
    let mid = f.make::<Group>(json!({"name": "mid", "parents": [root], "attributes": {"b": 2}})).await.pk;
    let leaf = f.make::<Group>(json!({"name": "leaf", "parents": [mid]})).await.pk;
    let side = f.make::<Group>(json!({"name": "side"})).await.pk;
    let ann =
        f.make::<User>(json!({"username": "ann", "name": "", "groups": [leaf], "attributes": {"c": 3}})).await.int_pk();
    let bob = f.user("bob").await;
    let id = |text: &str| Uuid::parse_str(text).unwrap();
    assert!(membership::is_superuser(&*f.db, ann).await.unwrap());
    assert!(!membership::is_superuser(&*f.db, bob).await.unwrap());
    assert_eq!(membership::superusers_among(&*f.db, &[ann, bob]).await.unwrap(), [ann].into());
    assert!(membership::is_member(&*f.db, ann, id(&root)).await.unwrap());
    assert!(!membership::is_member(&*f.db, ann, id(&side)).await.unwrap());
    assert!(membership::is_member_by_name(&*f.db, ann, "mid").await.unwrap());
    let names: Vec<String> = membership::groups_of(&*f.db, ann).await.unwrap().into_iter().map(|g| g.name).collect();
    assert_eq!(names, ["leaf", "mid", "root"]);
    assert_eq!(membership::direct_groups(&*f.db, ann).await.unwrap().len(), 1);
    let own = f.account(ann).await.attributes;
    let brand = map(json!({"z": 0, "a": 0}));
    let merged = membership::group_attributes(&*f.db, ann, &own, &brand).await.unwrap();
    // By name: leaf, mid, root.
    assert_eq!(merged, map(json!({"z": 0, "a": 1, "b": 1, "c": 3})));
    assert_eq!(membership::group_by_name(&*f.db, "mid").await.unwrap().unwrap().id, id(&mid));
    assert_eq!(membership::group_by_id(&*f.db, id(&mid)).await.unwrap().unwrap().name, "mid");
}

#[tokio::test]
async fn cycles_are_refused() {
    let f = fixture().await;
    let a = f.make::<Group>(json!({"name": "a"})).await.pk;
    let b = f.make::<Group>(json!({"name": "b", "parents": [a]})).await.pk;
    let c = f.make::<Group>(json!({"name": "c", "parents": [b]})).await.pk;
    for parent in [&a, &b, &c] {
        let error = f.try_patch::<Group>(None, &a, json!({"parents": [parent]})).await.err().unwrap();
        assert_eq!(texts(error), json!({"parents": ["A group cannot be its own ancestor."]}));
    }
    f.patch::<Group>(&c, json!({"parents": [a, b]})).await;
}

#[tokio::test]
async fn answers_show_relatives_when_asked() {
    let f = fixture().await;
    let role = f.make::<Role>(json!({"name": "r"})).await.pk;
    let ann = f.user("ann").await;
    let top = f.make::<Group>(json!({"name": "a-top", "roles": [role]})).await.pk;
    let low = f.make::<Group>(json!({"name": "b-low", "parents": [top], "users": [ann]})).await.pk;
    let plain = f.answers::<Group>(&[], None).await.unwrap();
    assert_eq!(plain[0]["children"], json!([low]));
    assert_eq!(plain[0]["children_obj"], Value::Null);
    assert_eq!(plain[0]["roles_obj"], json!([{"pk": role, "name": "r"}]));
    assert_eq!(plain[1]["users_obj"][0]["username"], "ann");
    assert_eq!(plain[1]["inherited_roles_obj"], Value::Null);
    assert_eq!(plain[1]["num_pk"].as_i64().unwrap().to_string().len(), 5);
    let digits = Uuid::parse_str(&low).unwrap().as_u128().to_string();
    assert!(digits.starts_with(&plain[1]["num_pk"].to_string()));
    let query = [
        ("include_users", "false"),
        ("include_parents", "true"),
        ("include_children", "true"),
        ("include_inherited_roles", "true"),
    ];
    let full = f.answers::<Group>(&query, None).await.unwrap();
    assert_eq!(full[0]["children_obj"][0]["group_uuid"], json!(low));
    assert_eq!(full[0]["inherited_roles_obj"], json!([]));
    assert_eq!(full[1]["parents_obj"][0]["name"], "a-top");
    assert_eq!(full[1]["users_obj"], Value::Null);
    assert_eq!(full[1]["inherited_roles_obj"], json!([{"pk": role, "name": "r"}]));
}

#[tokio::test]
async fn groups_are_listed_by_members_and_attributes() {
    let f = fixture().await;
    let (ann, bob) = (f.user("ann").await, f.user("bob").await);
    f.make::<Group>(json!({"name": "a", "users": [ann], "attributes": {"x": "1"}})).await;
    f.make::<Group>(json!({"name": "b", "users": [bob], "is_superuser": true})).await;
    f.make::<Group>(json!({"name": "c"})).await;
    let names = async |query: &[(&str, &str)]| f.list::<Group>(query, "name").await.unwrap();
    assert_eq!(names(&[("members_by_pk", &ann.to_string())]).await, ["a"]);
    assert_eq!(names(&[("members_by_username", "ann"), ("members_by_username", "bob")]).await, ["a", "b"]);
    assert_eq!(names(&[("is_superuser", "true")]).await, ["b"]);
    assert_eq!(names(&[("attributes", r#"{"x": "1"}"#)]).await, ["a"]);
    assert_eq!(f.list::<Group>(&[("members_by_pk", "x")], "name").await.err().unwrap().status(), 400);
}

#[tokio::test]
async fn members_are_added_and_removed_one_by_one_with_an_event() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let group = f.make::<Group>(json!({"name": "g"})).await.pk;
    let role = f.make::<Role>(json!({"name": "r"})).await.pk;
    let mut unit = Unit::new(&f.site, acting(None));
    group::set_user(&mut unit, &group, ann, true).await.unwrap();
    group::set_user(&mut unit, &group, ann, true).await.unwrap();
    role::set_user(&mut unit, &role, ann, true).await.unwrap();
    unit.commit().await.unwrap();
    assert!(membership::is_member_by_name(&*f.db, ann, "g").await.unwrap());
    assert_eq!(f.list::<Role>(&[("users", &ann.to_string())], "name").await.unwrap(), ["r"]);
    let mut unit = Unit::new(&f.site, acting(None));
    group::set_user(&mut unit, &group, ann, false).await.unwrap();
    role::set_user(&mut unit, &role, ann, false).await.unwrap();
    assert_eq!(group::set_user(&mut unit, &group, 999, true).await.err().unwrap().status(), 400);
    unit.commit().await.unwrap();
    assert!(!membership::is_member_by_name(&*f.db, ann, "g").await.unwrap());
    let changes = f.events().await.into_iter().filter(|(a, _)| a == "model_updated").count();
    assert_eq!(changes, 4);
    let mut unit = Unit::new(&f.site, acting(None));
    assert_eq!(group::set_user(&mut unit, &role, ann, true).await.err().unwrap().status(), 404);
}

#[tokio::test]
async fn hidden_roles_are_listed_only_when_asked_for() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let mut unit = Unit::new(&f.site, acting(None));
    permission::user_role(&mut unit, ann).await.unwrap();
    unit.commit().await.unwrap();
    let r = f.make::<Role>(json!({"name": "r"})).await.pk;
    let top = f.make::<Group>(json!({"name": "top", "roles": [r]})).await.pk;
    let low = f.make::<Group>(json!({"name": "low", "parents": [top], "users": [ann]})).await.pk;
    let names = async |query: &[(&str, &str)]| f.list::<Role>(query, "name").await.unwrap();
    let hidden = format!("ak-managed-role--user-{ann}");
    assert_eq!(names(&[]).await, ["r"]);
    assert_eq!(names(&[("managed__isnull", "false")]).await, [hidden.as_str()]);
    assert_eq!(names(&[("managed", &hidden), ("managed", "x")]).await, [hidden.as_str()]);
    let id = ann.to_string();
    assert_eq!(names(&[("users", &id)]).await, Vec::<Value>::new());
    assert_eq!(names(&[("users", &id), ("inherited", "true")]).await, ["r"]);
    assert_eq!(names(&[("groups", &low)]).await, Vec::<Value>::new());
    assert_eq!(names(&[("groups", &low), ("inherited", "true")]).await, ["r"]);
    let error = f.try_make::<Role>(Some(ann), json!({"name": "ak-managed-role--x"})).await.err().unwrap();
    assert_eq!(error.status(), 400);
}
