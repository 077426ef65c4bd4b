//! Saving, binding and trying out.

use super::ExpressionPolicy;
use crate::{
    DummyPolicy, Mode, PolicyBinding, TestRun, test_policy,
    tests::{Door, World, http, object},
};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Resource;
use weir_resource::{Actor, Presenting, Stored, present};

#[tokio::test]
async fn a_source_that_is_no_program_is_not_saved() {
    let world = World::new().await;
    let error =
        world.try_create::<ExpressionPolicy>(json!({"name": "p", "expression": "return ("})).await.err().unwrap();
    assert_eq!(error.status(), 400);
    let text = error.body()["expression"][0].as_str().unwrap().to_owned();
    assert!(text.starts_with("Expression Syntax Error: "), "{text}");
    let good = world.create::<ExpressionPolicy>(json!({"name": "p", "expression": "return True"})).await.pk;
    let error = world.change::<ExpressionPolicy>(&good, json!({"expression": "if:"})).await.err().unwrap();
    assert_eq!(error.status(), 400);
}

#[tokio::test]
async fn without_a_worker_only_what_leaves_the_source_alone_is_saved() {
    let world = World::without_worker().await;
    let body = json!({"name": "p", "expression": "return True"});
    assert_eq!(world.try_create::<ExpressionPolicy>(body).await.err().unwrap().status(), 503);
}

#[tokio::test]
async fn an_expression_passes_when_it_returns_something_true() {
    let world = World::new().await;
    world.people().await;
    let ada = world.account("ada").await;
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let expression = "ak_message('hello')\nif request.user.username == 'ada':\n    return [1]";
    let policy = world.create::<ExpressionPolicy>(json!({"name": "p", "expression": expression})).await.pk;
    world.create::<PolicyBinding>(json!({"target": door, "policy": policy, "order": 0})).await;
    let (result, _) = world.ask(&door, Mode::Any, Some(&ada)).await;
    assert_eq!((result.passing, result.messages), (true, vec!["hello".to_owned()]));
    let (result, _) = world.ask(&door, Mode::Any, None).await;
    assert_eq!((result.passing, result.messages), (false, vec!["hello".to_owned()]));
}

#[tokio::test]
async fn an_exception_is_a_failure_with_its_text() {
    let world = World::new().await;
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let expression = "ak_message('before')\nraise ValueError('stop here')";
    let policy = world.create::<ExpressionPolicy>(json!({"name": "p", "expression": expression})).await.pk;
    let binding = json!({"target": door, "policy": policy, "order": 0, "failure_result": true, "negate": true});
    world.create::<PolicyBinding>(binding).await;
    let (result, events) = world.ask(&door, Mode::All, None).await;
    assert_eq!((result.passing, result.messages), (true, vec!["before".to_owned(), "stop here".to_owned()]));
    assert_eq!((events[0].action.as_str(), &events[0].context["message"]), ("policy_exception", &json!("stop here")));
}

#[tokio::test]
async fn policies_call_policies_on_a_copy_of_the_request() {
    let world = World::new().await;
    world.people().await;
    let inner = "context['changed'] = 1\nak_message('inner')\nreturn context['level'] > 3";
    world.create::<ExpressionPolicy>(json!({"name": "inner", "expression": inner})).await;
    world.create::<ExpressionPolicy>(json!({"name": "broken", "expression": "raise KeyError('k')"})).await;
    world.create::<DummyPolicy>(json!({"name": "dummy", "wait_min": 0, "wait_max": 0, "result": true})).await;
    let plan = "request.context['flow_plan'].context['deep'] = {'n': 2}\nreturn True";
    world.create::<ExpressionPolicy>(json!({"name": "plan", "expression": plan})).await;
    world
        .give(&[
            (
                "r = ak_call_policy('inner', level=5)\nreturn [r.passing, list(r.messages), r.raw_result]",
                json!([true, ["inner"], true]),
            ),
            (
                "return [ak_call_policy('inner', level=1).passing, 'level' in context, 'changed' in context]",
                json!([false, false, false]),
            ),
            ("r = ak_call_policy('broken')\nreturn [r.passing, len(r.messages)]", json!([false, 1])),
            ("return ak_call_policy(name='dummy').messages[0]", json!("dummy")),
        ])
        .await;
    world.raise(&[("ak_call_policy('nobody')", "Policy 'nobody' not found.")]).await;
    let ran = world.run("ak_call_policy('plan')\nrequest.context['flow_plan'].context['own'] = 1\nreturn True").await;
    assert_eq!((&ran.plan["deep"], &ran.plan["own"]), (&json!({"n": 2}), &json!(1)));
}

#[tokio::test]
async fn policies_that_call_themselves_end() {
    let world = World::new().await;
    world.people().await;
    let expression = "r = ak_call_policy('loop')\nfor m in r.messages:\n    ak_message(m)\nreturn r.passing";
    world.create::<ExpressionPolicy>(json!({"name": "loop", "expression": expression})).await;
    let ran = world.run("return list(ak_call_policy('loop').messages)").await;
    let messages = ran.value();
    assert!(messages[0].as_str().unwrap().contains("too deeply"), "{messages}");
}

