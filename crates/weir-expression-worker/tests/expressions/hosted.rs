//! What the host provides: users, groups, policies, mail, HTTP, and the context it gets back.

use serde_json::json;
use weir_expression::{Evaluation, Object, Request, Value};

use crate::fake::{Fake, context, give, policy, pool, raise, run, user};

#[tokio::test]
async fn groups_are_asked_of_the_host() {
    give(&[
        ("return user.groups.filter(name='admins').exists()", json!(true)),
        ("return request.user.groups.filter(name__in=['x', 'y']).exists()", json!(false)),
        ("return [g.name for g in user.groups.filter(name__startswith='st')]", json!(["staff"])),
        ("return [g.name for g in user.groups.all().exclude(name='staff').order_by('name')]", json!(["admins"])),
        ("return list(user.groups.values_list('name', flat=True))", json!(["admins", "staff"])),
        ("return user.groups.first().name", json!("admins")),
        ("return user.groups.all().count() + user.groups.count()", json!(4)),
        ("return user.groups.filter(name='nope').first()", json!(null)),
        ("groups = user.groups.all()\nreturn [len(groups), bool(groups), groups[0].name, groups.count(), groups.exists()]", json!([2, true, "admins", 2, true])),
        ("groups = user.groups.all()\nreturn [g.name for g in groups.filter(name='staff')]", json!(["staff"])),
        ("groups = user.groups.filter(name='nope')\nif not groups:\n    return 'none'", json!("none")),
        ("return ', '.join(f'{g}' for g in user.groups.all())", json!("admins, staff")),
        ("return [\n    (user.groups  # a comment\n        .all()\n        .filter(\n            name='staff',\n        )\n        .first()\n    ).name\n]", json!(["staff"])),
        ("return ak_is_group_member(request.user, name='admins')", json!(true)),
        ("return {'groups': [group.name for group in request.user.groups.all()], 'n': [1].count(1)}", json!({"groups": ["admins", "staff"], "n": 1})),
    ])
    .await;
}

#[tokio::test]
async fn methods_of_plain_values_are_not_mistaken_for_queries() {
    give(&[
        ("return list({'a': 1}.values())", json!([1])),
        ("return 'banana'.count('a')", json!(3)),
        ("return {'all': 1}['all']", json!(1)),
        ("class Box:\n    def all(self):\n        return 1\n    def save(self, x):\n        return x\nreturn [Box().all(), Box().save(2)]", json!([1, 2])),
    ])
    .await;
    raise(&[
        ("return None.filter(a=1)", "AttributeError", "'NoneType' object has no attribute 'filter'"),
        ("return [1].filter(a=1)", "AttributeError", "'list' object has no attribute 'filter'"),
    ])
    .await;
}

#[tokio::test]
async fn users_are_found_and_their_attributes_read() {
    give(&[
        ("return ak_user_by(username='bob').email", json!("bob@example.com")),
        ("return ak_user_by(username='nobody')", json!(null)),
        ("return user.attributes.get('department', 'none')", json!("R&D")),
        ("return user.uid", json!("uid-ada")),
        ("return [hasattr(user, 'uid'), hasattr(user, 'shoe'), getattr(user, 'shoe', 42)]", json!([true, false, 42])),
        ("return user.locale()", json!("en")),
        ("return user == request.user and type(user).__name__ == 'User'", json!(true)),
        ("return user in [request.user]", json!(true)),
    ])
    .await;
}

