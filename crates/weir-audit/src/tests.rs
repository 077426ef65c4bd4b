//! From an event to a notification, with a receiver of webhooks that is really called.

use crate::{
    DELIVER, DataExport, NotificationRule, NotificationTransport, announce, deliver, dispatch, export, gate::Gates,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use uuid::Uuid;
use weir_core::Resource as _;
use weir_events::{Event, chain};
use weir_mail::{MailSettings, Mailer};
use weir_store::jobs::{self, JobFilter};
use weir_testkit::{TestSite, Wiring};

const RULE: &str = NotificationRule::MODEL;
const TRANSPORT: &str = NotificationTransport::MODEL;

async fn site() -> TestSite {
    let hooks = |set: &mut weir_resource::HookSet| {
        crate::hooks(set, &Arc::new(Mailer::new(MailSettings::default()).unwrap()));
    };
    TestSite::new(Wiring { resources: crate::resources(), hooks, ..Wiring::default() }).await
}

/// Gives what was written so far its place, with nobody looking at it.
async fn settle(site: &TestSite) {
    let mut tx = site.db.tx();
    chain::seal(&mut tx, &site.app.site.installation.chain_key()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Writes an event as somebody, and has the rules look at it; the number of notifications.
async fn happen(site: &TestSite, user: Option<i64>, action: &str, context: Value) -> usize {
    settle(site).await;
    let mut unit = site.unit();
    if let Some(user) = user {
        let account = site.account(user).await;
        unit.actor.origin.user = account.event_user();
        (unit.actor.origin.user_id, unit.actor.origin.username) = (Some(user), account.username);
    }
    unit.event(Event::new(action, "tests", context)).await.unwrap();
    unit.commit().await.unwrap();
    let mut tx = site.db.tx();
    let sealed = chain::seal(&mut tx, &site.app.site.installation.chain_key()).await.unwrap().unwrap();
    announce(&mut tx, &site.app.site, sealed).await.unwrap();
    tx.commit().await.unwrap();
    let count = dispatch::ask(&site.app, sealed.first).await.unwrap();
    assert_eq!(dispatch::ask(&site.app, sealed.first).await.unwrap(), 0, "a stretch is worked off once");
    count
}

async fn rule(site: &TestSite, transports: &[Uuid], more: Value) -> Uuid {
    let mut body = weir_testkit::map(json!({"name": "rule", "transports": transports}));
    body.extend(weir_testkit::map(more));
    site.make(RULE, Value::Object(body)).await
}

async fn lists(site: &TestSite) -> Vec<(i64, String, String)> {
    let sql = "SELECT \"user\", severity, body FROM event_notification ORDER BY \"user\", body";
    let rows = site.db.read(sql, &[]).await.unwrap();
    rows.iter().map(|r| (r.int("user").unwrap(), r.text("severity").unwrap(), r.text("body").unwrap())).collect()
}

async fn deliveries(site: &TestSite) -> Vec<Value> {
    let filter = JobFilter { actor_name: Some(DELIVER.to_owned()), page: 1, page_size: 50, ..JobFilter::default() };
    jobs::list(&site.db, &filter).await.unwrap().items.into_iter().map(|job| job.args).collect()
}

/// A receiver that answers with a status and keeps what it got: head and body.
async fn receiver(status: u16) -> (String, Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            let mut buffer = [0; 4096];
            loop {
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                text.push_str(&String::from_utf8_lossy(&buffer[..read]));
                let length = text
                    .to_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
                let body = text.find("\r\n\r\n").map(|at| text.len() - at - 4);
                if read == 0 || body.is_some_and(|body| body >= length.unwrap_or(0)) {
                    break;
                }
            }
            let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
            kept.lock().unwrap().push((head.to_owned(), serde_json::from_str(body).unwrap_or_default()));
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, got)
}

#[tokio::test]
async fn a_rule_without_bindings_tells_nobody_and_one_with_a_passing_policy_tells_the_group_and_the_user() {
    let site = site().await;
    let (ann, bob, eve) = (site.user("ann", "").await, site.user("bob", "").await, site.user("eve", "").await);
    site.change_user(eve, json!({"is_active": false})).await;
    let group = site.group("admins", &[bob, eve]).await;
    let local = site.make(TRANSPORT, json!({"name": "local"})).await;
    let more = json!({"severity": "alert", "destination_group": group, "destination_event_user": true});
    let rule = rule(&site, &[local], more).await;
    assert_eq!(happen(&site, Some(ann), "login", json!({"message": "hi"})).await, 0);
    let script = json!({"only_user": "ann"});
    site.guard(rule, "picks", script, json!({})).await;
    assert_eq!(happen(&site, Some(bob), "login", json!({"message": "no"})).await, 0);
    assert_eq!(happen(&site, None, "login", json!({})).await, 0);
    assert_eq!(happen(&site, Some(ann), "login", json!({"message": "hello"})).await, 2);
    let alert = |user: i64| (user, "alert".to_owned(), "hello".to_owned());
    assert_eq!(lists(&site).await, [alert(ann), alert(bob)]);
    assert!(site.asked().iter().all(|asked| asked.context.get("event").is_some()));
}

#[tokio::test]
async fn a_policy_that_fails_or_says_no_tells_nobody() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let local = site.make(TRANSPORT, json!({"name": "local"})).await;
    let rule = rule(&site, &[local], json!({"destination_event_user": true})).await;
    site.guard(rule, "says no", json!({"passing": false}), json!({})).await;
    site.guard(rule, "fails", json!({"error": "broken"}), json!({"order": 1})).await;
    assert_eq!(happen(&site, Some(ann), "login", json!({})).await, 0);
    // The failure was written down, and no rule looks at that.
    let failures = site.events_of("policy_exception").await;
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["notification_rule"]["name"], "rule");
}

