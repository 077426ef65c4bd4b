//! What can be tested without an interpreter.

use std::{path::Path, time::Duration};

use proptest::prelude::*;
use serde_json::json;

use crate::{
    EvalError, Limit, NoHost, Object, Pool, PoolSettings, Request, Value, sanitise_name,
    wire::{self, FromWorker, ToWorker},
};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("NaN never equals itself", |number| !number.is_nan()).prop_map(Value::Float),
        ".*".prop_map(Value::Str),
        any::<Vec<u8>>().prop_map(Value::Bytes),
        any::<i64>().prop_map(Value::TimeDelta),
        any::<std::net::IpAddr>().prop_map(Value::IpAddress),
        (".*", ".*").prop_map(|(class, message)| Value::Exception { class, message }),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Tuple),
            prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::Dict),
            (".*", ".*", any::<Option<String>>(), prop::collection::vec((".*", inner), 0..4))
                .prop_map(|(class, id, text, attrs)| Value::Object(Box::new(Object { class, id, text, attrs }))),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_survives_the_pipe(value in value()) {
        let frame = wire::encode(&ToWorker::Answer(Ok(value.clone()))).unwrap();
        let ToWorker::Answer(Ok(back)) = wire::decode(&frame[4..]).unwrap() else { panic!("another message") };
        prop_assert_eq!(back, value);
    }

    #[test]
    fn random_bytes_never_decode_into_a_panic(bytes in any::<Vec<u8>>()) {
        if let Ok(message) = wire::decode::<FromWorker>(&bytes) {
            let shown = format!("{message:?}");
            prop_assert!(!shown.is_empty());
        }
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::None, |inner, _| Value::List(vec![inner]))
}

