//! The explanation agrees with the engine, shows everything, and leaves nothing behind.

use super::{Explained, explain};
use crate::{
    DummyPolicy, Engine, ExpressionPolicy, Mode, PasswordExpiryPolicy, PasswordPolicy, PolicyBinding, PolicyRequest,
    RequestInfo,
    tests::{Door, Told, World, object},
};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_identity::{Account, accounts};

async fn explained(world: &World, door: &str, mode: Mode, user: Option<&Account>) -> (Explained, usize) {
    let http = RequestInfo::default();
    let mut request = PolicyRequest {
        context: object(json!({"prompt_data": {"password": "hidden"}})),
        ..PolicyRequest::new(user, &http, Value::Null)
    };
    let engine = Engine::new(Uuid::parse_str(door).unwrap(), mode);
    let (result, events) = world.within(async |cx| explain(&engine, None, cx, &mut request).await.unwrap()).await;
    (result, events.len())
}

#[tokio::test]
async fn each_binding_is_shown_and_the_decision_is_the_engines() {
    let world = World::without_worker().await;
    world.people().await;
    let (ada, eve) = (world.account("ada").await, world.account("eve").await);
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let (empty, _) = explained(&world, &door, Mode::Any, None).await;
    assert!(empty.passing == Some(true) && empty.empty_result && empty.bindings.is_empty() && empty.fixed.is_null());
    let yes = world.create::<Told>(json!({"name": "yes", "passes": true, "execution_logging": true})).await.pk;
    let broken = world.create::<Told>(json!({"name": "broken", "fails": "It broke."})).await.pk;
    for (order, body) in [
        json!({"user": ada.id}),
        json!({"policy": yes, "negate": true}),
        json!({"policy": broken, "failure_result": true}),
        json!({"policy": yes, "enabled": false}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = object(body);
        body.extend(object(json!({"target": door, "order": order})));
        world.create::<PolicyBinding>(Value::Object(body)).await;
    }
    for (mode, user) in [
        (Mode::Any, Some(&ada)),
        (Mode::All, Some(&ada)),
        (Mode::Any, Some(&eve)),
        (Mode::All, Some(&eve)),
        (Mode::Any, None),
    ] {
        let (shown, events) = explained(&world, &door, mode, user).await;
        let (real, _) = world.ask(&door, mode, user).await;
        assert_eq!((shown.passing, shown.messages.len(), events), (Some(real.passing), real.messages.len(), 0));
        let column = |name: &str| shown.bindings.iter().map(|b| b[name].clone()).collect::<Vec<_>>();
        assert_eq!(column("kind"), ["user", "policy", "policy", "policy"]);
        assert_eq!(column("asked"), [true, true, true, false]);
        assert_eq!(column("passing")[1..], [json!(false), json!(true), Value::Null]);
        assert_eq!((&shown.bindings[1]["result"], &shown.bindings[1]["name"]), (&json!(true), &json!("yes")));
        assert_eq!(
            (&shown.bindings[2]["failed"], &shown.bindings[2]["messages"]),
            (&json!(true), &json!(["It broke."]))
        );
        assert_eq!(shown.fixed["passing"], json!(user.is_some_and(|user| user.id == ada.id)));
        assert!(!json!(shown).to_string().contains("hidden"));
    }
}

#[tokio::test]
async fn a_password_that_is_too_old_is_named_and_stays() {
    let world = World::without_worker().await;
    world.people().await;
    let mut ada = world.account("ada").await;
    let mut tx = world.site.db.tx();
    accounts::set_password_hash(&mut tx, ada.id, "old", ada.password_change_date).await.unwrap();
    tx.commit().await.unwrap();
    ada.password_change_date -= chrono::TimeDelta::days(40);
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let policy = world.create::<PasswordExpiryPolicy>(json!({"name": "p", "days": 30})).await.pk;
    world.create::<PolicyBinding>(json!({"target": door, "policy": policy, "order": 0})).await;
    let (shown, _) = explained(&world, &door, Mode::Any, Some(&ada)).await;
    assert_eq!((shown.passing, &shown.effects[0]["effect"]), (Some(false), &json!("expire_password")));
    assert_eq!(shown.bindings[0]["inputs"]["age_days"], json!(40));
    let stored = accounts::password_hash(&world.site.db, ada.id).await.unwrap();
    assert_eq!(stored.as_deref(), Some("old"));
}

#[tokio::test]
async fn what_another_server_decides_is_not_known_and_nothing_is_asked_or_waited_for() {
    let world = World::new().await;
    world.people().await;
    let eve = world.account("eve").await;
    // A failure that is caught would otherwise look like an answer.
    let asks = |what: &str| {
        let body = format!("ak_message('before')\ntry:\n    {what}\nexcept Exception:\n    pass\nreturn True");
        json!({"name": what, "expression": body})
    };
    let doors = async |policy: Value, negate: bool| {
        let door = world.create::<Door>(json!({"name": world.site.random.text(8)})).await.pk;
        let binding = json!({"target": door, "policy": policy, "order": 0, "negate": negate, "timeout": 2});
        world.create::<PolicyBinding>(binding).await;
        door
    };
    for (what, named) in [
        ("requests.get('http://u:p@127.0.0.1:1/x?key=1', timeout=1)", "GET http://127.0.0.1:1/x"),
        ("resolve_dns('example.org')", "DNS: example.org"),
        ("reverse_dns('192.0.2.1')", "DNS: 192.0.2.1"),
    ] {
        let policy = world.create::<ExpressionPolicy>(asks(what)).await.pk;
        let door = doors(policy.clone().into(), true).await;
        let (shown, events) = explained(&world, &door, Mode::All, Some(&eve)).await;
        assert_eq!((shown.passing, events, &shown.messages), (None, 0, &vec!["before".to_owned()]), "{what}");
        assert_eq!(shown.bindings[0]["not_asked"], json!([named]));
        assert_eq!((&shown.bindings[0]["result"], &shown.bindings[0]["failed"]), (&Value::Null, &json!(false)));
        // One that decides whatever the others say.
        world.create::<PolicyBinding>(json!({"target": door, "user": eve.id, "order": 1})).await;
        assert_eq!(explained(&world, &door, Mode::Any, Some(&eve)).await.0.passing, Some(true));
        assert_eq!(explained(&world, &door, Mode::Any, None).await.0.passing, None);
        assert_eq!(explained(&world, &door, Mode::All, None).await.0.passing, Some(false));
    }
    let address = world.create::<ExpressionPolicy>(asks("resolve_dns('192.0.2.1')")).await.pk;
    assert_eq!(explained(&world, &doors(address.into(), false).await, Mode::Any, None).await.0.passing, Some(true));

    let pwned = json!({"name": "pwned", "check_have_i_been_pwned": true, "check_zxcvbn": true});
    let pwned = world.create::<PasswordPolicy>(pwned).await.pk;
    let door = doors(pwned.clone().into(), false).await;
    assert_eq!(explained(&world, &door, Mode::Any, None).await.0.passing, Some(false), "guessed at once");
    world.change::<PasswordPolicy>(&pwned, json!({"check_zxcvbn": false})).await.unwrap();
    let (shown, _) = explained(&world, &door, Mode::Any, None).await;
    assert_eq!((shown.passing, shown.bindings[0]["not_asked"][0].is_string()), (None, true));

    let dummy = |name: &str, wait: i32| json!({"name": name, "result": true, "wait_min": wait, "wait_max": wait + 1});
    let started = std::time::Instant::now();
    let quick = world.create::<DummyPolicy>(dummy("quick", 2)).await.pk;
    let (shown, _) = explained(&world, &doors(quick.into(), false).await, Mode::Any, None).await;
    assert_eq!((shown.passing, &shown.bindings[0]["inputs"]["wait_seconds"]), (Some(true), &json!(2)));
    let slow = world.create::<DummyPolicy>(dummy("slow", 3)).await.pk;
    let (shown, _) = explained(&world, &doors(slow.into(), false).await, Mode::Any, None).await;
    assert_eq!(shown.messages, ["The policy took longer than 2 seconds."]);
    assert_eq!((shown.passing, &shown.bindings[0]["failed"]), (Some(false), &json!(true)));
    assert!(started.elapsed().as_secs() < 2);
}

#[tokio::test]
async fn what_expressions_would_do_is_named_and_they_are_not_told_that_it_is_a_dry_run() {
    let world = World::new().await;
    world.people().await;
    let inner = "ak_create_event('seen', colour='red')\nak_send_email('a@example.org', 'Hello', body='x')\nreturn 1";
    world.create::<ExpressionPolicy>(json!({"name": "inner", "expression": inner})).await;
    let outer = "return ak_call_policy('inner').passing and not request.debug";
    let outer = world.create::<ExpressionPolicy>(json!({"name": "outer", "expression": outer})).await.pk;
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    world.create::<PolicyBinding>(json!({"target": door, "policy": outer, "order": 0})).await;
    let (shown, events) = explained(&world, &door, Mode::Any, None).await;
    assert_eq!((shown.passing, events), (Some(true), 0), "{:?}", shown.messages);
    assert_eq!(
        shown.effects,
        [
            json!({"effect": "create_event", "action": "custom_seen"}),
            json!({"effect": "send_mail", "to": ["a@example.org"], "subject": "Hello"}),
        ]
    );
}
