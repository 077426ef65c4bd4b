//! The audit trail.

use super::*;

#[tokio::test]
async fn a_change_leaves_an_event_that_can_be_found() {
    let api = Api::start().await;
    let made = api.post("/stages/dummy/", json!({"name": "one"})).admin().send().await.expect(201);
    let pk = made["pk"].as_str().unwrap();
    let find = async |query: &str| {
        let events = api.get(&format!("/events/events/?{query}")).admin().send().await.expect(200);
        events["pagination"]["count"].as_u64().unwrap()
    };
    let event = api.get(&format!("/events/events/?context_model_pk={pk}")).admin().send().await.expect(200);
    let event = &event["results"][0];
    assert_eq!((&event["action"], &event["user"]["username"]), (&json!("model_created"), &json!("admin")));
    assert_eq!(event["client_ip"], "192.0.2.7");
    assert_eq!(event["context"]["http_request"]["path"], "/api/v3/stages/dummy/");
    assert_eq!(find("context_model_name=dummystage").await, 1);
    assert_eq!(find("context_model_app=authentik_stages_dummy&username=admin").await, 1);
    assert_eq!(find("username=user").await, 0);
    assert_eq!(find("client_ip=192.0.2.7&actions=model_created").await, 1);
    assert_eq!(find("actions=login&actions=model_deleted").await, 0);
    assert_eq!(find("search=one&context_model_name=dummystage").await, 1);
    let quoted = |text: &str| text.replace(' ', "%20").replace('"', "%22").replace('=', "%3D");
    let asked = async |text: &str| find(&format!("search={}", quoted(text))).await;
    assert_eq!(asked("action = \"model_created\" and context.model.name ~ \"ONE\"").await, 1);
    assert_eq!(asked("user.username != \"admin\" and context.model.name = \"one\"").await, 0);
    assert_eq!(asked("action = one").await, 0, "no query, but words that do not stand there");
    assert_eq!(api.get("/events/events/?actions=eat").admin().send().await.status, 400);
}

#[tokio::test]
async fn events_are_written_by_permission_and_cleansed() {
    let api = Api::start().await;
    let body = json!({"action": "custom_", "app": "tests", "context": {"password": "hunter2", "note": "x"}});
    assert_eq!(api.post("/events/events/", body.clone()).user().send().await.status, 403);
    let made = api.post("/events/events/", body).admin().send().await.expect(201);
    assert_eq!(made["context"]["note"], "x");
    assert_ne!(made["context"]["password"], "hunter2");
    let path = format!("/events/events/{}/", made["pk"].as_str().unwrap());
    let changed = api.patch(&path, json!({"app": "other"})).admin().send().await.expect(200);
    assert_eq!((&changed["app"], &changed["created"]), (&json!("other"), &made["created"]));
    assert_eq!(changed["expires"], made["expires"]);
    let bad = api.post("/events/events/", json!({"action": "eat", "app": ""})).admin().send().await.expect(400);
    assert_eq!(bad["action"], json!(["\"eat\" is not a valid choice."]));
    assert_eq!(api.delete(&path).admin().send().await.status, 204);
    assert_eq!(api.get(&path).admin().send().await.status, 404);
}

#[tokio::test]
async fn events_are_counted_over_time_and_users() {
    let api = Api::start().await;
    for app in ["a", "b"] {
        let context = json!({"authorized_application": {"name": "shop", "pk": "1"}});
        let user = json!({"pk": api.user.id, "username": "user"});
        let body = json!({"action": "login", "app": app, "context": context, "user": user});
        api.post("/events/events/", body).admin().send().await.expect(201);
    }
    let volume = api.get("/events/events/volume/?action=login").admin().send().await.expect(200);
    assert_eq!(volume.as_array().unwrap().len(), 1);
    assert_eq!((&volume[0]["action"], &volume[0]["count"]), (&json!("login"), &json!(2)));
    let stats = api.get("/events/events/stats/?actions=login&count_steps=hours%3D1&count_steps=days%3D30");
    let stats = stats.admin().send().await.expect(200);
    assert_eq!(stats, json!({"unique_users": 1, "count_step": {"hours=1": 2, "days=30": 2}}));
    let some = api.get("/events/events/stats/?search=app%20%3D%20%22a%22&count_steps=days%3D30").admin().send().await;
    assert_eq!(some.expect(200), json!({"unique_users": 1, "count_step": {"days=30": 1}}));
    let all = api.get("/events/events/stats/").admin().send().await.expect(200);
    let sql = "SELECT COUNT(DISTINCT user_id) AS n FROM audit_event";
    let users = api.app.site.db.read(sql, &[]).await.unwrap()[0].int("n").unwrap();
    assert_eq!(all["unique_users"], users);
    let top = api.get("/events/events/top_per_user/").admin().send().await.expect(200);
    assert_eq!(top[0]["counted_events"], 2);
    assert_eq!(top[0]["application"]["name"], "shop");
    for (action, applications) in [("LOG", 1), ("login", 1), ("log%25n", 0), ("authorize", 0)] {
        let top = api.get(&format!("/events/events/top_per_user/?action={action}")).admin().send().await.expect(200);
        assert_eq!(top.as_array().unwrap().len(), applications, "{action}");
    }
    assert_eq!(api.get("/events/events/volume/?history_days=x").admin().send().await.status, 400);
    for path in ["volume/", "stats/?count_steps=x", "top_per_user/"] {
        assert_eq!(api.get(&format!("/events/events/{path}")).user().send().await.status, 403);
    }
}

#[tokio::test]
async fn all_actions_are_named() {
    let api = Api::start().await;
    let actions = api.get("/events/events/actions/").user().send().await.expect(200);
    let known = FACTS.schema("EventActions").unwrap()["enum"].as_array().unwrap();
    let named: Vec<&Value> = actions.as_array().unwrap().iter().map(|a| &a["name"]).collect();
    assert_eq!(named, known.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn events_that_are_changed_or_deleted_by_permission_leave_a_chain_that_verifies() {
    use weir_events::chain;
    let api = Api::start().await;
    let (db, key) = (&api.app.site.db, api.app.site.installation.chain_key());
    let mut paths = Vec::new();
    for app in ["a", "b", "c"] {
        let body = json!({"action": "custom_", "app": app});
        let made = api.post("/events/events/", body).admin().send().await.expect(201);
        paths.push(format!("/events/events/{}/", made["pk"].as_str().unwrap()));
    }
    let mut tx = db.tx();
    chain::seal(&mut tx, &key).await.unwrap();
    tx.commit().await.unwrap();
    api.patch(&paths[0], json!({"app": "z"})).admin().send().await.expect(200);
    assert_eq!(api.delete(&paths[1]).admin().send().await.status, 204);
    let found = chain::verify(db, &key, None).await.unwrap().unwrap();
    assert_eq!(found.removed, 2);
    assert_eq!(found.waiting, 0, "what was changed got a new place before the other one went");
    let mut tx = db.tx();
    tx.write("UPDATE audit_event SET app = 'y' WHERE app = 'c'", &[]).await.unwrap();
    tx.commit().await.unwrap();
    let broken = chain::verify(db, &key, None).await.unwrap().unwrap_err();
    assert!(matches!(broken, chain::Broken::Changed(..)), "{broken}");
}
