//! Users and groups as the platform's description has them.

use chrono::TimeDelta;
use serde_json::{Value, json};
use weir_identity::{Group, User, user};

use super::stand::{Stand, column};

fn percent(text: &str) -> String {
    super::rights::percent(text)
}

#[tokio::test]
async fn attributes_are_searched_by_paths_and_comparisons() {
    let stand = Stand::start().await;
    let attributes = json!({"a": {"b": {"c": "Xyz"}}, "n": 5, "t": true, "l": ["p", "q"], "x.y": 1, "none": null});
    stand.make::<User>(json!({"username": "ann", "name": "", "attributes": attributes})).await;
    stand.make::<User>(json!({"username": "bob", "name": "", "attributes": {"n": "5", "l": "pq"}})).await;
    let found = async |wanted: Value| {
        let path = format!("/core/users/?attributes={}", percent(&wanted.to_string()));
        let body = stand.get(&stand.admin, &path).await.expect(200);
        column(&body, "username").join(" ")
    };
    for (wanted, names) in [
        (json!({"a__b__c": "Xyz"}), "ann"),
        (json!({"a__b__c__iexact": "xYZ"}), "ann"),
        (json!({"a__b__c__startswith": "Xy", "a__b__c__endswith": "yz"}), "ann"),
        (json!({"a": {"b": {"c": "Xyz"}}}), "ann"),
        (json!({"a__b__c__in": ["other", "Xyz"]}), "ann"),
        (json!({"a__has_key": "b"}), "ann"),
        (json!({"a__has_key": "c"}), ""),
        (json!({"n__gt": 4}), "ann"),
        (json!({"n__gt": 5}), ""),
        (json!({"n__gte": 5, "n__lt": 5.5}), "ann"),
        (json!({"n__lte": 4.9}), ""),
        (json!({"t": true}), "ann"),
        (json!({"l": ["p", "q"]}), "ann"),
        (json!({"l": ["q", "p"]}), ""),
        (json!({"l__contains": ["q"]}), "ann"),
        (json!({"l__contains": ["q", "r"]}), ""),
        (json!({"x.y": 1}), "ann"),
        (json!({"a__isnull": false}), "ann"),
    ] {
        assert_eq!(found(wanted.clone()).await, names, "{wanted}");
    }
    for bad in ["x", "[1]", "5", r#"{"a__regex": "x"}"#, r#"{"n__gt": "4"}"#, r#"{"a__in": []}"#] {
        let answer = stand.get(&stand.admin, &format!("/core/users/?attributes={}", percent(bad))).await;
        assert!(answer.status == 400 && answer.body.get("attributes").is_some(), "{bad}: {}", answer.body);
    }
}

#[tokio::test]
async fn generated_accounts_go_when_they_have_ended_and_others_stay() {
    let stand = Stand::start().await;
    let now = stand.core.site.clock.now();
    let (past, future) = (now - TimeDelta::hours(1), now + TimeDelta::hours(1));
    let key = |name: &str| format!("goauthentik.io/user/{name}");
    for (name, generated, ends) in [
        ("seconds-past", json!(true), json!(past.timestamp())),
        ("fraction-past", json!(true), json!(past.timestamp() as f64 + 0.5)),
        ("date-past", json!(true), json!(past.to_rfc3339())),
        ("future", json!(true), json!(future.timestamp())),
        ("no-date", json!(true), json!("soon")),
        ("a-person", json!(false), json!(past.timestamp())),
        ("a-text", json!("true"), json!("soon")),
    ] {
        let attributes = json!({key("generated"): generated, key("expires"): ends});
        stand.make::<User>(json!({"username": name, "name": "", "attributes": attributes})).await;
    }
    assert_eq!(user::delete_ended(&stand.core.site).await.unwrap(), 3);
    assert_eq!(user::delete_ended(&stand.core.site).await.unwrap(), 0);
    let left = stand.get(&stand.admin, "/core/users/").await.expect(200);
    assert_eq!(column(&left, "username"), ["a-person", "a-text", "boss", "future", "no-date"]);
}

#[tokio::test]
async fn tasks_are_tried_again_with_the_right_of_their_own() {
    let stand = Stand::start().await;
    let clerk = stand.person("clerk").await;
    let path = "/tasks/tasks/6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11/retry/";
    assert_eq!(stand.post(&clerk, path, json!({})).await.status, 403);
    stand.grant(clerk.id, &["authentik_tasks.retry_task"], None).await;
    assert_ne!(stand.post(&clerk, path, json!({})).await.status, 403);
}

#[tokio::test]
async fn members_of_descendants_are_members_and_cycles_are_refused() {
    let stand = Stand::start().await;
    let ann = stand.person("ann").await;
    let top =
        stand.make::<Group>(json!({"name": "top", "attributes": {"a": {"x": 1}, "settings": {"locale": "de"}}})).await;
    let middle = stand.make::<Group>(json!({"name": "middle", "parents": [top.pk]})).await;
    let leaf = stand.make::<Group>(json!({"name": "leaf", "parents": [middle.pk], "users": [ann.id]})).await;
    let me = stand.get(&ann, "/core/users/me/").await.expect(200);
    let names: Vec<&str> = me["user"]["groups"].as_array().unwrap().iter().filter_map(|g| g["name"].as_str()).collect();
    assert_eq!(names, ["leaf", "middle", "top"]);
    assert_eq!(me["user"]["settings"], json!({"locale": "de"}));
    let path = |group: &weir_resource::Stored| format!("/core/groups/{}/", group.pk);
    for (group, parents) in [(&top, &leaf), (&top, &middle), (&top, &top), (&middle, &leaf)] {
        let answer = stand.patch(&stand.admin, &path(group), json!({"parents": [parents.pk]})).await;
        assert!(answer.status == 400 && answer.body.get("parents").is_some(), "{}", answer.body);
    }
    let also = json!({"parents": [middle.pk, top.pk]});
    stand.patch(&stand.admin, &path(&leaf), also).await.expect(200);
    let shown = stand.get(&stand.admin, &path(&top)).await.expect(200);
    let digits = uuid::Uuid::parse_str(&top.pk).unwrap().as_u128().to_string();
    assert_eq!(shown["num_pk"], digits[..5].parse::<i64>().unwrap());
    // A superuser group's descendants' members are superusers.
    stand.patch(&stand.admin, &path(&top), json!({"is_superuser": true})).await.expect(200);
    assert!(stand.grants(ann.id).await.all());
    stand.delete(&stand.admin, &path(&middle)).await.expect(204);
    assert!(stand.grants(ann.id).await.all(), "by the other way");
    stand.patch(&stand.admin, &path(&leaf), json!({"parents": []})).await.expect(200);
    assert!(!stand.grants(ann.id).await.all());
}
