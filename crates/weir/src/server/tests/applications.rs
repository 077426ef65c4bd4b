//! Applications, entitlements, consents, custom attributes: as clients see them.

use serde_json::{Value, json};
use weir_applications::{Application, ApplicationEntitlement, ObjectAttribute, UserConsent};
use weir_core::Resource as _;
use weir_identity::{Group, User};
use weir_policy::PolicyBinding;

use super::stand::{Stand, column};

async fn application(stand: &Stand, slug: &str, more: Value) -> String {
    let mut body = json!({"name": slug.to_uppercase(), "slug": slug});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    stand.make::<Application>(body).await.pk
}

#[tokio::test]
async fn the_list_shows_what_policies_allow_and_counts_nothing_else() {
    let stand = Stand::start().await;
    let (ann, bob) = (stand.person("ann").await, stand.person("bob").await);
    for slug in ["a", "b", "c"] {
        application(
            &stand,
            slug,
            json!({"meta_launch_url": if slug == "c" { "blank://blank" } else { "https://x.example/%(username)s" }}),
        )
        .await;
    }
    let only = application(&stand, "d", json!({"group": "Special"})).await;
    stand.make::<PolicyBinding>(json!({"target": only, "user": bob.id, "order": 0})).await;
    let list = stand.get(&ann, "/core/applications/?page_size=2").await.expect(200);
    assert_eq!(
        (column(&list, "slug"), &list["pagination"]["count"]),
        (vec!["a".to_owned(), "b".to_owned()], &json!(3))
    );
    assert_eq!(list["results"][0]["launch_url"], "https://x.example/ann");
    let list = stand.get(&bob, "/core/applications/?search=special").await.expect(200);
    assert_eq!(column(&list, "slug"), ["d"]);
    let list = stand.get(&bob, "/core/applications/?only_with_launch_url=true&ordering=-name").await.expect(200);
    assert_eq!(column(&list, "slug"), ["b", "a"]);
    // Superusers see what they may use, unless they ask for everything; others cannot ask.
    let list = stand.get(&stand.admin, "/core/applications/").await.expect(200);
    assert_eq!(list["pagination"]["count"], 3);
    let list = stand.get(&stand.admin, "/core/applications/?superuser_full_list=true").await.expect(200);
    assert_eq!(list["pagination"]["count"], 4);
    let list = stand.get(&ann, "/core/applications/?superuser_full_list=true").await.expect(200);
    assert_eq!(list["pagination"]["count"], 3);
    let for_bob = format!("/core/applications/?for_user={}", bob.id);
    assert_eq!(stand.get(&stand.admin, &for_bob).await.expect(200)["pagination"]["count"], 4);
    assert!(stand.get(&ann, &for_bob).await.expect(400)["for_user"].is_array());
    let users = stand.core.site.registry.find(User::MODEL).unwrap();
    let bob_row = stand.core.site.find_many(users, &[bob.id.to_string()]).await.unwrap();
    stand.grant(ann.id, &["authentik_core.view_user_applications"], bob_row.first()).await;
    assert_eq!(stand.get(&ann, &for_bob).await.expect(200)["pagination"]["count"], 4);
    assert_eq!(stand.get(&ann, "/core/applications/?for_user=x").await.status, 400);
    // One application by itself is a matter of permissions.
    assert_eq!(stand.get(&ann, "/core/applications/a/").await.status, 403);
    assert_eq!(stand.get(&stand.admin, "/core/applications/a/").await.expect(200)["slug"], "a");
    let requestable = stand.get(&ann, "/core/applications/requestable/").await.expect(200);
    assert_eq!(requestable["pagination"]["count"], 0);
    stand.get(&ann, "/core/application_entitlements/requestable/").await.expect(200);
}

