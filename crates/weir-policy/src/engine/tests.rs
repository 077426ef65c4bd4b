//! Modes, negation, failures, static bindings, visitors.

use crate::{
    DummyPolicy, Mode, PolicyBinding,
    tests::{Door, Told, World},
};
use serde_json::{Value, json};

/// A door with bindings: each as fields of the binding and, under `told`, of its policy.
async fn door(world: &World, bindings: Vec<Value>) -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let door = world.create::<Door>(json!({"name": format!("door {number}")})).await.pk;
    for (index, mut binding) in bindings.into_iter().enumerate() {
        let fields = binding.as_object_mut().unwrap();
        if let Some(Value::Object(mut told)) = fields.remove("told") {
            told.entry("name").or_insert_with(|| json!(format!("told {number} {index}")));
            let policy = world.create::<Told>(Value::Object(told)).await.pk;
            fields.insert("policy".to_owned(), json!(policy));
        }
        fields.insert("target".to_owned(), json!(door));
        fields.entry("order").or_insert_with(|| json!(index));
        world.create::<PolicyBinding>(binding).await;
    }
    door
}

fn told(passes: bool) -> Value {
    json!({"told": {"passes": passes}})
}

fn negated(passes: bool) -> Value {
    json!({"told": {"passes": passes}, "negate": true})
}

fn failing(failure_result: bool, negate: bool) -> Value {
    json!({"told": {"fails": "it broke"}, "failure_result": failure_result, "negate": negate})
}

fn off(passes: bool) -> Value {
    json!({"told": {"passes": passes}, "enabled": false})
}

#[tokio::test]
async fn modes_combine_negated_failing_and_disabled_bindings() {
    let world = World::without_worker().await;
    let cases: Vec<(Vec<Value>, bool, bool)> = vec![
        // Bindings, passing in mode any, in mode all.
        (vec![], true, true),
        (vec![off(false)], true, true),
        (vec![told(true)], true, true),
        (vec![told(false)], false, false),
        (vec![told(true), told(false)], true, false),
        (vec![told(false), off(true)], false, false),
        (vec![told(true), off(false)], true, true),
        (vec![negated(false)], true, true),
        (vec![negated(true), told(true)], true, false),
        (vec![failing(false, false)], false, false),
        (vec![failing(true, false)], true, true),
        (vec![failing(true, true)], true, true),
        (vec![failing(false, true)], false, false),
        (vec![failing(false, true), told(true)], true, false),
    ];
    for (bindings, any, all) in cases {
        let shown = format!("{bindings:?}");
        let door = door(&world, bindings).await;
        assert_eq!(world.ask(&door, Mode::Any, None).await.0.passing, any, "any of {shown}");
        assert_eq!(world.ask(&door, Mode::All, None).await.0.passing, all, "all of {shown}");
    }
}

#[tokio::test]
async fn group_and_user_bindings_make_one_result() {
    let world = World::without_worker().await;
    world.people().await;
    let (ada, bob, eve) = (world.account("ada").await, world.account("bob").await, world.account("eve").await);
    let group = |name: &'static str| {
        let site = &world.site;
        async move {
            let found = weir_identity::membership::group_by_name(&site.db, name).await.unwrap();
            json!({"group": found.unwrap().id.to_string()})
        }
    };
    let (staff, admins) = (group("staff").await, group("admins").await);
    let not_staff = json!({"group": staff["group"], "negate": true});
    let only_eve = json!({"user": eve.id});
    let cases = vec![
        // Bindings; then, per person, whether any and whether all are met.
        (vec![staff.clone()], [(true, true), (true, true), (false, false), (false, false)]),
        (vec![admins.clone()], [(true, true), (false, false), (false, false), (false, false)]),
        (vec![staff.clone(), admins.clone()], [(true, true), (true, false), (false, false), (false, false)]),
        (vec![not_staff.clone()], [(false, false), (false, false), (true, true), (false, false)]),
        (vec![only_eve.clone()], [(false, false), (false, false), (true, true), (false, false)]),
        (vec![admins.clone(), not_staff], [(true, false), (false, false), (true, false), (false, false)]),
        (vec![admins.clone(), told(true)], [(true, true), (true, false), (true, false), (true, false)]),
        (vec![admins, only_eve, told(false)], [(true, false), (false, false), (true, false), (false, false)]),
    ];
    for (bindings, expected) in cases {
        let shown = format!("{bindings:?}");
        let door = door(&world, bindings).await;
        for (person, (any, all)) in [Some(&ada), Some(&bob), Some(&eve), None].into_iter().zip(expected) {
            let name = person.map(|p| p.username.as_str());
            assert_eq!(world.ask(&door, Mode::Any, person).await.0.passing, any, "any of {shown} for {name:?}");
            assert_eq!(world.ask(&door, Mode::All, person).await.0.passing, all, "all of {shown} for {name:?}");
        }
    }
}