#[tokio::test]
async fn models_can_be_imported() {
    give(&[
        ("from authentik.core.models import User\nreturn User.objects.filter(email='ada@example.com').exists()", json!(true)),
        (
            "from authentik.core.models import User\ntry:\n    User.objects.get(username='zed')\nexcept User.DoesNotExist as error:\n    return str(error)",
            json!("User matching query does not exist."),
        ),
        ("from authentik.core.models import User as U, Group\nreturn [u.username for u in U.objects.all()]", json!(["ada", "bob", "eve"])),
        ("from authentik.core.models import User, Group\nreturn [isinstance(user, User), isinstance(user, Group)]", json!([true, false])),
        ("from authentik.core.models import USER_ATTRIBUTE_CHANGE_NAME as name\nreturn name", json!("goauthentik.io/user/can-change-name")),
        ("from django.utils.timezone import now\nreturn now().tzinfo is not None", json!(true)),
        ("from django.db.models import Q\nquery = Q(a=1) | ~Q(b=2)\nreturn [query.connector, query.children[1].negated]", json!(["OR", true])),
        (
            "if not regex_match(context['prompt_data']['email'], r'@example\\.com$'):\n    from authentik.core.models import User\n    if User.objects.filter(email__iexact='x'):\n        return False\nreturn True",
            json!(true),
        ),
    ])
    .await;
    raise(&[
        (
            "from authentik.core.models import nonsense",
            "ModuleNotFoundError",
            "No module named 'authentik.core.models'",
        ),
        ("import django", "ModuleNotFoundError", "No module named 'django'"),
    ])
    .await;
}

#[tokio::test]
async fn policies_call_policies() {
    give(&[
        ("return ak_call_policy('known', level=5).passing", json!(true)),
        (
            "result = ak_call_policy('known', level=1)\nreturn [result.passing, list(result.messages)]",
            json!([false, ["from inside"]]),
        ),
    ])
    .await;
    raise(&[("return ak_call_policy('other')", "ValueError", "Policy 'other' not found.")]).await;
}

#[tokio::test]
async fn requests_are_made_by_the_host() {
    give(&[
        ("response = requests.get('https://x.example.com', timeout=3)\nreturn [response.status_code, response.ok, response.json()['n']]", json!([404, false, 1])),
        ("import requests\nreturn requests.post('https://x', json={'a': 1}).text", json!("{\"url\":\"https://x\",\"sent\":{\"a\":1}}")),
        (
            "from requests.exceptions import RequestException, Timeout\ntry:\n    requests.get('https://slow.example.com')\nexcept RequestException as error:\n    return str(error)",
            json!("timed out"),
        ),
        ("try:\n    requests.get('https://x').raise_for_status()\nexcept requests.exceptions.HTTPError as error:\n    return str(error)", json!("404 Client Error")),
        ("return resolve_dns('example.com')", json!(["192.0.2.1"])),
    ])
    .await;
}

async fn done(source: &str) -> (Evaluation, Fake) {
    let mut host = Fake::default();
    let evaluation = pool().evaluate(policy(source), &mut host).await;
    (evaluation, host)
}

#[tokio::test]
async fn mail_and_events_reach_the_host_with_all_arguments() {
    let (evaluation, host) = done(
        "ak_create_event('suspicious', reason='none', who=request.user)\n\
         return ak_send_email(user.email, 'Hello', body=f'Dear {user}', cc=['a@example.com'])",
    )
    .await;
    assert_eq!(evaluation.result, Ok(Value::Bool(true)));
    let [event, mail] = host.done.as_slice() else { panic!("{:?}", host.done) };
    assert_eq!(event.args, [Value::str("suspicious")]);
    assert_eq!(event.kwarg("who"), Some(&user("ada")));
    assert_eq!(mail.args, [Value::str("ada@example.com"), Value::str("Hello")]);
    assert_eq!(mail.kwarg("body"), Some(&Value::str("Dear ada")));
}

#[tokio::test]
async fn saving_an_object_tells_what_was_changed() {
    let (evaluation, host) = done(
        "request.user.attributes['seen'] = True\nrequest.user.name = 'Ada'\nrequest.user.save(update_fields=['name'])\n\
         request.user.set_password('secret')\nreturn user.name",
    )
    .await;
    // The variable and the attribute are one object.
    assert_eq!(evaluation.result, Ok(Value::str("Ada")));
    let [save, password] = host.done.as_slice() else { panic!("{:?}", host.done) };
    let receiver = save.receiver.as_ref().and_then(Value::as_object).unwrap();
    assert_eq!((receiver.id.as_str(), receiver.find_attr("name")), ("user:ada", Some(&Value::str("Ada"))));
    assert_eq!(receiver.find_attr("attributes").unwrap().get("seen"), Some(&Value::Bool(true)));
    assert_eq!((save.args.len(), save.kwargs.len()), (0, 1));
    assert_eq!((password.name.as_str(), password.receiver.as_ref()), ("set_password", None));
}