#[tokio::test]
async fn whether_somebody_may_use_an_application_is_asked_of_its_policies() {
    let stand = Stand::start().await;
    let (ann, bob) = (stand.person("ann").await, stand.person("bob").await);
    let key = application(&stand, "wiki", json!({})).await;
    let path = "/core/applications/wiki/check_access/";
    assert_eq!(stand.get(&ann, path).await.expect(200)["passing"], true);
    stand.make::<PolicyBinding>(json!({"target": key, "user": bob.id, "order": 0})).await;
    assert_eq!(stand.get(&ann, path).await.expect(200)["passing"], false);
    assert_eq!(stand.get(&bob, path).await.expect(200)["passing"], true);
    let for_bob = format!("{path}?for_user={}", bob.id);
    assert_eq!(stand.get(&stand.admin, &for_bob).await.expect(200)["passing"], true);
    assert_eq!(stand.get(&ann, &for_bob).await.status, 400);
    assert_eq!(stand.get(&stand.admin, &format!("{path}?for_user=999999")).await.status, 400);
    assert_eq!(stand.get(&ann, "/core/applications/none/check_access/").await.status, 404);
}

#[tokio::test]
async fn entitlements_are_made_by_those_who_see_the_application_and_bound_to_people_only() {
    let stand = Stand::start().await;
    let ann = stand.person("ann").await;
    let app = application(&stand, "wiki", json!({})).await;
    let body = json!({"name": "editor", "app": app, "attributes": {"level": 2}});
    let path = "/core/application_entitlements/";
    let made = stand.post(&stand.admin, path, body.clone()).await.expect(201);
    let key = made["pbm_uuid"].as_str().unwrap().to_owned();
    let again = stand.post(&stand.admin, path, body.clone()).await;
    assert_eq!(again.status, 400, "{}", again.body);
    stand
        .grant(
            ann.id,
            &["authentik_core.add_applicationentitlement", "authentik_core.view_applicationentitlement"],
            None,
        )
        .await;
    let refused = stand.post(&ann, path, json!({"name": "x", "app": app})).await.expect(400);
    assert!(refused["app"].is_array(), "{refused}");
    let list = stand.get(&ann, &format!("{path}?app={app}&pbm_uuid={key}")).await.expect(200);
    assert_eq!(column(&list, "name"), ["editor"]);
    let policy = stand.core.site.registry.find("authentik_policies_dummy.dummypolicy").unwrap();
    let policy = stand.sample(policy, 0, 0).await.unwrap();
    let by_policy = json!({"target": key, "policy": policy.pk, "order": 0});
    let refused = stand.post(&stand.admin, "/policies/bindings/", by_policy).await.expect(400);
    assert!(refused["policy"].is_array(), "{refused}");
    stand
        .post(&stand.admin, "/policies/bindings/", json!({"target": key, "user": ann.id, "order": 0}))
        .await
        .expect(201);
    let snapshot = stand.core.site.snapshot();
    let db = &stand.core.site.db;
    let of = |user: i64| weir_policy::entitlements::of_user(db, &snapshot, user, app.parse().unwrap());
    let names: Vec<String> = of(ann.id).await.unwrap().iter().map(|object| object.name()).collect();
    assert_eq!(names, ["editor"]);
    assert!(of(stand.admin.id).await.unwrap().is_empty(), "nothing is bound to them");
    assert_eq!(stand.delete(&stand.admin, "/core/applications/wiki/").await.status, 204);
    assert_eq!(stand.get(&stand.admin, &format!("{path}{key}/")).await.status, 404, "goes with its application");
    assert!(stand.core.site.registry.find(ApplicationEntitlement::MODEL).is_some());
}

#[tokio::test]
async fn consents_are_seen_and_taken_back_by_their_owner() {
    let stand = Stand::start().await;
    let (ann, bob) = (stand.person("ann").await, stand.person("bob").await);
    let app = application(&stand, "wiki", json!({})).await;
    let mut unit = stand.unit();
    for user in [ann.id, bob.id] {
        let sql = "INSERT INTO identity_consent (user_id, application_id, permissions, security_epoch) VALUES ($1, $2, 'email', 0)";
        unit.tx.write(sql, &[user.into(), app.clone().into()]).await.unwrap();
    }
    unit.commit().await.unwrap();
    let list = stand.get(&ann, "/core/user_consent/").await.expect(200);
    assert_eq!(list["pagination"]["count"], 1);
    let mine = &list["results"][0];
    assert_eq!((&mine["user"]["username"], &mine["application"]["slug"]), (&json!("ann"), &json!("wiki")));
    let all =
        stand.get(&stand.admin, &format!("/core/user_consent/?user={}&application={app}", bob.id)).await.expect(200);
    assert_eq!(all["pagination"]["count"], 1);
    let theirs = all["results"][0]["pk"].as_i64().unwrap();
    assert_eq!(stand.delete(&ann, &format!("/core/user_consent/{theirs}/")).await.status, 404);
    assert_eq!(stand.delete(&ann, &format!("/core/user_consent/{}/", mine["pk"])).await.status, 204);
    assert_eq!(stand.get(&ann, "/core/user_consent/").await.expect(200)["pagination"]["count"], 0);
    assert_eq!(stand.get(&stand.admin, "/core/user_consent/?user=x").await.status, 400);
    assert!(stand.core.site.registry.find(UserConsent::MODEL).is_some());
}

