//! The audit trail and what follows from it, on a whole server: notifications, rules, transports, exports, odd requests.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_audit::{NotificationRule, NotificationTransport};
use weir_events::{Event, Origin};
use weir_identity::{Group, User};
use weir_policy::PolicyBinding;
use weir_resource::{Actor, Unit};

use super::{
    Config, runner,
    stand::{Person, Stand, column},
};

impl Stand {
    /// Writes an event as somebody.
    async fn happen(&self, user: i64, action: &str, context: Value) {
        let account = self.account(user).await;
        let origin = Origin {
            user: account.event_user(),
            user_id: Some(user),
            username: account.username,
            client_ip: Some("192.0.2.9".to_owned()),
            ..Origin::system()
        };
        let mut unit = Unit::new(&self.core.site, Actor { origin, ..Actor::system() });
        unit.event(Event::new(action, "authentik_core", context)).await.unwrap();
        unit.commit().await.unwrap();
    }

    /// Seals what was written and runs every task that is due.
    async fn work(&self) {
        crate::server::events::seal_waiting(&self.core).await.unwrap();
        runner(&Config::default(), &self.core).await.unwrap().run_due().await.unwrap();
    }

    /// A rule that tells a group of events that a matcher picks.
    async fn rule(&self, name: &str, matcher: Value, transports: &[&str], more: Value) -> String {
        let mut body = json!({"name": name, "transports": transports});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let rule = self.make::<NotificationRule>(body).await.pk;
        let mut policy = json!({"name": format!("{name}-matcher")});
        policy.as_object_mut().unwrap().extend(matcher.as_object().unwrap().clone());
        let policy = self.post(&self.admin, "/policies/event_matcher/", policy).await.expect(201);
        self.make::<PolicyBinding>(json!({"target": rule, "policy": policy["pk"], "order": 0})).await;
        rule
    }