#[tokio::test]
async fn events_of_a_rules_own_policies_and_of_notifications_are_passed_over() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let local = site.make(TRANSPORT, json!({"name": "local"})).await;
    let rule = rule(&site, &[local], json!({"destination_event_user": true})).await;
    let (policy, _) = site.guard(rule, "logs", json!({"execution_logging": true}), json!({})).await;
    let own = json!({"policy": {"pk": policy.simple().to_string()}});
    assert_eq!(happen(&site, Some(ann), "policy_execution", own).await, 0);
    assert_eq!(happen(&site, Some(ann), "policy_execution", json!({"policy": {"pk": "0"}})).await, 1);
    assert_eq!(happen(&site, Some(ann), "email_sent", json!({"notification_rule": "x"})).await, 0);
    assert_eq!(site.events_of("policy_execution").await.len(), 3, "ours two, and that of the one run");
}

#[tokio::test]
async fn a_webhook_gets_what_happened_and_once_is_enough_where_the_transport_says_so() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let group = site.group("all", &[ann, bob]).await;
    let (url, got) = receiver(200).await;
    let hook = json!({"name": "hook", "mode": "webhook", "webhook_url": url, "send_once": true});
    let hook = site.make(TRANSPORT, hook).await;
    let slack = site.make(TRANSPORT, json!({"name": "slack", "mode": "webhook_slack", "webhook_url": url})).await;
    let rule = rule(&site, &[hook, slack], json!({"destination_group": group, "severity": "warning"})).await;
    site.guard(rule, "all", json!({}), json!({})).await;
    assert_eq!(happen(&site, Some(ann), "login_failed", json!({"username": "x"})).await, 3);
    let deliveries = deliveries(&site).await;
    assert_eq!(deliveries.len(), 3);
    for args in &deliveries {
        deliver::carry(&site.app, &Gates::default(), args).await.unwrap();
    }
    let got = got.lock().unwrap().clone();
    assert!(got.iter().all(|(head, _)| head.to_lowercase().contains("content-type: application/json")));
    let plain: Vec<&Value> = got.iter().map(|(_, body)| body).filter(|body| body.get("severity").is_some()).collect();
    assert_eq!(
        plain,
        [&json!({
            "body": "login_failed: {\"username\":\"x\"}", "severity": "warning", "user_email": "ann@example.org",
            "user_username": "ann", "event_user_email": "ann@example.org", "event_user_username": "ann",
        })]
    );
    let slack: Vec<&Value> = got.iter().map(|(_, body)| &body["attachments"][0]).filter(|a| a.is_object()).collect();
    assert_eq!(slack.len(), 2);
    assert_eq!(slack[0]["title"], "login_failed");
    let names: Vec<&Value> = slack[0]["fields"].as_array().unwrap().iter().map(|field| &field["title"]).collect();
    assert_eq!(names, ["Severity", "Dispatched for user", "Event user", "username"]);
}

#[tokio::test]
async fn a_webhook_that_refuses_is_tried_again_and_what_is_gone_is_given_up() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let (url, got) = receiver(503).await;
    let hook = site.make(TRANSPORT, json!({"name": "hook", "mode": "webhook", "webhook_url": url})).await;
    let rule = rule(&site, &[hook], json!({"destination_event_user": true})).await;
    site.guard(rule, "all", json!({}), json!({})).await;
    happen(&site, Some(ann), "login", json!({})).await;
    let args = deliveries(&site).await.remove(0);
    let error = deliver::carry(&site.app, &Gates::default(), &args).await.unwrap_err().to_string();
    assert!(error.contains("503"), "{error}");
    assert_eq!(got.lock().unwrap().len(), 1);
    let mut other = args.clone();
    other["event"] = "gone".into();
    assert!(deliver::carry(&site.app, &Gates::default(), &other).await.unwrap().1.contains("the event is gone"));
    site.delete(TRANSPORT, hook).await;
    assert!(deliver::carry(&site.app, &Gates::default(), &args).await.unwrap().1.contains("the transport is gone"));
}

