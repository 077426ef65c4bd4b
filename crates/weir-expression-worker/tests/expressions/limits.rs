//! Abuse: each attempt ends as an ordinary failed result, and the next run works.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_expression::{EvalError, Limit, Request, Value};

use crate::fake::{Fake, policy, pool, settings};

/// Runs sources one after the other in one pool, checks each outcome and that an honest run works afterwards.
async fn end(cases: &[&str], is_fine: impl Fn(&Result<Value, EvalError>) -> bool) {
    let pool = pool();
    for source in cases {
        let started = Instant::now();
        let evaluation = pool.evaluate(policy(source), &mut Fake::default()).await;
        assert!(is_fine(&evaluation.result), "{source:.200}: {evaluation:.500?}");
        assert!(started.elapsed() < Duration::from_secs(8), "{source:.200} took {:?}", started.elapsed());
        let next = pool.evaluate(policy("return 1 + 1"), &mut Fake::default()).await;
        assert_eq!(next.result, Ok(Value::Int(2)), "after {source:.200}");
    }
}

fn is_limit(result: &Result<Value, EvalError>, wanted: &[Limit]) -> bool {
    matches!(result, Err(EvalError::Limit { limit, .. }) if wanted.contains(limit))
}

#[tokio::test]
async fn endless_loops_end() {
    let cases = [
        "while True: pass",
        "def f():\n    while True:\n        try:\n            while True: pass\n        except Exception:\n            pass\n        finally:\n            continue\nf()",
        "try:\n    while True: pass\nexcept:\n    return 'caught'",
        "def forever():\n    n = 0\n    while True:\n        yield n\nfor n in forever(): pass",
        "import time\ntime.sleep(30)",
        "import itertools\nreturn sum(itertools.count())",
        "return max(range(10 ** 12))",
    ];
    end(&cases, |result| is_limit(result, &[Limit::Time, Limit::Memory])).await;
}

#[tokio::test]
async fn memory_is_bounded() {
    let cases = [
        "x = 'x' * 10 ** 11",
        "x = 'x'\nwhile True: x += x",
        "l = []\nwhile True: l.append('y' * 50_000_000)",
        "l = [0]\nwhile True: l = l + l",
        "d = {}\nn = 0\nwhile True:\n    d[n] = str(n) * 100\n    n += 1",
        "return bytes(10 ** 10)",
        "return list(range(10 ** 9))",
        "return '{:>1000000000}'.format(1)",
        "return f'{1:1000000000}'",
        "return ','.join(['x' * 1000000] * 1000000)",
        "return ('a' * 1000000).replace('a', 'b' * 1000000)",
    ];
    end(&cases, |result| {
        is_limit(result, &[Limit::Memory, Limit::Time])
            || matches!(result, Err(EvalError::Raised(exception)) if ["MemoryError", "OverflowError"].contains(&exception.class.as_str()))
    })
    .await;
}

#[tokio::test]
async fn recursion_is_bounded() {
    let cases = [
        "def f(n): return f(n + 1)\nreturn f(0)",
        "class A:\n    def __str__(self): return str(self)\nreturn str(A())",
        "class A:\n    def __eq__(self, other): return self == other\nreturn A() == A()",
        "f = lambda: f()\nf()",
        "l = []\nfor _ in range(200000): l = [l]\nreturn repr(l)[:1] if l == [l] else 1",
    ];
    end(&cases, |result| {
        matches!(result, Err(EvalError::Raised(exception)) if exception.class == "RecursionError")
            || is_limit(result, &[Limit::Time, Limit::Memory])
    })
    .await;
}

#[tokio::test]
async fn deep_values_do_not_get_out() {
    let cases = [
        "l = []\nfor _ in range(200000): l = [l]\nreturn l",
        "l = 0\nfor _ in range(150): l = [l]\nreturn l",
        "l = [0] * 10\nfor _ in range(30): l = [l] * 10\nreturn l",
        "for _ in range(5000): context = {'a': context}\nrequest.context['deep'] = context\nreturn 1",
        "return 'x' * 2_000_000",
        "return [1] * 1_000_000",
    ];
    end(&cases, |result| is_limit(result, &[Limit::Output, Limit::Memory])).await;
}

#[tokio::test]
async fn cycles_are_shown_as_such() {
    let pool = pool();
    let evaluation = pool.evaluate(policy("l = []\nl.append(l)\nreturn l"), &mut Fake::default()).await;
    assert_eq!(evaluation.result, Ok(Value::List(vec![Value::Repr("[...]".into())])));
}

#[tokio::test]
async fn huge_numbers_are_refused_or_take_their_time() {
    let cases = [
        "return 10 ** 10 ** 10",
        "x = 9\nwhile True: x = x ** x",
        "return 1 << 10 ** 12",
        "return str(7 ** 10_000_000)",
    ];
    end(&cases, Result::is_err).await;
}

#[tokio::test]
async fn patterns_that_explode_are_stopped() {
    let cases = [
        "return regex_match('a' * 40 + '!', r'^(a+)+$')",
        "return regex_match('a' * 100000 + '!', r'(a|aa)+$')",
        "return regex_match('x' * 30000, r'(x+x+)+y')",
        "return regex_match('a' * 40 + '!', r'^(?=(a+)+$)')",
        "return regex_match('ab' * 5000, r'(?:(a)|b)*\\1c')",
        "return regex_match('a', '(' * 5000 + 'a' + ')' * 5000)",
        "return regex_match('a', 'a{1000}{1000}{1000}')",
    ];
    // A linear engine answers, a backtracking one gives up.
    end(&cases, |result| {
        matches!(result, Ok(Value::Bool(_)) | Err(EvalError::Raised(_)))
            || is_limit(result, &[Limit::Time, Limit::Memory])
    })
    .await;
}