#[tokio::test]
async fn messages_come_in_the_order_of_bindings_whatever_the_results() {
    let world = World::without_worker().await;
    let mut bindings = vec![
        json!({"told": {"name": "last", "passes": true}, "order": 9}),
        json!({"told": {"name": "first", "passes": false}, "order": -5}),
        json!({"told": {"name": "second", "fails": "it broke"}, "order": 0}),
        json!({"told": {"name": "third", "passes": true}, "order": 3, "negate": true}),
    ];
    bindings.push(json!({"told": {"name": "off"}, "order": 4, "enabled": false}));
    let door = door(&world, bindings).await;
    let (result, _) = world.ask(&door, Mode::Any, None).await;
    assert_eq!(result.messages, ["first spoke", "it broke", "third spoke", "last spoke"]);
    let asked: Vec<_> = result.asked.iter().map(|a| (a.policy.as_str(), a.passing)).collect();
    assert_eq!(asked, [("first", false), ("second", false), ("third", false), ("last", true)]);
}

#[tokio::test]
async fn a_policy_that_takes_too_long_has_failed() {
    let world = World::without_worker().await;
    let slow = json!({"told": {"passes": true, "wait_ms": 60_000}, "timeout": 1, "failure_result": false});
    let door = door(&world, vec![slow]).await;
    let (result, events) = world.ask(&door, Mode::Any, None).await;
    assert!(!result.passing);
    assert_eq!(result.messages, ["The policy took longer than 1 seconds."]);
    assert_eq!(events.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["policy_exception"]);
}

#[tokio::test]
async fn failures_become_events_and_runs_only_when_asked_for() {
    let world = World::without_worker().await;
    let door = door(
        &world,
        vec![
            json!({"told": {"passes": true}}),
            json!({"told": {"name": "logged", "passes": true, "execution_logging": true}}),
            json!({"told": {"name": "broken", "fails": "it broke"}}),
        ],
    )
    .await;
    let (_, events) = world.ask(&door, Mode::All, None).await;
    let [run, failure] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(run.action, "policy_execution");
    assert_eq!(run.context["policy"]["name"], "logged");
    assert_eq!(run.context["result"], json!({"passing": true, "messages": ["logged spoke"]}));
    assert_eq!(failure.action, "policy_exception");
    assert_eq!(failure.context["policy"]["model_name"], "told");
    assert_eq!(failure.context["message"], "it broke");
}

#[tokio::test]
async fn a_kind_that_is_not_served_fails() {
    let mut world = World::without_worker().await;
    let door = door(&world, vec![told(true)]).await;
    world.kinds = crate::kinds(std::sync::Arc::clone(&world.expressions), crate::HIBP_URL);
    let (result, _) = world.ask(&door, Mode::Any, None).await;
    assert_eq!((result.passing, result.messages), (false, vec!["The policy's kind is not served.".to_owned()]));
}

#[tokio::test]
async fn exactly_one_of_policy_group_and_user_is_bound() {
    let world = World::without_worker().await;
    world.people().await;
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let policy = world.create::<DummyPolicy>(json!({"name": "dummy"})).await.pk;
    let eve = world.account("eve").await.id;
    let refused = |body: Value| {
        let world = &world;
        async move { world.try_create::<PolicyBinding>(body).await.err().unwrap().body() }
    };
    assert_eq!(
        refused(json!({"target": door, "order": 0})).await,
        json!({"non_field_errors": ["One of 'group', 'policy', 'user' must be set."]})
    );
    assert_eq!(
        refused(json!({"target": door, "order": 0, "policy": policy, "user": eve})).await,
        json!({"non_field_errors": ["Only one of 'group', 'policy', 'user' can be set."]})
    );
}