#[test]
fn a_value_nested_too_deeply_is_refused_and_the_next_one_is_not() {
    assert!(wire::encode(&FromWorker::Done { result: Ok(nested(2000)), context: None }).is_err());
    let flat = wire::encode(&FromWorker::Done { result: Ok(nested(90)), context: None }).unwrap();
    assert!(wire::decode::<FromWorker>(&flat[4..]).is_ok());
    // The same bytes with the list around the list repeated many times over.
    let mut deep = flat[4..6].to_vec();
    deep.extend(flat[6..8].iter().cycle().take(200_000));
    deep.extend(&flat[6..]);
    assert!(wire::decode::<FromWorker>(&deep).is_err());
    assert!(wire::decode::<FromWorker>(&flat[4..]).is_ok());
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_anything_is_allocated() {
    assert!(wire::frame_length(u32::MAX.to_le_bytes()).is_err());
    assert_eq!(wire::frame_length(12_u32.to_le_bytes()).unwrap(), 12);
}

#[test]
fn json_comes_back_as_it_went_in() {
    let source = json!({"a": [1, 2.5, null, true], "b": {"c": "d"}, "big": 18446744073709551615_u64});
    assert_eq!(Value::from(source.clone()).to_json(), source);
}

#[test]
fn what_json_cannot_say_becomes_text() {
    let value = Value::dict([
        ("set", Value::Set(vec![Value::Int(1)])),
        ("nan", Value::Float(f64::NAN)),
        ("address", Value::from(std::net::IpAddr::from([10, 0, 0, 1]))),
        ("user", Object::new("User", "u1").attr("name", "ada").into()),
    ]);
    assert_eq!(value.to_json(), json!({"set": [1], "nan": "NaN", "address": "10.0.0.1", "user": {"name": "ada"}}));
}

#[test]
fn names_from_strangers_cannot_hide_a_helper() {
    assert_eq!(sanitise_name("custom:field.one-two").as_deref(), Some("custom_field_one_two"));
    for name in ["ak_user_by", "requests", "_weir_main", "__builtins__", "class", "1st", "", "a b", "ä"] {
        assert_eq!(sanitise_name(name), None, "{name}");
    }
}

#[test]
fn the_first_variable_of_a_name_wins() {
    let request = Request::new("test", "return a").variable("a", 1).variable("a", 2).variable("ak_message", 3);
    assert_eq!(request.variables, [("a".to_owned(), Value::Int(1))]);
    let request = Request::new("test", "return context")
        .variable("context", 1)
        .context(Value::Dict(vec![]))
        .variable("context", 2);
    assert_eq!(request.variables, []);
}

#[test]
fn what_a_source_cannot_name_is_not_sent() {
    let sends = |source: &str, name: &str| Request::new("test", source).may_use(name);
    assert!(!sends("return requests.get('x')", "request"));
    assert!(!sends("return my_request", "request"));
    for source in [
        "return request.user",
        "return f'{request}'",
        "return '{0.request}'.format(x)",
        "# request",
        "return globals()['re' + 'quest']",
        "return getattr(x, 're' + 'quest')",
        "return eval('re' + 'quest')",
        "return 'ä'",
        "return \u{ff52}equest",
    ] {
        assert!(sends(source, "request"), "{source}");
    }
    let looks = |source: &str| Request::new("test", source).may_look_up("flow_plan");
    for source in [
        "return context['a']",
        "return request.context.get( 'a' , 1) and context[\"b\"][0]",
        "context['a'] = 1",
        "return 1",
    ] {
        assert!(!looks(source), "{source}");
    }
    for source in [
        "return context['flow_plan']",
        "return context[key]",
        "return context['flow_' + 'plan']",
        "return context.get('flow_' 'plan')",
        "return context.get('flow\\x5fplan')",
        "return context.items()",
        "return context",
        "c = context\nreturn c['a']",
        "return f\"{context}\"",
        "return context['a'] if vars() else 1",
    ] {
        assert!(looks(source), "{source}");
    }
}

#[test]
fn python_truth() {
    for value in [Value::Int(0), Value::str(""), Value::List(vec![]), Value::None, Value::Decimal("0.00".into())] {
        assert!(!value.is_truthy(), "{value:?}");
    }
    for value in [Value::Int(2), Value::str("0"), Value::Decimal("-0.1".into()), Object::new("User", "1").into()] {
        assert!(value.is_truthy(), "{value:?}");
    }
}

fn settings(program: &str, args: &[&str]) -> PoolSettings {
    PoolSettings { queue: Duration::from_millis(200), ..PoolSettings::new(Path::new(program), args.iter().copied()) }
}

#[tokio::test]
async fn a_missing_program_is_an_error() {
    let pool = Pool::new(settings("/nonexistent/worker", &[]));
    let evaluation = pool.evaluate(Request::new("test", "return 1"), &mut NoHost).await;
    assert!(matches!(evaluation.result, Err(EvalError::Unavailable(_))), "{evaluation:?}");
    assert!(matches!(pool.check("return 1").await, Err(EvalError::Unavailable(_))));
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_an_error() {
    let pool = Pool::new(settings("/bin/sh", &["-c", "exec head -c 4000 /dev/zero"]));
    let evaluation = pool.evaluate(Request::new("test", "return 1"), &mut NoHost).await;
    assert!(matches!(evaluation.result, Err(EvalError::Unavailable(_) | EvalError::WorkerDied)), "{evaluation:?}");
    let pool = Pool::new(settings("/bin/sh", &["-c", "exit 65"]));
    let evaluation = pool.evaluate(Request::new("test", "return 1"), &mut NoHost).await;
    assert!(matches!(evaluation.result, Err(EvalError::Limit { limit: Limit::Memory, .. })), "{evaluation:?}");
}

#[tokio::test]
async fn a_silent_worker_is_killed_and_those_who_wait_too_long_are_told() {
    let mut settings = settings("/bin/sh", &["-c", "exec sleep 60"]);
    settings.size = 1;
    settings.limits.turn = Duration::from_millis(100);
    let pool = Pool::new(settings);
    let (mut first, mut second) = (NoHost, NoHost);
    let (first, second) = tokio::join!(
        pool.evaluate(Request::new("test", "return 1"), &mut first),
        pool.evaluate(Request::new("test", "return 1"), &mut second)
    );
    assert!(matches!(first.result, Err(EvalError::Limit { limit: Limit::Time, .. })), "{first:?}");
    assert_eq!(second.result, Err(EvalError::Busy));
    assert_eq!(pool.state().idle, 0);
}

#[tokio::test]
async fn a_source_that_is_too_long_starts_no_worker() {
    let pool = Pool::new(settings("/nonexistent/worker", &[]));
    let long = "#".repeat(pool.limits().source + 1);
    let evaluation = pool.evaluate(Request::new("test", long.clone()), &mut NoHost).await;
    assert!(matches!(evaluation.result, Err(EvalError::Limit { limit: Limit::Source, .. })));
    assert!(pool.check(&long).await.unwrap().is_err());
}

#[tokio::test]
async fn expressions_that_call_each_other_without_end_are_stopped() {
    let pool = Pool::new(settings("/nonexistent/worker", &[]));
    let evaluation = pool.evaluate(Request::new("test", "return 1").depth(6), &mut NoHost).await;
    assert!(matches!(evaluation.result, Err(EvalError::Limit { limit: Limit::Depth, .. })));
}
