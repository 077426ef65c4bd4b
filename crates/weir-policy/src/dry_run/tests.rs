//! The explanation agrees with the engine, shows everything, and leaves nothing behind.

use super::{Explained, explain};
use crate::{
    Engine, Mode, PasswordExpiryPolicy, PolicyBinding, PolicyCx, PolicyRequest, RequestInfo,
    tests::{Door, Told, World, object},
};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_identity::{Account, accounts};

async fn explained(world: &World, door: &str, mode: Mode, user: Option<&Account>) -> (Explained, usize) {
    let (snapshot, mut tx, mut events) = (world.site.snapshot(), world.site.db.tx(), Vec::new());
    let mut cx = PolicyCx {
        site: &world.site,
        snapshot: &snapshot,
        tx: &mut tx,
        kinds: &world.kinds,
        events: &mut events,
        depth: 0,
    };
    let http = RequestInfo::default();
    let mut request = PolicyRequest {
        user,
        http: &http,
        obj: Value::Null,
        context: object(json!({"prompt_data": {"password": "hidden"}})),
        plan_context: None,
        plan_redirect: None,
        debug: false,
        dry_run: false,
        effects: Vec::new(),
    };
    let engine = Engine::new(Uuid::parse_str(door).unwrap(), mode);
    let result = explain(&engine, None, &mut cx, &mut request).await.unwrap();
    assert!(!tx.is_writing());
    (result, events.len())
}

#[tokio::test]
async fn each_binding_is_shown_and_the_decision_is_the_engines() {
    let world = World::without_worker().await;
    world.people().await;
    let (ada, eve) = (world.account("ada").await, world.account("eve").await);
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let (empty, _) = explained(&world, &door, Mode::Any, None).await;
    assert!(empty.passing && empty.empty_result && empty.bindings.is_empty() && empty.fixed.is_null());
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
        assert_eq!((shown.passing, shown.messages.len(), events), (real.passing, real.messages.len(), 0));
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
    assert_eq!((shown.passing, &shown.effects[0]["effect"]), (false, &json!("expire_password")));
    assert_eq!(shown.bindings[0]["inputs"]["age_days"], json!(40));
    let stored = accounts::password_hash(&world.site.db, ada.id).await.unwrap();
    assert_eq!(stored.as_deref(), Some("old"));
}
