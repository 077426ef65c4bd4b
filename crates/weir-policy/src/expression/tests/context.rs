//! The request, the context and the plan.

use crate::{
    ExpressionPolicy, RequestInfo,
    expression::{Environment, Expressions, PROMPT_KINDS},
    tests::{World, http, object, worker},
};
use serde_json::{Value, json};
use weir_expression::{Pool, PoolSettings};

#[tokio::test]
async fn the_plan_is_changed_through_flow_plan() {
    let world = World::new().await;
    world.people().await;
    let bob = world.account("bob").await;
    let ran = world
        .run(
            "plan = request.context['flow_plan'].context\n\
             plan['pending_user'] = ak_user_by(username='bob')\n\
             plan['groups'] = [request.user.groups.first()]\n\
             plan['prompt_data']['username'] = 'new'\n\
             plan['redirect_stage_target'] = 'https://example.com'\n\
             plan['n'] = (1, 2.5, None, b'x')\n\
             context['only_here'] = 1\n\
             return True",
        )
        .await;
    assert!(ran.result.unwrap().passing);
    assert_eq!(ran.plan["pending_user"], json!({"pk": bob.id}));
    assert_eq!(ran.plan["groups"][0]["name"], "admins");
    assert_eq!(ran.plan["groups"][0]["model_name"], "group");
    assert!(ran.plan["groups"][0]["pk"].is_string());
    assert_eq!(ran.plan["prompt_data"], json!({"email": "New@example.com", "username": "new"}));
    assert_eq!(ran.plan["redirect_stage_target"], "https://example.com");
    assert_eq!(ran.plan["n"], json!([1, 2.5, null, "x"]));
    assert!(!ran.plan.contains_key("only_here"));
    assert!(!ran.context.contains_key("flow_plan"));
    // The next policy of the request sees both.
    assert_eq!((&ran.context["only_here"], &ran.context["prompt_data"]["username"]), (&json!(1), &json!("new")));
}

#[tokio::test]
async fn a_change_inside_of_the_context_is_one_of_the_plan_because_python_shares_it() {
    let world = World::new().await;
    world.people().await;
    let ran =
        world.run("request.context['prompt_data']['username'] = context['prompt_data'].pop('email').lower()").await;
    assert_eq!(ran.plan["prompt_data"], json!({"username": "new@example.com"}));
    let ran = world.run("del context['prompt_data']\nreturn 1").await;
    assert!(ran.plan.contains_key("prompt_data") && !ran.context.contains_key("prompt_data"));
    let ran = world.run("context['flow_plan'].context.pop('prompt_data')").await;
    assert!(!ran.plan.contains_key("prompt_data"));
}

#[tokio::test]
async fn a_plan_that_was_not_touched_stays_as_it_is() {
    let world = World::new().await;
    world.people().await;
    let (ada, bob) = (world.account("ada").await, world.account("bob").await);
    let plan = json!({
        "pending_user": {"pk": bob.id}, "n": 18_446_744_073_709_551_615u64, "list": [1.0, {"a": null}],
        "application": {"app": "authentik_core", "model_name": "application", "pk": "x", "name": "gone"},
        "odd:key": true, "is_redirected": "0b7e0c9c-5e5c-4f3e-9d2f-0a8c2f1f4a11",
    });
    let source =
        "u = context['pending_user']\nu.attributes['x'] = 1\nreturn [u.username, u.groups.count(), context['list'][1]]";
    let ran = world.run_in(source, Some(&ada), &http(), plan.clone()).await;
    assert_eq!(ran.value(), json!(["bob", 1, {"a": null}]));
    assert_eq!((Value::Object(ran.plan), Value::Object(ran.context)), (plan.clone(), plan));
}

#[tokio::test]
async fn answers_to_questions_for_dates_are_dates() {
    let world = World::new().await;
    let plan = json!({
        "prompt_data": {"born": "2000-02-29", "at": "2026-02-28T12:00:00.000000Z", "text": "2000-02-29", "odd": "soon"},
        PROMPT_KINDS: {"born": "date", "at": "date-time", "odd": "date", "gone": "date"},
    });
    let source = "import datetime\n\
                  data = request.context['prompt_data']\n\
                  data['seen'] = data['born'] + datetime.timedelta(days=1)\n\
                  return [data['born'] < datetime.date(2001, 1, 1), data['at'].year, data['text'], data['odd']]";
    let ran = world.run_in(source, None, &http(), plan.clone()).await;
    assert_eq!(ran.value(), json!([true, 2026, "2000-02-29", "soon"]));
    // The plan keeps text.
    let data = &ran.plan["prompt_data"];
    assert_eq!((&data["born"], &data["seen"]), (&json!("2000-02-29"), &json!("2000-03-01")));
    assert_eq!(data["at"], "2026-02-28T12:00:00+00:00");
}