#[tokio::test]
async fn the_changed_context_comes_back() {
    let evaluation = run("context['prompt_data']['username'] = context['prompt_data']['email'].lower()\n\
         context['pending_user'] = ak_user_by(username='eve')\n\
         request.context['flow_plan'].context['pending_user'] = request.user\n\
         request.context['flow_plan'].context['n'] = [1, 2]\n\
         context.pop('geoip')\nreturn True")
    .await;
    assert_eq!(evaluation.result, Ok(Value::Bool(true)));
    let changed = evaluation.context.unwrap();
    assert_eq!(changed.get("prompt_data").unwrap().get("username"), Some(&Value::str("new@example.com")));
    assert_eq!(changed.get("pending_user"), Some(&user("eve")));
    assert_eq!(changed.get("geoip"), None);
    let plan = changed.get("flow_plan").unwrap().as_object().unwrap();
    assert_eq!(plan.id, "plan:1");
    let plan = plan.find_attr("context").unwrap();
    assert_eq!(plan.get("pending_user"), Some(&user("ada")));
    assert_eq!(plan.get("n"), Some(&Value::list([1, 2])));
    assert_eq!(plan.get("started"), Some(&Value::Bool(true)));
}

#[tokio::test]
async fn an_untouched_context_comes_back_as_it_was() {
    assert_eq!(run("return 1").await.context, Some(context()));
}

#[tokio::test]
async fn what_happened_before_an_exception_is_kept() {
    let evaluation = run(
        "ak_message('first')\ncontext['x'] = 1\nak_message('second')\nak_logger.info('here')\nraise ValueError('stop')",
    )
    .await;
    assert!(evaluation.result.is_err());
    assert_eq!(evaluation.messages, ["first", "second"]);
    assert_eq!(evaluation.logs.len(), 1);
    assert_eq!(evaluation.context.unwrap().get("x"), Some(&Value::Int(1)));
}

#[tokio::test]
async fn messages_keep_their_order_and_survive_a_time_limit() {
    let evaluation = run("for n in range(3):\n    ak_message(f'message {n}')\nak_message(4)\nreturn False").await;
    assert_eq!(evaluation.messages, ["message 0", "message 1", "message 2", "4"]);
    let evaluation = run("ak_message('before')\nwhile True: pass").await;
    assert_eq!(evaluation.messages, ["before"]);
}

#[tokio::test]
async fn log_lines_carry_level_and_values() {
    let evaluation = run(
        "log = ak_logger.bind(flow='x')\nlog.warning('odd thing', user=user.username, n=1)\nak_logger.debug('plain')\nprint('printed', 1)\n\
         import logging\nlogging.getLogger('a').error('bad')\nfrom structlog import get_logger\nget_logger().info('fine')",
    )
    .await;
    let lines: Vec<_> =
        evaluation.logs.iter().map(|line| (line.level.as_str(), line.event.as_str(), line.fields.len())).collect();
    assert_eq!(
        lines,
        [
            ("warning", "odd thing", 3),
            ("debug", "plain", 0),
            ("info", "printed 1", 0),
            ("error", "bad", 0),
            ("info", "fine", 0)
        ]
    );
    assert_eq!(evaluation.logs[0].fields[0], ("flow".to_owned(), Value::str("x")));
}

#[tokio::test]
async fn the_http_request_is_at_hand() {
    give(&[
        ("return http_request.method + request.http_request.path", json!("GET/if/flow/x/")),
        ("return http_request.GET.get('next')", json!("/")),
        ("return request.http_request.META.get('HTTP_USER_AGENT', '')", json!("test")),
        ("return http_request.headers['User-Agent']", json!("test")),
        ("return http_request.build_absolute_uri()", json!("https://id.example.com/")),
        ("return ak_is_sso_flow or context.get('is_sso')", json!(false)),
        ("return str(ak_client_ip)", json!("10.1.2.3")),
        ("return ak_client_ip in ip_network('10.0.0.0/8') and ak_client_ip.is_private", json!(true)),
        ("return context['geoip']['country'] in ['DE', 'AT']", json!(true)),
        ("return request.obj is None and not request.debug", json!(true)),
        ("return request.context is context", json!(true)),
    ])
    .await;
}