async fn try_out(world: &World, expression: &str, context: Value) -> crate::PolicyTest {
    let name = format!("p {}", expression.len());
    let policy = world.create::<ExpressionPolicy>(json!({"name": name, "expression": expression})).await;
    let (ada, http) = (world.account("ada").await, http());
    let run = TestRun {
        actor: Actor::default(),
        http: &http,
        policy: Uuid::parse_str(&policy.pk).unwrap(),
        user: &ada,
        context: object(context),
    };
    test_policy(&world.site, &world.kinds, run).await.unwrap()
}

#[tokio::test]
async fn a_policy_can_be_tried_out_without_a_trace() {
    let world = World::new().await;
    world.people().await;
    let source = "ak_create_event('tried')\nak_logger.warning('odd', user=request.user.username, password='x')\n\
                  ak_message('hi')\nreturn request.debug and request.obj is None and context == {'a': 1}";
    let before = world.site.db.read("SELECT COUNT(*) AS n FROM audit_event", &[]).await.unwrap()[0].int("n").unwrap();
    let tried = try_out(&world, source, json!({"a": 1})).await;
    assert_eq!((tried.passing, tried.messages), (true, vec!["hi".to_owned()]));
    let [line] = tried.log_messages.as_slice() else { panic!("{:?}", tried.log_messages) };
    assert_eq!((&line["log_level"], &line["event"]), (&json!("warning"), &json!("odd")));
    assert_eq!(
        (&line["attributes"]["user"], &line["attributes"]["password"]),
        (&json!("ada"), &json!(weir_events::MASK))
    );
    let after = world.site.db.read("SELECT COUNT(*) AS n FROM audit_event", &[]).await.unwrap()[0].int("n").unwrap();
    // The creation of the policy, and nothing else.
    assert_eq!(after, before + 1);
    let failed = try_out(&world, "ak_logger.info('here')\nreturn 1 / 0", json!({})).await;
    assert_eq!((failed.passing, failed.log_messages.len()), (false, 1));
    assert_eq!(failed.messages, ["division by zero"]);
    let nothing = try_out(&world, "pass", json!({})).await;
    assert!(!nothing.passing);
    assert_eq!(nothing.log_messages[0]["log_level"], "warning");
}

#[tokio::test]
async fn what_is_no_policy_cannot_be_tried() {
    let world = World::without_worker().await;
    world.people().await;
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let (ada, http) = (world.account("ada").await, http());
    for id in [Uuid::parse_str(&door).unwrap(), Uuid::nil()] {
        let run = TestRun { actor: Actor::default(), http: &http, policy: id, user: &ada, context: Default::default() };
        assert_eq!(test_policy(&world.site, &world.kinds, run).await.unwrap_err().status(), 404);
    }
}

#[tokio::test]
async fn bindings_show_what_they_bind() {
    let world = World::new().await;
    world.people().await;
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let policy = world.create::<ExpressionPolicy>(json!({"name": "p", "expression": "return 1"})).await.pk;
    let eve = world.account("eve").await;
    let staff = weir_identity::membership::group_by_name(&world.site.db, "staff").await.unwrap().unwrap();
    let mut rows: Vec<Stored> = Vec::new();
    for (order, what) in
        [json!({"policy": policy}), json!({"group": staff.id.to_string()}), json!({"user": eve.id})].iter().enumerate()
    {
        let mut body = object(what.clone());
        body.extend(object(json!({"target": door, "order": order})));
        rows.push(world.create::<PolicyBinding>(Value::Object(body)).await);
    }
    let snapshot = world.site.snapshot();
    let cx = Presenting {
        site: &world.site,
        snapshot: &snapshot,
        query: &[],
        user_id: None,
        session: None,
        base_url: "",
        operation: "",
    };
    let shown = present(&cx, &rows).await.unwrap();
    assert_eq!(
        shown[0]["policy_obj"],
        json!({
            "pk": policy, "name": "p", "execution_logging": false, "component": "ak-policy-expression-form",
            "verbose_name": "Expression Policy", "verbose_name_plural": "Expression Policies",
            "meta_model_name": ExpressionPolicy::MODEL, "bound_to": 1,
        })
    );
    assert_eq!((&shown[0]["group_obj"], &shown[0]["user_obj"]), (&Value::Null, &Value::Null));
    assert_eq!((&shown[1]["group_obj"]["name"], &shown[1]["policy_obj"]), (&json!("staff"), &Value::Null));
    assert_eq!((&shown[2]["user_obj"]["username"], &shown[2]["user_obj"]["pk"]), (&json!("eve"), &json!(eve.id)));
    assert!(shown.iter().all(|s| s["expires"] == Value::Null && s["expiring"] == json!(false)));
}