    async fn sql(&self, sql: &str) {
        let mut tx = self.core.site.db.tx();
        tx.write(sql, &[]).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn told(&self, action: &str) -> Vec<Value> {
        let path = format!("/events/events/?actions={action}&ordering=created");
        self.get(&self.admin, &path).await.expect(200)["results"].as_array().unwrap().clone()
    }
}

async fn members(stand: &Stand, name: &str, people: &[&Person]) -> String {
    let users: Vec<i64> = people.iter().map(|person| person.id).collect();
    stand.make::<Group>(json!({"name": name, "users": users})).await.pk
}

#[tokio::test]
async fn a_rule_with_a_matcher_writes_notifications_that_only_their_owners_see() {
    let stand = Stand::start().await;
    let (ann, bob, eve) = (stand.person("ann").await, stand.person("bob").await, stand.person("eve").await);
    let group = members(&stand, "watchers", &[&ann, &bob]).await;
    let local = stand.make::<NotificationTransport>(json!({"name": "here"})).await.pk;
    let more = json!({"destination_group": group, "destination_event_user": true, "severity": "warning"});
    stand.rule("odd", json!({"action": "suspicious_request"}), &[&local], more).await;
    stand.work().await;
    stand.happen(eve.id, "suspicious_request", json!({"message": "odd"})).await;
    stand.happen(eve.id, "login", json!({"message": "usual"})).await;
    stand.work().await;
    for person in [&ann, &bob, &eve] {
        let list = stand.get(person, "/events/notifications/").await.expect(200);
        assert_eq!(column(&list, "body"), ["odd"]);
        let shown = &list["results"][0];
        assert_eq!((&shown["severity"], &shown["seen"]), (&json!("warning"), &json!(false)));
        assert_eq!(shown["event"]["user"]["username"], "eve");
        assert_eq!(shown["event"]["client_ip"], "192.0.2.9");
    }
    // The administrator was not told, and does not see what others were.
    assert_eq!(stand.get(&stand.admin, "/events/notifications/").await.expect(200)["pagination"]["count"], 0);
    let of_ann = stand.get(&ann, "/events/notifications/").await.expect(200)["results"][0]["pk"].clone();
    let path = format!("/events/notifications/{}/", of_ann.as_str().unwrap());
    for other in [&bob, &stand.admin] {
        assert_eq!(stand.get(other, &path).await.status, 404);
        assert_eq!(stand.patch(other, &path, json!({"seen": true})).await.status, 404);
        assert_eq!(stand.delete(other, &path).await.status, 404);
    }
    assert_eq!(stand.patch(&ann, &path, json!({"seen": true, "body": "mine"})).await.expect(200)["body"], "odd");
    let count = async |query: &str| {
        let list = stand.get(&ann, &format!("/events/notifications/?{query}")).await.expect(200);
        list["pagination"]["count"].as_u64().unwrap()
    };
    assert_eq!((count("seen=true").await, count("seen=false").await), (1, 0));
    assert_eq!((count("severity=warning").await, count("severity=alert").await), (1, 0));
    assert_eq!((count("search=odd").await, count(&format!("user={}", bob.id)).await), (1, 0));
    stand.delete(&ann, &path).await.expect(204);
    assert_eq!(count("").await, 0);
}

#[tokio::test]
async fn having_seen_everything_concerns_oneself_and_what_has_ended_is_not_listed() {
    let stand = Stand::start().await;
    let (ann, bob) = (stand.person("ann").await, stand.person("bob").await);
    let local = stand.make::<NotificationTransport>(json!({"name": "here"})).await.pk;
    let group = members(&stand, "all", &[&ann, &bob]).await;
    stand.rule("all", json!({}), &[&local], json!({"destination_group": group})).await;
    stand.work().await;
    for number in 0..3 {
        stand.happen(ann.id, "login", json!({"message": format!("event {number}")})).await;
    }
    stand.work().await;
    let unseen = async |who: &Person| {
        let list = stand.get(who, "/events/notifications/?seen=false").await.expect(200);
        list["pagination"]["count"].as_u64().unwrap()
    };
    let before = unseen(&bob).await;
    assert!(before >= 3 && unseen(&ann).await == before);
    stand.post(&ann, "/events/notifications/mark_all_seen/", json!({})).await.expect(204);
    assert_eq!((unseen(&ann).await, unseen(&bob).await), (0, before));
    assert_eq!(stand.ask(None, weir_contract::Method::Get, "/events/notifications/", None).await.status, 403);
    stand.sql("UPDATE event_notification SET expires = 1").await;
    assert_eq!(unseen(&bob).await, 0);
}

#[tokio::test]
async fn rules_are_found_by_the_name_of_their_group_and_show_it_without_its_members() {
    let stand = Stand::start().await;
    let ann = stand.person("ann").await;
    let group = members(&stand, "watchers", &[&ann]).await;
    stand.make::<NotificationRule>(json!({"name": "one", "destination_group": group})).await;
    stand.make::<NotificationRule>(json!({"name": "two"})).await;
    let find = async |query: &str| {
        let list = stand.get(&stand.admin, &format!("/events/rules/?{query}")).await.expect(200);
        column(&list, "name")
    };
    assert_eq!(find("destination_group__name=watchers").await, ["one"]);
    assert_eq!(find("destination_group__name=nobody").await, Vec::<String>::new());
    assert_eq!(find("destination_group__name=watchers&severity=alert").await, Vec::<String>::new());
    assert_eq!(find("ordering=name").await, ["one", "two"]);
    let list = stand.get(&stand.admin, "/events/rules/?name=one").await.expect(200);
    let shown = &list["results"][0]["destination_group_obj"];
    assert_eq!((&shown["name"], &shown["users_obj"]), (&json!("watchers"), &Value::Null));
    assert_eq!(stand.get(&ann, "/events/rules/").await.status, 403);
}

#[tokio::test]
async fn a_transport_is_tried_by_those_who_may_change_it_and_says_what_is_wrong() {
    let stand = Stand::start().await;
    let ann = stand.person("ann").await;
    let path = "/events/transports/";
    let refused = stand.post(&stand.admin, path, json!({"name": "x", "mode": "webhook"})).await.expect(400);
    assert_eq!(refused["non_field_errors"], json!(["Webhook URL may not be empty."]));
    let local = stand.post(&stand.admin, path, json!({"name": "here", "mode": "local"})).await.expect(201);
    assert!(local["mode_verbose"].as_str().is_some_and(|text| !text.is_empty()));
    let test = format!("{path}{}/test/", local["pk"].as_str().unwrap());
    assert_eq!(stand.post(&ann, &test, json!({})).await.status, 403);
    stand.grant(ann.id, &["authentik_events.view_notificationtransport"], None).await;
    assert_eq!(stand.post(&ann, &test, json!({})).await.status, 403, "trying is more than looking");
    stand.grant(ann.id, &["authentik_events.change_notificationtransport"], None).await;
    stand.post(&ann, &test, json!({})).await.expect(200);
    let list = stand.get(&ann, "/events/notifications/").await.expect(200);
    assert_eq!(column(&list, "body"), ["Test Notification from transport here"]);
    // Nobody listens there.
    let body = json!({"name": "hook", "mode": "webhook", "webhook_url": "http://127.0.0.1:1/hook"});
    let hook = stand.post(&stand.admin, path, body).await.expect(201);
    let failed = stand.post(&stand.admin, &format!("{path}{}/test/", hook["pk"].as_str().unwrap()), json!({})).await;
    let failed = failed.expect(500);
    assert!(failed["messages"][0].as_str().unwrap().contains("127.0.0.1"), "{failed}");
    assert_eq!(stand.told("system_exception").await.len(), 0, "that is no failure of ours");
}

/// Asks for an export and makes it: its key.
async fn export(stand: &Stand, who: &Person, path: &str) -> String {
    let asked = stand.post(who, path, json!({})).await.expect(201);
    assert_eq!((&asked["completed"], &asked["file_url"]), (&json!(false), &json!("")));
    stand.work().await;
    let id = asked["id"].as_str().unwrap().to_owned();
    let shown = stand.get(who, &format!("/reports/exports/{id}/")).await.expect(200);
    assert_eq!(shown["completed"], true, "{shown}");
    assert_eq!(shown["file_url"], format!("/api/v3/weir/exports/{id}/file/"));
    assert_eq!(shown["requested_by"]["pk"], who.id);
    id
}

#[tokio::test]
async fn an_export_holds_what_its_filters_find_as_csv_or_json() {
    let stand = Stand::start().await;
    for name in ["ann", "bob", "anja"] {
        stand.person(name).await;
    }
    let csv = export(&stand, &stand.admin, "/core/users/export/?search=an&ordering=username&page_size=1").await;
    let file = stand.get(&stand.admin, &format!("/weir/exports/{csv}/file/")).await;
    let rows: Vec<&str> = file.text.lines().collect();
    assert!(rows[0].starts_with("pk,username,name,"), "{}", file.text);
    let names: Vec<&str> = rows[1..].iter().map(|row| row.split(',').nth(1).unwrap()).collect();
    assert_eq!(names, ["anja", "ann"], "in the order of the list itself, all of it");
    assert!(!file.text.contains("argon2"), "{}", file.text);
    let shown = stand.get(&stand.admin, &format!("/reports/exports/{csv}/")).await.expect(200);
    assert_eq!(shown["query_params"]["search"], "an");
    assert_eq!(shown["content_type"]["fully_qualified_model"], "authentik_core.user");
    for number in 0..3 {
        let message = format!("a, \"quoted\"\nline {number}");
        stand.happen(stand.admin.id, "login", json!({"message": message, "token": "abc-secret"})).await;
    }
    let path = "/events/events/export/?format=json&actions=login&search=context.message%20~%20%22line%22";
    let json = export(&stand, &stand.admin, path).await;
    let file = stand.get(&stand.admin, &format!("/weir/exports/{json}/file/")).await;
    let list: Vec<Value> = serde_json::from_str(&file.text).unwrap();
    assert_eq!(list.len(), 3);
    assert!(list.iter().all(|event| event["action"] == "login" && event["client_ip"] == "192.0.2.9"));
    assert!(!file.text.contains("abc-secret"));
    let csv = export(&stand, &stand.admin, "/events/events/export/?actions=login").await;
    let file = stand.get(&stand.admin, &format!("/weir/exports/{csv}/file/")).await;
    assert_eq!(file.text.matches("\"\"quoted").count(), 3, "{}", file.text);
    let ready = stand.told("export_ready").await;
    assert_eq!(ready.len(), 3);
    let notices = stand.get(&stand.admin, "/events/notifications/?ordering=created").await.expect(200);
    assert_eq!(column(&notices, "hyperlink")[0], shown["file_url"].as_str().unwrap());
    // Nothing is made of filters that cannot be read, or of another type.
    for query in ["actions=eat", "format=xml"] {
        let path = format!("/events/events/export/?{query}");
        assert_eq!(stand.post(&stand.admin, &path, json!({})).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn an_export_is_for_whoever_asked_and_whoever_may_see_both_exports_and_objects() {
    let stand = Stand::start().await;
    let (ann, bob) = (stand.person("ann").await, stand.person("bob").await);
    assert_eq!(stand.post(&ann, "/core/users/export/", json!({})).await.status, 403);
    let role = stand.grant(ann.id, &["authentik_core.view_user"], None).await;
    let id = export(&stand, &ann, "/core/users/export/").await;
    let file = format!("/weir/exports/{id}/file/");
    assert_eq!(stand.get(&ann, &file).await.status, 200);
    assert_eq!(stand.get(&bob, &file).await.status, 404);
    assert_eq!(stand.get(&bob, &format!("/reports/exports/{id}/")).await.status, 404);
    assert_eq!(stand.get(&bob, "/reports/exports/").await.expect(200)["pagination"]["count"], 0);
    stand.grant(bob.id, &["authentik_reports.view_dataexport"], None).await;
    assert_eq!(column(&stand.get(&bob, "/reports/exports/").await.expect(200), "id"), std::slice::from_ref(&id));
    assert_eq!(stand.get(&bob, &file).await.status, 404, "seeing exports is not seeing users");
    stand.grant(bob.id, &["authentik_core.view_user"], None).await;
    assert_eq!(stand.get(&bob, &file).await.status, 200);
    // Whoever has lost the right to see users has lost the file too.
    let mut unit = stand.unit();
    weir_identity::role::set_user(&mut unit, &role.pk, ann.id, false).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(stand.get(&ann, &file).await.status, 403);
    stand.sql("UPDATE data_export SET expires = 1").await;
    assert_eq!(stand.get(&bob, &file).await.status, 404);
    assert_eq!(stand.get(&bob, "/reports/exports/").await.expect(200)["pagination"]["count"], 0);
}

#[tokio::test]
async fn a_deleted_export_takes_its_file_along_and_one_that_lost_its_right_is_not_made() {
    let stand = Stand::start().await;
    let (ann, bob) = (stand.person("ann").await, stand.person("bob").await);
    let role = stand.grant(ann.id, &["authentik_core.view_user"], None).await;
    let id = export(&stand, &ann, "/core/users/export/").await;
    let path = format!("/reports/exports/{id}/");
    assert_eq!(stand.delete(&bob, &path).await.status, 404);
    stand.delete(&ann, &path).await.expect(204);
    assert_eq!(stand.get(&ann, &format!("/weir/exports/{id}/file/")).await.status, 404);
    let left = stand.core.site.db.read("SELECT COUNT(*) AS n FROM data_export_part", &[]).await.unwrap();
    assert_eq!(left[0].int("n").unwrap(), 0);
    let late = stand.post(&ann, "/core/users/export/", json!({})).await.expect(201);
    let mut unit = stand.unit();
    weir_identity::role::set_user(&mut unit, &role.pk, ann.id, false).await.unwrap();
    unit.commit().await.unwrap();
    stand.work().await;
    let late = stand.get(&ann, &format!("/reports/exports/{}/", late["id"].as_str().unwrap())).await.expect(200);
    assert_eq!((&late["completed"], &late["file_url"]), (&json!(false), &json!("")));
}

#[tokio::test]
async fn the_use_of_a_key_that_was_taken_away_is_told_once_an_hour_with_whose_it_was() {
    let stand = Stand::start().await;
    let ann = stand.person("ann").await;
    let me = async |key: &str| stand.ask(Some(key), weir_contract::Method::Get, "/core/users/me/", None).await.status;
    assert_eq!(me("never-was-a-key").await, 403);
    assert_eq!(stand.told("suspicious_request").await.len(), 0);
    stand.delete(&stand.admin, "/core/tokens/ann-api/").await.expect(204);
    let tries = futures_util::future::join_all((0..50).map(|_| me(&ann.key))).await;
    assert!(tries.iter().all(|status| *status == 403));
    let told = stand.told("suspicious_request").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["user"]["username"], &told[0]["client_ip"]), (&json!("ann"), &json!("192.0.2.7")));
    assert_eq!(told[0]["context"]["message"], "A revoked token was used.");
    assert_eq!(told[0]["context"]["token"]["name"], "ann-api");
    assert_eq!(told[0]["context"]["http_request"]["path"], "/api/v3/core/users/me/");
    assert!(!json!(told).to_string().contains(&ann.key));
    let hour = TimeDelta::hours(1).num_microseconds().unwrap();
    stand.sql(&format!("UPDATE revoked_key SET told = told - {hour}")).await;
    assert_eq!(me(&ann.key).await, 403);
    assert_eq!(stand.told("suspicious_request").await.len(), 2);
    stand.sql("UPDATE revoked_key SET expires = 1, told = NULL").await;
    assert_eq!(me(&ann.key).await, 403);
    assert_eq!(stand.told("suspicious_request").await.len(), 2, "some day nobody remembers");
}

#[tokio::test]
async fn keys_that_were_replaced_or_whose_owner_is_gone_or_not_active_are_told_too() {
    let stand = Stand::start().await;
    let (ann, bob, eve) = (stand.person("ann").await, stand.person("bob").await, stand.person("eve").await);
    let me = async |key: &str| stand.ask(Some(key), weir_contract::Method::Get, "/core/users/me/", None).await.status;
    let key = "another-key-of-sufficient-length-1";
    stand.post(&stand.admin, "/core/tokens/ann-api/set_key/", json!({"key": key})).await.expect(204);
    stand.patch(&stand.admin, &format!("/core/users/{}/", bob.id), json!({"is_active": false})).await.expect(200);
    stand.delete(&stand.admin, &format!("/core/users/{}/", eve.id)).await.expect(204);
    assert_eq!(me(key).await, 200);
    for person in [&ann, &bob, &eve] {
        assert_eq!(me(&person.key).await, 403);
    }
    let told = stand.told("suspicious_request").await;
    let names: Vec<&Value> = told.iter().map(|event| &event["context"]["token"]["name"]).collect();
    assert_eq!(names, ["ann-api", "bob-api", "eve-api"]);
    assert_eq!(told[1]["context"]["message"], "A token of an account that is not active was used.");
    assert_ne!(told[2]["user"]["username"], "eve", "she is gone");
}

#[tokio::test]
async fn a_request_that_fails_unexpectedly_is_told_without_its_cause() {
    let stand = Stand::start_unjudged().await;
    stand.sql("ALTER TABLE data_export RENAME TO elsewhere").await;
    assert_eq!(stand.get(&stand.admin, "/reports/exports/").await.status, 500);
    let told = stand.told("system_exception").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["context"]["operation"], "reports_exports_list");
    assert_eq!(told[0]["context"]["http_request"]["path"], "/api/v3/reports/exports/");
    assert!(!told[0].to_string().contains("data_export"));
}

#[tokio::test]
async fn a_long_list_counts_all_exactly_and_matches_at_least_beyond_the_page() {
    const MANY: i64 = 10_050;
    let stand = Stand::start().await;
    let mut tx = stand.core.site.db.tx();
    for first in (0..MANY).step_by(50) {
        let rows: Vec<String> = (first..first + 50)
            .map(|n| {
                let id = Uuid::from_u128(0xe000 + u128::try_from(n).unwrap());
                format!("('{id}', '{{}}', 'many', 'login', 'x', '{{}}', {n}, 4000000000000000)")
            })
            .collect();
        let sql = "INSERT INTO audit_event (id, \"user\", username, action, app, context, created, expires) VALUES ";
        tx.write(&format!("{sql}{}", rows.join(", ")), &[]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let page = async |query: &str| {
        let list = stand.get(&stand.admin, &format!("/events/events/?{query}")).await.expect(200);
        let number = |name: &str| list["pagination"][name].as_i64().unwrap();
        (number("count"), number("next"), column(&list, "pk").len())
    };
    let exact = async || {
        let sql = "SELECT COUNT(*) AS n FROM audit_event";
        stand.core.site.db.read(sql, &[]).await.unwrap()[0].int("n").unwrap()
    };
    assert_eq!(page("page_size=1").await.0, exact().await, "none has a place yet");
    crate::server::events::seal_waiting(&stand.core).await.unwrap();
    assert_eq!(page("page_size=1").await.0, exact().await, "all have one");
    assert_eq!(page("username=many&page_size=100").await, (10_000, 2, 100));
    assert_eq!(page("username=many&page_size=100&page=100").await, (10_001, 101, 100), "there is more");
    assert_eq!(page("username=many&page_size=100&page=101").await, (MANY, 0, 50), "that is all");
    assert_eq!(stand.get(&stand.admin, "/events/events/?username=many&page_size=100&page=102").await.status, 404);
}

#[tokio::test]
async fn events_are_found_by_their_object_however_its_key_is_written() {
    let stand = Stand::start().await;
    let group = stand.post(&stand.admin, "/core/groups/", json!({"name": "g"})).await.expect(201);
    let pk = group["pk"].as_str().unwrap();
    let user = stand.make::<User>(json!({"username": "u", "name": "u"})).await;
    let count = async |query: &str| {
        let list = stand.get(&stand.admin, &format!("/events/events/?{query}")).await.expect(200);
        list["pagination"]["count"].as_u64().unwrap()
    };
    assert_eq!(count(&format!("context_model_pk={pk}")).await, 1);
    assert_eq!(count(&format!("context_model_pk={}", pk.replace('-', ""))).await, 1);
    assert_eq!(count(&format!("context_model_pk={}&context_model_name=user", user.pk)).await, 1);
    let numbered = format!("search=context.model.pk%20%3D%20{}%20and%20action%20%3D%20%22model_created%22", user.pk);
    assert_eq!(count(&numbered).await, 1, "a key that is a number stands there as one");
    let quoted = format!("search=context.model.pk%20%3D%20%22{}%22", pk.replace('-', ""));
    assert_eq!(count(&quoted).await, 1);
    let body = json!({"action": "authorize_application", "app": "x", "context": {"authorized_application": {
        "pk": "6f0c3c1e-5c1b-4b64-9f5e-0d5a5d3a2b10", "name": "shop"}}});
    stand.post(&stand.admin, "/events/events/", body).await.expect(201);
    assert_eq!(count("context_authorized_app=6f0c3c1e5c1b4b649f5e0d5a5d3a2b10").await, 1);
    assert_eq!(count("context_authorized_app=6f0c3c1e-5c1b-4b64-9f5e-0d5a5d3a2b10").await, 1);
}

#[tokio::test]
async fn a_request_with_odd_characters_is_told_like_any_other() {
    let stand = Stand::start().await;
    let path = "/core/groups/?note=a%00b&secret_note=hidden";
    stand.post(&stand.admin, path, json!({"name": "g"})).await.expect(201);
    let told = stand.told("model_created").await;
    let told = told.iter().find(|event| event["context"]["model"]["name"] == "g").unwrap();
    let args = &told["context"]["http_request"]["args"];
    assert_eq!(args, &json!({"note": "a\u{fffd}b", "secret_note": weir_events::MASK}));
}