#[tokio::test]
async fn a_mapping_has_its_own_variables() {
    let provider: Value = Object::new("OAuth2Provider", "provider:1").attr("name", "app").into();
    let request = Request::new(
        "mapping",
        "return {'sub': user.username, 'app': provider.name, 'x': custom_field, 'c': request.context['k']}",
    )
    .variable("user", user("ada"))
    .variable("provider", provider)
    .variable("custom:field", 3)
    .variable("request", Object::new("PolicyRequest", "request:1"))
    .request_context(Value::dict([("k", "v")]));
    let evaluation = pool().evaluate(request, &mut Fake::default()).await;
    assert_eq!(evaluation.result.unwrap().to_json(), json!({"sub": "ada", "app": "app", "x": 3, "c": "v"}));
    let hidden = Request::new("mapping", "return context").request_context(Value::dict([("k", "v")]));
    assert!(pool().evaluate(hidden, &mut Fake::default()).await.result.is_err());
}

#[tokio::test]
async fn names_from_the_context_are_data() {
    let request = Request::new("mapping", "return [regex_match('a', 'a'), ak_user_by(username='bob').username]")
        .variable("regex_match", 1)
        .variable("ak_user_by", "nothing")
        .variable("_weir_main", 2);
    let evaluation = pool().evaluate(request, &mut Fake::default()).await;
    assert_eq!(evaluation.result.unwrap().to_json(), json!([true, "bob"]));
}

#[tokio::test]
async fn what_comes_with_an_object_costs_no_question() {
    let mut host = Fake::default();
    let source = "return user.username + user.attributes['department'] + f'{user}' + request.user.email";
    assert!(pool().evaluate(policy(source), &mut host).await.result.is_ok());
    assert_eq!(host.questions, 0);
    assert!(pool().evaluate(policy("return user.groups.filter(name='a').exists()"), &mut host).await.result.is_ok());
    assert_eq!(host.questions, 3);
}

#[tokio::test]
async fn flow_policies_as_they_are_commonly_written() {
    give(&[
        (
            "plan = request.context.get('flow_plan')\nif not plan:\n    return True\nreturn not hasattr(plan.context.get('pending_user'), 'backend')",
            json!(true),
        ),
        ("return not hasattr(context['pending_user'], 'backend')", json!(true)),
        ("return 'username' in context.get('prompt_data', {})", json!(true)),
        ("try:\n    return user.username\nexcept:\n    return ''", json!("ada")),
        (
            "data = request.context.get('prompt_data', {})\nif data.get('age', 0) < 18:\n    ak_message('Too young.')\n    return False\nreturn True",
            json!(false),
        ),
        (
            "email = context['prompt_data']['email']\nallowed = ['example.com', 'example.org']\nreturn any(email.lower().endswith('@' + domain) for domain in allowed)",
            json!(true),
        ),
        (
            "return {\n    'name': request.user.name,\n    'given_name': request.user.name.split(' ')[0],\n    'groups': [group.name for group in request.user.groups.all()],\n    'nickname': user.username,\n}",
            json!({"name": "ADA", "given_name": "ADA", "groups": ["admins", "staff"], "nickname": "ada"}),
        ),
        (
            "given, family = 'Ada King', ' '\nformatted = 'Ada King' + ' '\nif ' ' in formatted.strip():\n    given, _, family = formatted.strip().partition(' ')\nreturn {'givenName': given, 'familyName': family}",
            json!({"givenName": "Ada", "familyName": "King"}),
        ),
        (
            "suffix = 1\nname = 'ada'\nwhile ak_user_by(username=name):\n    name = f'ada{suffix}'\n    suffix += 1\nrequest.context['prompt_data']['username'] = name\nreturn request.context['prompt_data']['username']",
            json!("ada1"),
        ),
    ])
    .await;
}