#[tokio::test]
async fn described_attributes_are_enforced_on_every_write() {
    let stand = Stand::start().await;
    let path = "/core/object_attributes/";
    let badge = json!({"object_type": User::MODEL, "key": "badge", "label": "Badge", "type": "text", "regex": "[0-9]{4}",
                       "is_unique": true});
    let made = stand.post(&stand.admin, path, badge).await.expect(201);
    assert_eq!((&made["object_type_obj"]["model"], &made["enabled"]), (&json!("user"), &json!(true)));
    for (bad, field) in [
        (json!({"object_type": "authentik_flows.flow", "key": "a", "label": "A", "type": "text"}), "object_type"),
        (json!({"object_type": User::MODEL, "key": "a", "label": "A", "type": "text", "regex": "("}), "regex"),
    ] {
        let refused = stand.post(&stand.admin, path, bad).await.expect(400);
        assert!(refused[field].is_array(), "{refused}");
    }
    let user = |name: &str, attributes: Value| json!({"username": name, "name": name, "attributes": attributes});
    let make =
        async |name: &str, attributes: Value| stand.post(&stand.admin, "/core/users/", user(name, attributes)).await;
    let one = make("one", json!({"badge": "1234", "free": [1]})).await.expect(201);
    for bad in [json!({"badge": "12345"}), json!({"badge": 1234}), json!({"badge": "1234"})] {
        let refused = make("two", bad.clone()).await.expect(400);
        assert!(refused["attributes"].is_array(), "{bad}: {refused}");
    }
    make("two", json!({"badge": "4321"})).await.expect(201);
    let of_one = format!("/core/users/{}/", one["pk"]);
    let taken = stand.patch(&stand.admin, &of_one, json!({"attributes": {"badge": "4321"}})).await;
    assert_eq!(taken.status, 400, "{}", taken.body);
    stand.patch(&stand.admin, &of_one, json!({"attributes": {"badge": "1111"}})).await.expect(200);
    make("three", json!({"badge": "1234"})).await.expect(201);
    // A new rule does not stand in the way of other changes, but of further ones.
    let cost = json!({"object_type": User::MODEL, "key": "cost", "label": "Cost centre", "type": "number", "is_required": true});
    stand.post(&stand.admin, path, cost).await.expect(201);
    stand.patch(&stand.admin, &of_one, json!({"name": "One"})).await.expect(200);
    let refused =
        stand.patch(&stand.admin, &of_one, json!({"attributes": {"badge": "1111", "x": 1}})).await.expect(400);
    assert_eq!(refused["attributes"], json!(["Cost centre is required."]));
    let service = stand.post(&stand.admin, "/core/users/service_account/", json!({"name": "robot"})).await;
    assert_eq!(service.status, 200, "programs have no cost centre: {}", service.body);
    let twice = json!({"object_type": Group::MODEL, "key": "floor", "label": "Floor", "type": "number"});
    let floor = stand.post(&stand.admin, path, twice).await.expect(201);
    for name in ["east", "west"] {
        stand.post(&stand.admin, "/core/groups/", json!({"name": name, "attributes": {"floor": 3}})).await.expect(201);
    }
    let unique = format!("{path}{}/", floor["pk"].as_str().unwrap());
    let refused = stand.patch(&stand.admin, &unique, json!({"is_unique": true})).await.expect(400);
    assert!(refused["is_unique"].is_array(), "{refused}");
    let list = stand.get(&stand.admin, &format!("{path}?object_type__model=group&enabled=true")).await.expect(200);
    assert_eq!(column(&list, "key"), ["floor"]);
    assert!(stand.core.site.registry.find(ObjectAttribute::MODEL).is_some());
}