#[tokio::test]
async fn the_machine_is_out_of_reach() {
    let cases = [
        "return open('/etc/passwd').read()",
        "import os\nreturn os.environ['PATH']",
        "import os\nreturn os.getenv('PATH')",
        "import os\nreturn os.listdir('/')",
        "from pathlib import Path\nreturn Path('/etc/passwd').read_text()",
        "import os\nos.system('true')",
        "return __import__('os').system('true')",
        "import socket",
        "import subprocess",
        "import ctypes",
        "import threading",
        "return ().__class__.__bases__[0].__subclasses__()",
        "return user.__class__.__init__.__globals__",
        "return (lambda: 0).__code__",
        "open('/tmp/weir-expression-test', 'w').write('x')",
        "return eval('open(\"/etc/passwd\").read()')",
        "exec('import subprocess')",
        "return request._state",
    ];
    end(&cases, |result| matches!(result, Err(EvalError::Raised(_) | EvalError::Syntax(_)))).await;
    assert!(!std::path::Path::new("/tmp/weir-expression-test").exists());
}

#[tokio::test]
async fn sources_that_attack_the_parser_are_refused() {
    let pool = pool();
    let sources = [
        format!("return {}1{}", "(".repeat(3000), ")".repeat(3000)),
        format!("return {}", "[".repeat(30000)),
        format!("return {}1", "-".repeat(60000)),
        format!("return {}1", "not ".repeat(15000)),
        format!("return 1{}", "+1".repeat(30000)),
        format!("return x{}", ".a".repeat(30000)),
        format!("return x{}", "()".repeat(30000)),
        format!("return x{}", ".filter()".repeat(7000)),
        format!("return {}1{}", "f'{".repeat(200), "}'".repeat(200)),
        (0..200).map(|depth| format!("{}if 1:\n", " ".repeat(depth))).collect::<String>(),
        format!("return {}0", "lambda: ".repeat(8000)),
        format!("return {}", "1 if 1 else ".repeat(5000)),
        "x = 1\n".repeat(10000),
        format!("return {}", "a,".repeat(30000)),
        "return 1".repeat(10000),
    ];
    for source in &sources {
        let outcome = pool.check(source).await;
        assert!(!matches!(outcome, Err(EvalError::WorkerDied)), "{source:.60}: {outcome:?}");
        let evaluation = pool.evaluate(policy(source), &mut Fake::default()).await;
        assert!(!matches!(evaluation.result, Err(EvalError::WorkerDied)), "{source:.60}: {evaluation:?}");
        let next = pool.evaluate(policy("return 1 + 1"), &mut Fake::default()).await;
        assert_eq!(next.result, Ok(Value::Int(2)), "after {source:.60}");
    }
}

#[tokio::test]
async fn questions_to_the_host_are_counted() {
    let cases = [
        "while True: user.uid",
        "for _ in range(2000):\n    try:\n        user.groups.count()\n    except Exception:\n        pass\nreturn 1",
    ];
    end(&cases, |result| is_limit(result, &[Limit::Suspensions])).await;
}

#[tokio::test]
async fn what_is_said_is_bounded() {
    let pool = pool();
    let source = "for n in range(100000):\n    ak_message('m' * 1000)\n    ak_logger.info('x' * 1000, y='z' * 1000)\n    print('p' * 1000)\nreturn 1";
    let evaluation = pool.evaluate(policy(source), &mut Fake::default()).await;
    let bytes: usize = evaluation.messages.iter().map(String::len).sum::<usize>()
        + evaluation.logs.iter().map(|line| line.event.len()).sum::<usize>();
    assert!(!evaluation.messages.is_empty() && bytes <= pool.limits().log, "{bytes}");
}

#[tokio::test]
async fn a_host_that_never_answers_meets_the_wall() {
    struct Asleep;
    #[async_trait::async_trait]
    impl weir_expression::Host for Asleep {
        async fn attribute(&mut self, _: &str, _: &str) -> Result<Value, weir_expression::Raise> {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(Value::None)
        }
        async fn call(&mut self, _: weir_expression::Call) -> Result<Value, weir_expression::Raise> {
            Ok(Value::None)
        }
    }
    let mut settings = settings();
    settings.limits.wall = Duration::from_millis(500);
    let pool = weir_expression::Pool::new(settings);
    let evaluation = pool.evaluate(policy("return user.shoe"), &mut Asleep).await;
    assert!(is_limit(&evaluation.result, &[Limit::Time]), "{evaluation:?}");
    assert_eq!(pool.state().idle, 0);
}

#[tokio::test]
async fn runs_share_nothing() {
    let pool = pool();
    let request = |source: &str| Request::new("test", source);
    let sources = [
        "import json\njson.secret = 1\nreturn 1",
        "global leak\nleak = 1\nreturn leak",
        "import collections\ncollections.Counter = 1\nreturn 1",
    ];
    for source in sources {
        // Whether it is allowed does not matter here.
        drop(pool.evaluate(request(source), &mut Fake::default()).await);
    }
    let probe = "import json, collections\nreturn [hasattr(json, 'secret'), False, collections.Counter == 1]";
    let evaluation = pool.evaluate(request(probe), &mut Fake::default()).await;
    assert_eq!(evaluation.result.unwrap().to_json(), json!([false, false, false]));
    assert!(pool.evaluate(request("return leak"), &mut Fake::default()).await.result.is_err());
}
