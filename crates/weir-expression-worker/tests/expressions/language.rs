//! The language: what the body of a function can be.

use serde_json::json;
use weir_expression::{EvalError, Value};

use crate::fake::{give, policy, pool, raise, run};

#[tokio::test]
async fn a_source_is_the_body_of_a_function() {
    give(&[
        ("return True", json!(true)),
        ("\n\n  \nreturn 1\n\n\n", json!(1)),
        ("x = 1", json!(null)),
        ("", json!(null)),
        ("# nothing but a comment", json!(null)),
        ("if user.username == 'ada':\n    return 'yes'\nreturn 'no'", json!("yes")),
        ("for n in range(10):\n\tif n > 3:\n\t\treturn n", json!(4)),
        ("  return 5", json!(5)),
        ("return 1\r\n", json!(1)),
        ("import math\nreturn math.floor(2.7)", json!(2)),
    ])
    .await;
}

#[tokio::test]
async fn strings_over_several_lines_keep_their_indentation() {
    give(&[
        ("text = '''a\n  b\nc'''\nreturn text", json!("a\n  b\nc")),
        ("who = 'x'\nreturn f'''\n{who}\n  {who}\n'''", json!("\nx\n  x\n")),
        ("return 'a\\\nb'", json!("ab")),
    ])
    .await;
}

#[tokio::test]
async fn text_is_formatted_in_every_way() {
    give(&[
        ("return f\"{user.name} <{user.email}>\"", json!("ADA <ada@example.com>")),
        ("return f'{user}' + str(user)", json!("adaada")),
        ("return f'{1 + 1:>4}|{3.14159:.2f}|{\"x\"!r}|{user.name.lower()!s}'", json!("   2|3.14|'x'|ada")),
        ("n = 3\nreturn f'{n=} {n:0{n}d}'", json!("n=3 003")),
        ("return '%s has %d groups' % (user.name, 2)", json!("ADA has 2 groups")),
        ("return '{} and {name}'.format(1, name='b')", json!("1 and b")),
        ("return ' '.join(sorted({'b', 'a'}))", json!("a b")),
        ("first, _, last = 'Ada King Lovelace'.partition(' ')\nreturn [first, last]", json!(["Ada", "King Lovelace"])),
        ("return 'a,b;c'.replace(';', ',').split(',')[-1].upper()", json!("C")),
    ])
    .await;
}

#[tokio::test]
async fn comprehensions_and_closures() {
    give(&[
        ("return [n * n for n in range(5) if n % 2]", json!([1, 9])),
        ("return {k: len(k) for k in ['a', 'bb']}", json!({"a": 1, "bb": 2})),
        ("return sum(n for n in [1, 2, 3])", json!(6)),
        ("return any(g.name == 'staff' for g in user.groups.all())", json!(true)),
        (
            "def fact(n):\n    return 1 if n < 2 else n * fact(n - 1)\nreturn fact(20)",
            json!(2_432_902_008_176_640_000_i64),
        ),
        ("add = lambda a, b=2: a + b\nreturn add(1)", json!(3)),
        ("total = 0\ndef more():\n    nonlocal total\n    total += 1\nmore()\nmore()\nreturn total", json!(2)),
        ("if (n := len('abc')) > 2:\n    return n", json!(3)),
        ("a, *rest = [1, 2, 3]\nreturn rest", json!([2, 3])),
        ("n = 0\nwhile n < 3:\n    n += 1\nelse:\n    n = 10\nreturn n", json!(10)),
        ("return 1 < 2 < 3 and 2 ** 70 > 0", json!(true)),
        ("return [x for x in 'abcdef'][1:5:2]", json!(["b", "d"])),
        ("return dict(a=1) | {'b': 2}", json!({"a": 1, "b": 2})),
        ("return sorted(['b', 'A'], key=str.lower)", json!(["A", "b"])),
        ("return list(map(str.upper, ['a']))", json!(["A"])),
        ("match user.username:\n    case 'ada' | 'bob':\n        return 1\n    case _:\n        return 2", json!(1)),
    ])
    .await;
}