#[tokio::test]
async fn fifty_writers_of_one_unique_value_leave_one() {
    let stand = Stand::start().await;
    let badge =
        json!({"object_type": User::MODEL, "key": "badge", "label": "Badge", "type": "text", "is_unique": true});
    stand.post(&stand.admin, "/core/object_attributes/", badge).await.expect(201);
    let asked = (0..50).map(|n| {
        let body = json!({"username": format!("u{n}"), "name": "u", "attributes": {"badge": "7"}});
        stand.post(&stand.admin, "/core/users/", body)
    });
    let mut made = 0;
    for answer in futures_util::future::join_all(asked).await {
        assert!([201, 400, 503].contains(&answer.status), "{} {}", answer.status, answer.body);
        made += usize::from(answer.status == 201);
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn an_application_with_a_provider_that_is_not_served_is_refused_whole() {
    let stand = Stand::start().await;
    let path = "/core/transactional/applications/";
    let body = json!({"app": {"name": "Wiki", "slug": "wiki"}, "provider_model": "authentik_providers_rac.racprovider",
                      "provider": {"name": "wiki"}});
    let refused = stand.put(&stand.admin, path, body.clone()).await.expect(400);
    assert!(refused["provider_model"][0].as_str().unwrap().contains("not served"), "{refused}");
    assert_eq!(stand.get(&stand.admin, "/core/applications/wiki/").await.status, 404);
    let ann = stand.person("ann").await;
    assert_eq!(stand.put(&ann, path, body).await.status, 403);
}

#[tokio::test]
async fn an_application_comes_with_its_provider_and_bindings_or_not_at_all() {
    let stand = Stand::start().await;
    let ann = stand.person("ann").await;
    let path = "/core/transactional/applications/";
    let body = |slug: &str, provider: &str, bindings: Value| {
        json!({"app": {"name": slug, "slug": slug}, "provider_model": "authentik_providers_scim.scimprovider",
               "provider": {"name": provider, "url": "https://scim.example.org/v2", "token": "secret"},
               "policy_bindings": bindings})
    };
    let mine = json!([{"user": ann.id, "order": 0}]);
    let done = stand.put(&stand.admin, path, body("wiki", "scim", mine.clone())).await.expect(200);
    assert_eq!(done, json!({"applied": true, "logs": []}));
    let wiki = stand.get(&stand.admin, "/core/applications/wiki/").await.expect(200);
    assert_eq!((&wiki["backchannel_providers_obj"][0]["name"], &wiki["provider"]), (&json!("scim"), &Value::Null));
    let bound = format!("/policies/bindings/?target={}", wiki["pk"].as_str().unwrap());
    assert_eq!(stand.get(&stand.admin, &bound).await.expect(200)["pagination"]["count"], 1);
    let listed =
        stand.get(&stand.admin, "/providers/all/?application__isnull=false&backchannel=true").await.expect(200);
    assert_eq!(listed["results"][0]["assigned_backchannel_application_slug"], "wiki");
    assert_eq!(listed["results"][0]["pk"], wiki["backchannel_providers"][0]);
    for (wrong, part) in [
        (body("wiki", "second", json!([])), "app"),
        (body("other", "scim", json!([])), "provider"),
        (body("other", "second", json!([{"user": 999_999, "order": 0}])), "policy_bindings"),
    ] {
        let refused = stand.put(&stand.admin, path, wrong).await.expect(400);
        assert!(refused[part].is_object(), "{part}: {refused}");
        let left = stand.get(&stand.admin, "/providers/all/").await.expect(200);
        assert_eq!(left["pagination"]["count"], 1, "{part} left something");
        assert_eq!(stand.get(&stand.admin, "/core/applications/other/").await.status, 404);
    }
    stand.grant(ann.id, &["authentik_core.add_application"], None).await;
    assert_eq!(stand.put(&ann, path, body("other", "second", json!([]))).await.status, 403, "no right to the provider");
}
