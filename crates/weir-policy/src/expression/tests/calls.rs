//! Functions with effects, and calls of other servers.

use crate::{outbound::tests::server, tests::World};
use serde_json::{Value, json};

#[tokio::test]
async fn events_carry_the_variables_and_what_was_added() {
    let world = World::new().await;
    world.people().await;
    let ran = world.run("ak_create_event('odd thing', reason='none', who=request.user, at=[1])\nreturn True").await;
    let [event] = ran.events.as_slice() else { panic!("{:?}", ran.events) };
    assert_eq!((event.action.as_str(), event.app.as_str()), ("custom_odd thing", "tried"));
    assert_eq!((&event.context["reason"], &event.context["at"]), (&json!("none"), &json!([1])));
    assert_eq!(event.context["who"]["username"], "ada");
    assert_eq!(event.context["context"]["prompt_data"]["email"], "New@example.com");
    assert_eq!(event.context["request"]["user"]["email"], "ada@Example.com");
}

#[tokio::test]
async fn the_old_name_of_groups_is_reported_once() {
    let world = World::new().await;
    world.people().await;
    let source = "return request.user.ak_groups.count() + request.user.ak_groups.count()";
    let first = world.run(source).await;
    assert_eq!(first.events.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["configuration_warning"]);
    assert!(world.run(source).await.events.is_empty());
}

/// What waits in the outbox, and what the tasks say about it.
async fn mails(world: &World) -> (Vec<Value>, Vec<Value>) {
    let rows = world.site.db.read("SELECT message FROM mail_outbox ORDER BY created, id", &[]).await.unwrap();
    let mails = rows.iter().map(|r| serde_json::from_str(&r.text("message").unwrap()).unwrap()).collect();
    let rows = world.site.db.read("SELECT actor_name, args FROM job ORDER BY created", &[]).await.unwrap();
    assert!(rows.iter().all(|r| r.text("actor_name").unwrap() == weir_mail::outbox::ACTOR));
    (mails, rows.iter().map(|r| r.json("args").unwrap()).collect())
}

#[tokio::test]
async fn mails_become_durable_jobs_that_do_not_show_them() {
    let world = World::new().await;
    world.people().await;
    world
        .give(&[
            ("return ak_send_email('a@example.com', 'Hi\\nBcc: x', body='text')", json!(true)),
            ("return ak_send_email(['B <b@example.com>', ('C', 'c@example.com')], 's', template='email/email_otp.html', context={'code': '424242'}, cc='d@example.com')", json!(true)),
            ("return ak_send_email('nobody', 's', body='text')", json!(false)),
            ("return ak_send_email([], 's', body='text')", json!(false)),
            ("return ak_send_email('a@example.com', 's', body='text', stage='nonsense')", json!(false)),
        ])
        .await;
    world
        .raise(&[
            ("ak_send_email('a@example.com', 's')", "Either body or template must be given."),
            (
                "ak_send_email('a@example.com', 's', body='b', template='t')",
                "body and template cannot be given together.",
            ),
        ])
        .await;
    let (mails, jobs) = mails(&world).await;
    assert_eq!((mails.len(), jobs.len()), (2, 2));
    let plain = mails.iter().find(|m| m["html"].is_null()).unwrap();
    assert_eq!(
        *plain,
        json!({"to": [{"name": "", "address": "a@example.com"}], "cc": [], "bcc": [], "subject": "Hi Bcc: x",
               "text": "text", "html": null, "secrets": []})
    );
    let made = mails.iter().find(|m| !m["html"].is_null()).unwrap();
    assert_eq!(
        made["to"],
        json!([{"name": "B", "address": "b@example.com"}, {"name": "C", "address": "c@example.com"}])
    );
    assert_eq!(made["cc"], json!([{"name": "", "address": "d@example.com"}]));
    assert!(made["text"].as_str().unwrap().contains("\n424242\n") && made["html"].as_str().unwrap().contains("424242"));
    assert!(jobs.iter().all(|args| args.as_object().unwrap().keys().eq(["mail"])), "{jobs:?}");
}