#[tokio::test]
async fn a_variable_can_be_assigned_like_a_parameter() {
    give(&[
        ("user = ak_user_by(username='bob') or user\nreturn user.username", json!("bob")),
        ("context = dict(context)\ncontext['x'] = 1\nreturn context['x']", json!(1)),
    ])
    .await;
}

#[tokio::test]
async fn a_generator_gives_the_list_of_what_it_yields() {
    give(&[
        ("for group in user.groups.all():\n    yield group.name", json!(["admins", "staff"])),
        ("yield 1\nyield 2, 3\nyield", json!([1, [2, 3], null])),
        ("yield from [1, 2]\nyield (3)", json!([1, 2, 3])),
        ("if False:\n    yield 1\nreturn", json!([])),
        ("yield f'{user.name}' if user.is_active else 'x'", json!(["ADA"])),
        (
            "def count(to):\n    n = 0\n    while True:\n        if n == to:\n            return\n        yield n\n        n += 1\nreturn list(count(3))",
            json!([0, 1, 2]),
        ),
        ("def one(): yield 1\nreturn next(one())", json!(1)),
        ("def many():\n    for a in (1, 2):\n        for b in (3, 4):\n            yield a * b\nreturn sum(many())", json!(21)),
    ])
    .await;
}

#[tokio::test]
async fn things_can_be_deleted() {
    give(&[
        ("d = {'a': 1, 'b': 2}\ndel d['a']\nreturn d", json!({"b": 2})),
        ("l = [1, 2, 3, 4]\ndel l[0], l[-1]\nreturn l", json!([2, 3])),
        ("l = [1, 2, 3]\ndel l[1:]\nreturn l", json!([1])),
        ("d = {'a': {'b': 1}}\nif 'a' in d: del d['a']['b']\nreturn d", json!({"a": {}})),
        ("x = 1\ndel x\nreturn 2", json!(2)),
    ])
    .await;
    raise(&[
        ("d = {}\ndel d['missing']", "KeyError", "'missing'"),
        ("l = []\ndel l[0]", "IndexError", "list assignment index out of range"),
    ])
    .await;
}

#[tokio::test]
async fn exceptions_have_pythons_texts() {
    raise(&[
        ("return 1 / 0", "ZeroDivisionError", "division by zero"),
        ("return {}['a']", "KeyError", "'a'"),
        ("return [][1]", "IndexError", "list index out of range"),
        ("return nothing", "NameError", "name 'nothing' is not defined"),
        ("return 'a' + 1", "TypeError", "can only concatenate str (not \"int\") to str"),
        ("return int('x')", "ValueError", "invalid literal for int() with base 10: 'x'"),
        ("return None.name", "AttributeError", "'NoneType' object has no attribute 'name'"),
        ("return user.nickname", "AttributeError", "'User' object has no attribute 'nickname'"),
        ("raise Exception('denied: ' + user.name)", "Exception", "denied: ADA"),
        ("raise ValueError('no')", "ValueError", "no"),
        ("raise SkipObject('leave out')", "SkipObject", "leave out"),
        ("raise SkipObject", "SkipObject", ""),
        ("import json\njson.loads('')", "JSONDecodeError", "Expecting value: line 1 column 1 (char 0)"),
        ("def f(): return f()\nf()", "RecursionError", "maximum recursion depth exceeded"),
        ("import subprocess", "ModuleNotFoundError", "No module named 'subprocess'"),
        (
            "from urllib.parse import nonsense",
            "ImportError",
            "cannot import name 'nonsense' from 'urllib.parse' (unknown location)",
        ),
    ])
    .await;
}