#[tokio::test]
async fn what_was_changed_before_an_exception_counts() {
    let world = World::new().await;
    world.people().await;
    let ran = world.run("context['flow_plan'].context['x'] = 1\nraise ValueError('no')").await;
    assert_eq!(ran.error(), "no");
    assert_eq!(ran.plan["x"], 1);
}

#[tokio::test]
async fn the_plan_can_be_told_to_redirect() {
    let world = World::new().await;
    world.people().await;
    let ran = world.run("context['flow_plan'].redirect('https://example.com/a')\nreturn True").await;
    assert_eq!(ran.redirect.as_deref(), Some("https://example.com/a"));
}

#[tokio::test]
async fn an_unsaved_user_becomes_a_claim() {
    let world = World::new().await;
    world.people().await;
    let ran = world
        .run(
            "from authentik.core.models import User\nu = User(username='zoe', email='z@example.com')\n\
             context['flow_plan'].context['pending_user'] = u\nreturn [u.pk, u.username, u.groups.count()]",
        )
        .await;
    assert_eq!(ran.value(), json!([null, "zoe", 0]));
    assert_eq!(ran.plan["pending_user"], json!({"pk": null, "username": "zoe", "email": "z@example.com", "name": ""}));
}

#[tokio::test]
async fn nothing_an_expression_leaves_can_break_the_database() {
    let world = World::new().await;
    world.people().await;
    let ran = world.run("context['flow_plan'].context['a\\0'] = ['b\\0']\nak_message('m\\0')\nreturn 'r\\0'").await;
    assert_eq!(ran.plan["a\u{fffd}"], json!(["b\u{fffd}"]));
    let result = ran.result.unwrap();
    assert_eq!((result.raw_result, result.messages), (json!("r\u{fffd}"), vec!["m\u{fffd}".to_owned()]));
}

#[tokio::test]
async fn the_http_request_looks_like_djangos() {
    let world = World::new().await;
    world.people().await;
    let ada = world.account("ada").await;
    let bob = world.account("bob").await;
    let request = RequestInfo { user: Some(bob.id), ..http() };
    let source = "r = request.http_request\nreturn {\n\
         'method': r.method, 'path': r.path, 'get': r.GET.get('query'), 'post': r.POST, 'agent': r.META['HTTP_USER_AGENT'],\n\
         'header': r.headers['X-Colour'], 'remote': r.META['REMOTE_ADDR'], 'cookie': r.COOKIES['authentik_device'],\n\
         'flow': r.session['authentik/flows/get'], 'user': r.user.username, 'brand': r.brand.branding_title,\n\
         'tenant': r.tenant.default_user_change_name, 'here': r.build_absolute_uri(), 'there': r.build_absolute_uri('/x?y=1'),\n\
         'secure': r.is_secure(), 'host': r.get_host(), 'ip': str(ak_client_ip), 'in': ak_client_ip in ip_network('10.0.0.0/8'),\n\
         'same': http_request is r, 'sso': ak_is_sso_flow, 'obj': request.obj, 'id': r.request_id}";
    let ran = world.run_in(source, Some(&ada), &request, json!({})).await;
    assert_eq!(
        ran.value(),
        json!({
            "method": "GET", "path": "/api/v3/flows/executor/x/", "get": "next=%2Fgo&a=1&a=2", "post": {}, "agent": "Tester/1",
            "header": "red", "remote": "10.1.2.3", "cookie": "d", "flow": {"next": "/go", "a": "2"}, "user": "bob",
            "brand": "authentik", "tenant": true,
            "here": "https://id.example.com:9443/api/v3/flows/executor/x/?query=next%3D%252Fgo%26a%3D1%26a%3D2",
            "there": "https://id.example.com:9443/x?y=1", "secure": true, "host": "id.example.com:9443", "ip": "10.1.2.3",
            "in": true, "same": true, "sso": false, "obj": null, "id": "abc",
        })
    );
    let anonymous = world.run("return http_request.user.is_authenticated").await;
    assert_eq!(anonymous.value(), json!(false));
}