#[tokio::test]
async fn a_mail_with_a_broken_template_is_reported_and_not_sent() {
    let world = World::new().await;
    world.people().await;
    let ran = world.run("return ak_send_email('a@example.com', 's', template='nowhere.html')").await;
    assert_eq!(ran.value(), json!(false));
    assert_eq!(ran.events.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["configuration_error"]);
    assert!(mails(&world).await.0.is_empty());
}

#[tokio::test]
async fn other_servers_are_called_as_with_requests() {
    let world = World::new().await;
    world.people().await;
    let base = format!("http://127.0.0.1:{}", server().await);
    let cases = [
        (
            "r = requests.get(BASE + '/json', timeout=5)\nreturn [r.status_code, r.ok, r.json()['n'], r.headers['X-Colour'], r.text]",
            json!([200, true, 1, "red", "{\"n\": 1}"]),
        ),
        (
            "r = requests.get(BASE + '/missing')\nreturn [r.status_code, r.ok, r.reason, r.content == b'none']",
            json!([404, false, "Not Found", true]),
        ),
        (
            "return 'GET /x?a=1&b=2&b=3 HTTP' in requests.get(BASE + '/x', params={'a': 1, 'b': [2, 3]}).text",
            json!(true),
        ),
        (
            "t = requests.post(BASE, json={'k': [1]}, headers={'X-A': 'b'}).text\nreturn ['application/json' in t, t.endswith('{\"k\":[1]}'), 'x-a: b' in t]",
            json!([true, true, true]),
        ),
        (
            "t = requests.put(BASE, data={'k': 'a b'}).text\nreturn [t.startswith('PUT'), t.endswith('k=a+b')]",
            json!([true, true]),
        ),
        ("return 'authorization: Basic dTpw' in requests.request('PATCH', BASE, auth=('u', 'p')).text", json!(true)),
        ("import requests as r\nreturn r.get(BASE + '/go/1', allow_redirects=False).is_redirect", json!(true)),
        (
            "try:\n    requests.get(BASE + '/missing').raise_for_status()\nexcept requests.exceptions.HTTPError as e:\n    return str(e).startswith('404 Client Error: Not Found for url: http://127')",
            json!(true),
        ),
        (
            "from requests.exceptions import Timeout\ntry:\n    requests.get(BASE + '/slow', timeout=0.2)\nexcept Timeout:\n    return 'late'",
            json!("late"),
        ),
        (
            "try:\n    requests.get('http://169.254.169.254/')\nexcept requests.exceptions.RequestException as e:\n    return str(e)",
            json!("Calls to 169.254.169.254 are not allowed."),
        ),
        ("try:\n    requests.get(BASE).json()\nexcept ValueError:\n    return 'no json'", json!("no json")),
    ];
    for (source, expected) in cases {
        world.give(&[(source.replace("BASE", &format!("'{base}'")).as_str(), expected)]).await;
    }
    world
        .raise(&[
            ("requests.get('file:///etc/passwd')", "No connection adapters were found for 'file:'."),
            ("requests.get('nowhere')", "Invalid URL: no scheme or host supplied."),
            (
                "requests.get('https://example.com', verify=False)",
                "files, cert, proxies and verify=False are not supported.",
            ),
        ])
        .await;
}

#[tokio::test]
async fn names_are_resolved_without_raising() {
    let world = World::new().await;
    world.people().await;
    world
        .give(&[
            ("return resolve_dns('127.0.0.1')", json!(["127.0.0.1"])),
            ("return resolve_dns('127.0.0.1', 6)", json!([])),
            ("return resolve_dns('does-not-exist.invalid')", json!([])),
            ("return reverse_dns('no address')", json!("no address")),
        ])
        .await;
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let world = World::new().await;
    world.people().await;
    let text = "OAuth2 providers are not served yet, so no token can be created.";
    world.raise(&[("ak_create_jwt(request.user, 'p', [])", text), ("ak_create_jwt_raw('p')", text)]).await;
    world
        .give(&[
            ("from authentik.flows.planner import PLAN_CONTEXT_PENDING_USER as K\nreturn K", json!("pending_user")),
            (
                "from authentik.core.models import USER_ATTRIBUTE_CHANGE_NAME\nreturn USER_ATTRIBUTE_CHANGE_NAME",
                json!("goauthentik.io/user/can-change-name"),
            ),
        ])
        .await;
}
