//! The write path, lists and answers of users.

use super::*;

#[tokio::test]
async fn a_user_is_created_with_its_read_only_fields_and_changed() {
    let f = fixture().await;
    let group = f.make::<Group>(json!({"name": "staff", "attributes": {"a": 1}})).await;
    let role = f.make::<Role>(json!({"name": "helpers"})).await;
    let body = json!({
        "username": "ann", "name": "Ann Lee", "email": "ann@example.org", "groups": [group.pk], "roles": [role.pk],
        "uuid": "00000000-0000-0000-0000-000000000000", "last_updated": "2000-01-01T00:00:00Z", "is_superuser": true,
    });
    let ann = f.make::<User>(body).await;
    let answer = f.answers::<User>(&[], None).await.unwrap().remove(0);
    assert_eq!(answer["pk"], ann.int_pk());
    assert_eq!(answer["is_superuser"], false);
    assert_eq!(answer["type"], "internal");
    assert_eq!(answer["path"], "users");
    assert_ne!(answer["uuid"], "00000000-0000-0000-0000-000000000000");
    assert_eq!(answer["date_joined"], "2026-05-01T12:00:00.000000Z");
    assert_eq!(answer["last_updated"], answer["date_joined"]);
    assert_eq!(answer["groups_obj"][0]["name"], "staff");
    assert_eq!(answer["groups_obj"][0]["attributes"], json!({"a": 1}));
    assert_eq!(answer["roles_obj"], json!([{"pk": role.pk, "name": "helpers"}]));
    assert!(answer["avatar"].as_str().unwrap().starts_with("data:image/svg+xml"));
    assert_eq!(answer["uid"].as_str().unwrap().len(), 64);
    assert!(!answer.contains_key("password"));
    let bare = f.answers::<User>(&[("include_groups", "false"), ("include_roles", "false")], None).await.unwrap();
    assert_eq!((&bare[0]["groups_obj"], &bare[0]["roles_obj"]), (&Value::Null, &Value::Null));

    f.clock.advance(TimeDelta::hours(1));
    f.patch::<User>(&ann.pk, json!({"name": "Ann Lee"})).await;
    assert_eq!(f.account(ann.int_pk()).await.last_updated.to_rfc3339(), "2026-05-01T12:00:00+00:00");
    f.patch::<User>(&ann.pk, json!({"name": "Ann"})).await;
    assert_eq!(f.account(ann.int_pk()).await.last_updated, f.now());
    let updates = f.events().await.into_iter().filter(|(a, _)| a == "model_updated").count();
    assert_eq!(updates, 1);
}

#[tokio::test]
async fn bad_users_are_refused_field_by_field() {
    let f = fixture().await;
    f.user("ann").await;
    let refused = async |body: Value| texts(f.try_make::<User>(None, body).await.err().unwrap());
    let by_client = async |body: Value| texts(f.try_make::<User>(Some(0), body).await.err().unwrap());
    assert_eq!(refused(json!({"name": "x"})).await, json!({"username": ["This field is required."]}));
    assert_eq!(
        refused(json!({"username": "ann", "name": "x"})).await,
        json!({"username": ["User with this username already exists."]})
    );
    assert_eq!(
        refused(json!({"username": "b", "name": "", "path": "/x"})).await,
        json!({"path": ["No leading or trailing slashes allowed."]})
    );
    assert_eq!(
        refused(json!({"username": "b", "name": "", "path": "a//b"})).await,
        json!({"path": ["No empty segments in user path allowed."]})
    );
    assert_eq!(
        by_client(json!({"username": "b", "name": "", "type": "internal_service_account"})).await,
        json!({"type": ["Setting a user to internal service account is not allowed."]})
    );
    assert_eq!(
        refused(json!({"username": "b", "name": "", "email": "nonsense"})).await,
        json!({"email": ["Enter a valid email address."]})
    );
    let missing = "6a1b7d0a-0000-4000-8000-000000000000";
    assert_eq!(
        refused(json!({"username": "b", "name": "", "groups": [missing]})).await,
        json!({"groups": [format!("Invalid pk \"{missing}\" - object does not exist.")]})
    );
    assert_eq!(f.list::<User>(&[], "username").await.unwrap().len(), 1);
}