#[tokio::test]
async fn mappings_and_prompts_have_their_own_variables() {
    let world = World::new().await;
    world.people().await;
    let (ada, request) = (world.account("ada").await, http());
    let evaluate = |source: &'static str, variables: Value| {
        let (world, ada, request) = (&world, &ada, &request);
        async move {
            let env = Environment { name: "prompt", user: Some(ada), http: request, variables: object(variables) };
            world.within(async |cx| world.expressions.evaluate(cx, source, env).await).await.0
        }
    };
    let value = evaluate(
        "return {'u': user.username, 'r': request.user.username, 'p': prompt_context['a'], 'c': request.context['prompt_context'], 'h': http_request.method}",
        json!({"prompt_context": {"a": 1}, "regex_match": "hidden", "user": "hidden"}),
    )
    .await
    .unwrap();
    assert_eq!(value, json!({"u": "ada", "r": "ada", "p": 1, "c": {"a": 1}, "h": "GET"}));
    let person = evaluate("return user", json!({})).await.unwrap();
    assert_eq!(person, json!({"pk": ada.id, "username": "ada", "email": "ada@Example.com"}));
    let error = evaluate("raise SkipObject('x')", json!({})).await.unwrap_err();
    let class = match error.downcast_ref::<weir_expression::EvalError>() {
        Some(weir_expression::EvalError::Raised(exception)) => exception.class.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(class, "SkipObject");
}

#[tokio::test]
async fn events_and_notifications_have_attributes() {
    let world = World::new().await;
    world.people().await;
    let bob = world.account("bob").await;
    let event = json!({
        "pk": "4c41a4b1-4f2f-4f0e-9c1e-0d5a5d3a2b10", "action": "login", "app": "authentik.core", "client_ip": "192.0.2.1",
        "user": {"pk": 4, "username": "ann"}, "context": {"model": {"app": "a", "model_name": "b", "pk": "c"}},
        "created": "2026-01-02T03:04:05.000006Z",
    });
    let source = "event = context['event']\n\
                  ak_message(event)\n\
                  ak_message(f\"{event.user['username']} {event.context['model']['pk']} {event.created.year}\")\n\
                  return [event.action, event.client_ip, event.brand, request.context['event'].app, event]";
    let policy = world.create::<ExpressionPolicy>(json!({"name": "rule", "expression": source})).await;
    let tried = world.try_policy(&policy.pk, Some(&bob), &http(), json!({"event": event})).await;
    assert_eq!(tried.messages, ["Event login", "ann c 2026"]);
    let named = json!({"app": "authentik_events", "model_name": "event", "pk": event["pk"], "name": "Event login"});
    assert_eq!(tried.raw, json!(["login", "192.0.2.1", {}, "authentik.core", named]));

    let request = http();
    let variables = object(json!({"notification": {"body": "odd", "severity": "alert", "event": event}}));
    let env = Environment { name: "hook", user: Some(&bob), http: &request, variables };
    let source = "n = request.context['notification']\n\
                  return [n.body, n.severity, n.user.username, n.event.action, notification.body]";
    let (value, _) = world.within(async |cx| world.expressions.evaluate(cx, source, env).await.unwrap()).await;
    assert_eq!(value, json!(["odd", "alert", "bob", "login", "odd"]));
}

#[tokio::test]
async fn what_people_typed_is_never_taken_for_an_object() {
    let world = World::new().await;
    world.people().await;
    let staff = weir_identity::membership::group_by_name(&world.site.db, "staff").await.unwrap().unwrap();
    let group = json!({"app": "authentik_core", "model_name": "group", "pk": staff.id.to_string(), "name": "staff"});
    let source =
        "return [type(context['prompt_data']['x']).__name__, [g.attributes['level'] for g in context['groups']]]";
    let ran = world.run_in(source, None, &http(), json!({"prompt_data": {"x": group}, "groups": [group]})).await;
    assert_eq!(ran.value(), json!(["dict", [1]]));
}

#[tokio::test]
async fn mappings_that_call_policies_do_not_wait_for_their_own_place() {
    let mut settings = PoolSettings::new(worker(), [] as [&str; 0]);
    settings.size = 1;
    let world = World::with(Expressions::new(Pool::new(settings))).await;
    world.create::<ExpressionPolicy>(json!({"name": "inner", "expression": "return 7"})).await;
    let request = http();
    let env = Environment { name: "prompt", user: None, http: &request, variables: object(json!({})) };
    let source = "return ak_call_policy('inner').raw_result";
    let (value, _) = world.within(async |cx| world.expressions.evaluate(cx, source, env).await.unwrap()).await;
    assert_eq!(value, json!(7));
}