#[tokio::test]
async fn a_mail_is_posted_with_the_template_and_marked_so_that_it_tells_nobody_of_itself() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let mail = site.make(TRANSPORT, json!({"name": "mail", "mode": "email", "email_subject_prefix": "Look: "})).await;
    let rule = rule(&site, &[mail], json!({"destination_event_user": true})).await;
    site.guard(rule, "all", json!({}), json!({})).await;
    happen(&site, Some(ann), "suspicious_request", json!({"message": "odd\nthing"})).await;
    deliver::carry(&site.app, &Gates::default(), &deliveries(&site).await.remove(0)).await.unwrap();
    let row = site.db.read_one("SELECT message, origin FROM mail_outbox", &[]).await.unwrap().unwrap();
    let (message, origin) = (row.json("message").unwrap(), row.json("origin").unwrap());
    assert_eq!((&message["subject"], &message["to"][0]["address"]), (&json!("Look: odd"), &json!("ann@example.org")));
    assert!(message["text"].as_str().unwrap().contains("suspicious_request"), "{}", message["text"]);
    assert_eq!(origin["user"]["notification_rule"], "mail");
    site.change_user(ann, json!({"email": ""})).await;
    let said = deliver::carry(&site.app, &Gates::default(), &deliveries(&site).await.remove(0)).await.unwrap().1;
    assert_eq!(said, "The user has no address.");
}

#[tokio::test]
async fn transports_need_an_address_where_they_call_one_and_a_template_that_exists() {
    let site = site().await;
    for (body, part) in [
        (json!({"name": "a", "mode": "webhook"}), "Webhook URL may not be empty."),
        (json!({"name": "a", "mode": "webhook_slack", "webhook_url": ""}), "Webhook URL may not be empty."),
        (json!({"name": "a", "mode": "email", "email_template": "email/absent.html"}), "Invalid template"),
        (json!({"name": "a", "mode": "pigeon"}), "not a valid choice"),
        (json!({"name": "a", "mode": "webhook", "webhook_url": "no address"}), "URL"),
    ] {
        let error = format!("{:?}", site.try_make(TRANSPORT, body).await.err().unwrap());
        assert!(error.contains(part), "{error}");
    }
}

/// Notes an export of users for somebody, makes it, and gives the file.
async fn exported(site: &TestSite, user: i64, media_type: &str, query: Value) -> Result<String, String> {
    let time = site.now().to_rfc3339();
    let fields = weir_testkit::map(json!({
        "requested_by": user, "requested_on": time, "model": "authentik_core.user", "query_params": query,
        "media_type": media_type, "completed": false, "expires": time,
    }));
    let mut unit = site.unit();
    let kind = site.app.site.registry.find(DataExport::MODEL).unwrap();
    let made = unit.make(kind, fields, Vec::new()).await.unwrap();
    unit.commit().await.unwrap();
    let id = Uuid::parse_str(&made.pk).unwrap();
    export::make(&site.app, id).await.map_err(|error| error.to_string())?;
    assert!(export::make(&site.app, id).await.unwrap().is_none(), "a file is made once");
    let sql = "SELECT content FROM data_export_part WHERE export = $1 ORDER BY part";
    let parts = site.db.read(sql, &[id.into()]).await.unwrap();
    Ok(parts.iter().map(|part| part.text("content").unwrap()).collect())
}

#[tokio::test]
async fn an_export_holds_what_its_owner_may_see_as_csv_or_json_and_says_when_it_is_ready() {
    let site = site().await;
    let (boss, ann) = (site.admin("boss", "").await, site.user("ann", "").await);
    site.change_user(ann, json!({"name": "=1+1"})).await;
    let csv = exported(&site, boss, "text/csv; charset=utf-8", json!({"username": "ann"})).await.unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 2, "{csv}");
    assert!(lines[0].starts_with("pk,username,name"), "{csv}");
    assert!(lines[1].starts_with(&format!("{ann},ann,'=1+1")), "{csv}");
    let json = exported(&site, boss, "application/json", json!({})).await.unwrap();
    let users: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert!(users.len() >= 2 && users.iter().any(|user| user["username"] == "ann"), "{json}");
    assert_eq!(site.events_of("export_ready").await.len(), 2);
    let link = site.db.read("SELECT hyperlink FROM event_notification", &[]).await.unwrap();
    assert!(link[0].text("hyperlink").unwrap().starts_with("/api/v3/weir/exports/"));
    let refused = exported(&site, ann, "application/json", json!({})).await;
    assert!(refused.is_err() || refused.as_deref() == Ok("[\n\n]\n"), "{refused:?}");
}
