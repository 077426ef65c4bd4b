//! Background work.

use super::*;
use weir_store::jobs::{self, NewJob, schedules};

#[tokio::test]
async fn a_task_is_shown_counted_and_started_again() {
    let api = Api::start().await;
    let id = api.app.site.random.uuid();
    let mut tx = api.app.site.db.tx();
    jobs::enqueue(&mut tx, id, api.clock.now(), &NewJob::new("weir.test", json!({}))).await.unwrap();
    tx.commit().await.unwrap();
    let path = format!("/tasks/tasks/{id}/");
    let task = api.get(&path).admin().send().await.expect(200);
    assert_eq!((&task["actor_name"], &task["state"]), (&json!("weir.test"), &json!("queued")));
    let listed = api.get("/tasks/tasks/?aggregated_status=queued&state=queued").admin().send().await.expect(200);
    assert_eq!(listed["results"], json!([task]));
    assert_eq!(api.get("/tasks/tasks/?state=eaten").admin().send().await.status, 400);
    assert_eq!(api.get("/tasks/tasks/?page=1000000").admin().send().await.status, 404);
    let counts = api.get("/tasks/tasks/status/").admin().send().await.expect(200);
    assert_eq!((&counts["queued"], &counts["error"]), (&json!(1), &json!(0)));
    assert_eq!(api.request("POST", &format!("{path}retry/")).admin().send().await.status, 400, "it has not ended");
    let mut tx = api.app.site.db.tx();
    tx.write("UPDATE job SET state = 'done', aggregated_status = 'error'", &[]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(api.request("POST", &format!("{path}retry/")).admin().send().await.status, 204);
    assert_eq!(api.get(&path).admin().send().await.expect(200)["state"], "queued");
    assert_eq!(api.request("POST", "/tasks/tasks/nonsense/retry/").admin().send().await.status, 404);
    assert_eq!(api.get("/tasks/workers/").admin().send().await.expect(200), json!([]));
}

#[tokio::test]
async fn a_schedule_is_changed_and_sent() {
    let api = Api::start().await;
    let mut tx = api.app.site.db.tx();
    let wish = schedules::NewSchedule::new("clean", "weir.clean", "0 * * * *");
    let id = schedules::upsert(&mut tx, api.clock.now(), &wish).await.unwrap();
    tx.commit().await.unwrap();
    let path = format!("/tasks/schedules/{id}/");
    let shown = api.get(&path).admin().send().await.expect(200);
    assert_eq!((&shown["crontab"], &shown["last_task_status"]), (&json!("0 * * * *"), &Value::Null));
    let listed = api.get("/tasks/schedules/?paused=false&search=clean").admin().send().await.expect(200);
    assert_eq!(listed["results"], json!([shown]));
    let bad = api.patch(&path, json!({"crontab": "whenever"})).admin().send().await.expect(400);
    assert!(bad.get("crontab").is_some());
    let changed = api.patch(&path, json!({"paused": true})).admin().send().await.expect(200);
    assert_eq!((&changed["paused"], &changed["crontab"]), (&json!(true), &json!("0 * * * *")));
    for field in ["crontab", "paused"] {
        let nothing = api.patch(&path, json!({field: null})).admin().send().await.expect(400);
        assert_eq!(nothing, json!({field: ["This field may not be null."]}));
    }
    let told = "/events/events/?action=model_updated&context_model_name=schedule";
    let events = api.get(told).admin().send().await.expect(200);
    let context = &events["results"][0]["context"];
    assert_eq!(context["model"]["name"], "weir.clean");
    assert_eq!(context["diff"], json!({"paused": {"previous_value": false, "new_value": true}}));
    assert_eq!(api.put(&path, json!({"paused": false})).admin().send().await.status, 400);
    let whole = json!({"crontab": "5 4 * * *", "paused": false});
    assert_eq!(api.put(&path, whole).admin().send().await.expect(200)["crontab"], "5 4 * * *");
    assert_eq!(api.request("POST", &format!("{path}send/")).admin().send().await.status, 204);
    assert_eq!(api.get(&path).admin().send().await.expect(200)["last_task_status"], "queued");
    api.grant(api.user.id, &["authentik_rbac.view_system_tasks"], None).await;
    assert_eq!(api.get(&path).user().send().await.status, 200);
    assert_eq!(api.patch(&path, json!({})).user().send().await.status, 403);
}