#[tokio::test]
async fn accounts_of_outposts_are_not_for_clients_to_change() {
    let f = fixture().await;
    let id = f.make::<User>(json!({"username": "ak", "name": "", "type": "internal_service_account"})).await.pk;
    let error = f.try_patch::<User>(Some(0), &id, json!({"name": "x"})).await.err().unwrap();
    assert_eq!(error.status(), 400);
    f.patch::<User>(&id, json!({"name": "y"})).await;
    let mut unit = Unit::new(&f.site, acting(Some(0)));
    assert_eq!(unit.delete(kind::<User>(&f.site).unwrap(), &id).await.err().unwrap().status(), 400);
}

#[tokio::test]
async fn the_list_filters_by_everything_the_contract_names() {
    let f = fixture().await;
    let staff = f.make::<Group>(json!({"name": "staff"})).await.pk;
    let guests = f.make::<Group>(json!({"name": "guests"})).await.pk;
    let root = f.make::<Group>(json!({"name": "root", "is_superuser": true})).await.pk;
    let ops = f.make::<Group>(json!({"name": "ops", "parents": [root]})).await.pk;
    let role = f.make::<Role>(json!({"name": "helpers"})).await.pk;
    f.make::<User>(json!({"username": "ann", "name": "Ann", "groups": [staff], "path": "a/b",
        "attributes": {"dept": {"name": "It_Ops", "floor": 3, "remote": true}}}))
        .await;
    f.clock.advance(TimeDelta::hours(1));
    f.make::<User>(json!({"username": "bob", "name": "Bob", "groups": [guests], "roles": [role], "type": "external",
        "attributes": {"dept": {"name": "Sales", "floor": 13, "remote": false}}, "path": "a/bc"}))
        .await;
    f.make::<User>(json!({"username": "cid", "name": "Cid", "groups": [ops], "type": "service_account",
        "is_active": false, "last_login": "2026-01-01T00:00:00Z"}))
        .await;
    let names = async |query: &[(&str, &str)]| -> Vec<String> {
        let found = f.list::<User>(query, "username").await.unwrap();
        found.iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]).await, ["ann", "bob", "cid"]);
    assert_eq!(names(&[("ordering", "-username")]).await, ["cid", "bob", "ann"]);
    assert_eq!(names(&[("is_superuser", "true")]).await, ["cid"]);
    assert_eq!(names(&[("is_superuser", "false")]).await, ["ann", "bob"]);
    assert_eq!(names(&[("is_active", "false")]).await, ["cid"]);
    assert_eq!(names(&[("type", "external"), ("type", "service_account")]).await, ["bob", "cid"]);
    assert_eq!(names(&[("groups_by_name", "staff"), ("groups_by_name", "guests")]).await, ["ann", "bob"]);
    assert_eq!(names(&[("groups_by_pk", &ops)]).await, ["cid"]);
    assert_eq!(names(&[("roles_by_name", "helpers")]).await, ["bob"]);
    assert_eq!(names(&[("roles_by_pk", &role)]).await, ["bob"]);
    assert_eq!(names(&[("path", "a/b")]).await, ["ann"]);
    assert_eq!(names(&[("path_startswith", "a/b")]).await, ["ann", "bob"]);
    assert_eq!(names(&[("date_joined__gt", "2026-05-01T12:30:00Z")]).await, ["bob", "cid"]);
    assert_eq!(names(&[("date_joined__lt", "2026-05-01T12:30:00Z")]).await, ["ann"]);
    assert_eq!(names(&[("last_login__isnull", "false")]).await, ["cid"]);
    assert_eq!(names(&[("search", "BO")]).await, ["bob"]);
    assert_eq!(names(&[("username", "ann"), ("nonsense", "x")]).await, ["ann"]);
    let uuid = f.account(f.list::<User>(&[], "pk").await.unwrap()[1].as_i64().unwrap()).await.uuid.to_string();
    assert_eq!(names(&[("uuid", &uuid)]).await, ["bob"]);
    for (filter, expected) in [
        (r#"{"dept__name": "Sales"}"#, vec!["bob"]),
        (r#"{"dept__name__icontains": "t_o"}"#, vec!["ann"]),
        (r#"{"dept__floor": 3}"#, vec!["ann"]),
        (r#"{"dept__remote": true}"#, vec!["ann"]),
        (r#"{"dept": {"name": "Sales", "remote": false}}"#, vec!["bob"]),
        (r#"{"dept__name__in": ["Sales", "It_Ops"]}"#, vec!["ann", "bob"]),
        (r#"{"dept__isnull": true}"#, vec!["cid"]),
        (r#"{"dept__name__startswith": "S", "dept__floor": 3}"#, vec![]),
        (r#"{}"#, vec!["ann", "bob", "cid"]),
    ] {
        assert_eq!(names(&[("attributes", filter)]).await, expected, "{filter}");
    }
    for (name, value) in [
        ("attributes", "no"),
        ("groups_by_pk", "no"),
        ("is_superuser", "maybe"),
        ("type", "martian"),
        ("uuid", "no"),
        ("date_joined__gt", "soon"),
    ] {
        assert_eq!(f.list::<User>(&[(name, value)], "pk").await.err().unwrap().status(), 400, "{name}");
    }
}

#[tokio::test]
async fn deactivation_ends_sessions_and_deletion_takes_everything_along() {
    let f = fixture().await;
    let id = f.user("ann").await;
    f.grant(id, &["authentik_core.view_user"]).await;
    let key = sessions::sign_in(&f, id).await;
    f.patch::<User>(&id.to_string(), json!({"is_active": false})).await;
    f.patch::<User>(&id.to_string(), json!({"is_active": true})).await;
    assert!(session::load(&*f.db, &key, f.now()).await.unwrap().is_none());
    let key = sessions::sign_in(&f, id).await;
    let (_, token) = tokens::minted(&f, id, "t").await;
    f.remove::<User>(&id.to_string()).await;
    assert!(session::load(&*f.db, &key, f.now()).await.unwrap().is_none());
    assert!(token::authenticate(&*f.db, &token, &[Intent::Api], f.now()).await.unwrap().is_none());
    assert!(f.db.read("SELECT id FROM identity_role", &[]).await.unwrap().is_empty());
    assert!(f.db.read("SELECT id FROM identity_role_permission", &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_own_view_shows_groups_roles_and_merged_settings() {
    let f = fixture().await;
    let role = f.make::<Role>(json!({"name": "viewers"})).await.pk;
    let top = f
        .make::<Group>(json!({"name": "top", "roles": [role], "attributes": {"settings": {"theme": {"base": "dark"}}}}))
        .await
        .pk;
    let low = f.make::<Group>(json!({"name": "low", "parents": [top]})).await.pk;
    let body = json!({"username": "ann", "name": "", "groups": [low], "attributes": {"settings": {"locale": "de"}}});
    let id = f.make::<User>(body).await.int_pk();
    f.grant(id, &["authentik_rbac.access_admin_interface"]).await;
    let brand = map(json!({"settings": {"locale": "fr", "theme": {"base": "light"}}}));
    let account = f.account(id).await;
    assert_eq!(account.locale(), Some("de"));
    let view = user::self_view(&f.site, &f.site.snapshot(), &account, &brand, true).await.unwrap();
    assert_eq!(view["settings"], json!({"locale": "de", "theme": {"base": "dark"}}));
    assert_eq!(view["groups"].as_array().unwrap().len(), 2);
    assert_eq!(view["system_permissions"], json!(["access_admin_interface"]));
    assert_eq!(view["is_superuser"], false);
    let roles: Vec<&str> = view["roles"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert!(roles.contains(&"viewers"));
}

#[tokio::test]
async fn pages_read_from_the_end_of_a_list_continue_those_read_from_its_beginning() {
    let f = fixture().await;
    for number in 0..23 {
        let id = f.user(&format!("user-{number:02}")).await;
        if number % 3 == 0 {
            // Several with the same value, many without one.
            let mut tx = f.site.db.tx();
            let at = f.now() + TimeDelta::minutes(number % 2);
            tx.write("UPDATE identity_user SET last_login = $1 WHERE id = $2", &[at.into(), id.into()]).await.unwrap();
            tx.commit().await.unwrap();
        }
    }
    for ordering in ["username", "-username", "last_login", "-last_login"] {
        let whole = f.list::<User>(&[("ordering", ordering), ("page_size", "100")], "username").await.unwrap();
        assert_eq!(whole.len(), 23);
        for size in [1, 4, 5, 22, 23] {
            let mut pages = Vec::new();
            for page in 1..=23_usize.div_ceil(size) {
                let query = [("page", page.to_string()), ("page_size", size.to_string())];
                let query: Vec<(&str, &str)> = query.iter().map(|(n, v)| (*n, v.as_str())).collect();
                let query = [query, vec![("ordering", ordering)]].concat();
                pages.extend(f.list::<User>(&query, "username").await.unwrap());
            }
            assert_eq!(pages, whole, "{ordering} by {size}");
        }
        let beyond = f.list::<User>(&[("page", "24"), ("page_size", "1")], "username").await;
        assert!(matches!(beyond, Err(ApiError::NotFound(_))));
    }
}