#[tokio::test]
async fn exceptions_can_be_caught() {
    give(&[
        (
            "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    return str(error)\nfinally:\n    pass",
            json!("division by zero"),
        ),
        ("try:\n    return context['nope']\nexcept (KeyError, IndexError):\n    return 'default'", json!("default")),
        ("try:\n    raise SkipObject()\nexcept ValueError:\n    return 1\nexcept SkipObject:\n    return 2", json!(2)),
        (
            "try:\n    return ak_call_policy('unknown').passing\nexcept ValueError as error:\n    return str(error)",
            json!("Policy 'unknown' not found."),
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_exception_names_the_line_of_the_body_it_came_from() {
    for (source, line) in [
        ("x = 1\n\nreturn x / 0", 3),
        ("text = '''\na\n'''\nreturn nope", 4),
        ("def f(n):\n    return 1 / n\n\nreturn f(0)", 4),
        ("from urllib.parse import (\n    quote,\n    unquote,\n)\nreturn undefined", 5),
        ("def g():\n    yield 1\n    yield 2\nx = list(g())\nreturn undefined", 5),
        ("return regex_match(None, 'a')", 1),
    ] {
        match run(source).await.result {
            Err(EvalError::Raised(exception)) => assert_eq!(exception.line, Some(line), "{source}"),
            other => panic!("{other:?} from\n{source}"),
        }
    }
}

#[tokio::test]
async fn a_broken_source_is_found_before_it_runs() {
    let pool = pool();
    for (source, line, unsupported) in [
        ("return (", 1, false),
        ("x = 1\nif x\n    return 2", 2, false),
        ("x = 1\n y = 2", 2, false),
        ("return 1\nreturn 'unclosed", 2, false),
        ("class A(dict):\n    pass", 1, true),
        ("break", 1, false),
    ] {
        let problem = pool.check(source).await.unwrap().unwrap_err();
        assert_eq!((problem.line, problem.is_unsupported), (line, unsupported), "{source}: {problem:?}");
        assert!(!problem.message.is_empty() && !problem.message.contains("_weir"), "{problem:?}");
        let evaluation = pool.evaluate(policy(source), &mut weir_expression::NoHost).await;
        assert!(matches!(evaluation.result, Err(EvalError::Syntax(_))), "{evaluation:?}");
    }
    for source in ["return 1", "", "import nonsense\nyield 1", "del a[0]\nreturn x.filter(a=1).exists()"] {
        assert_eq!(pool.check(source).await.unwrap(), Ok(()), "{source}");
    }
}

#[tokio::test]
async fn a_source_cannot_leave_its_function() {
    for source in ["return 1\n)\ndef x(): (", "'''\n'''\n  '''", "return 1\n\x0c\nx = (1,\n", "\0"] {
        let evaluation = run(source).await;
        assert!(matches!(evaluation.result, Err(EvalError::Syntax(_))), "{source:?}: {evaluation:?}");
    }
}

#[tokio::test]
async fn values_come_back_with_their_types() {
    let cases = [
        ("return (1, 'a', None)", Value::Tuple(vec![1.into(), "a".into(), Value::None])),
        ("return 2 ** 80", Value::BigInt("1208925819614629174706176".into())),
        ("return b'ab'", Value::Bytes(b"ab".to_vec())),
        ("return {1}", Value::Set(vec![1.into()])),
        ("return float('inf')", Value::Float(f64::INFINITY)),
        ("from datetime import timedelta\nreturn timedelta(minutes=-1)", Value::TimeDelta(-60_000_000)),
        (
            "from datetime import datetime, timezone\nreturn datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)",
            Value::DateTime(chrono::DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap()),
        ),
        (
            "from datetime import date\nreturn date(2026, 1, 2)",
            Value::Date(chrono::NaiveDate::from_ymd_opt(2026, 1, 2).unwrap()),
        ),
        ("return {'a': 1}.keys()", Value::list(["a"])),
        ("return map(int, ['1'])", Value::list([1])),
        ("return (n for n in [1])", Value::list([1])),
        ("return ip_address('::1')", Value::IpAddress("::1".parse().unwrap())),
        ("return user", crate::fake::user("ada")),
        ("return len", Value::Repr("<built-in function len>".into())),
    ];
    for (source, expected) in cases {
        assert_eq!(run(source).await.result, Ok(expected), "{source}");
    }
}
