//! The pool with real workers.

use std::{process::Command, time::Duration};

use weir_expression::{Call, EvalError, Host, Pool, Raise, Request, Value};

use crate::fake::{Fake, policy, settings};

async fn two(pool: &Pool) -> Result<Value, EvalError> {
    pool.evaluate(policy("return 1 + 1"), &mut Fake::default()).await.result
}

#[tokio::test]
async fn nothing_is_started_before_the_first_run() {
    let pool = Pool::new(settings());
    assert_eq!(pool.state().idle, 0);
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
    assert_eq!((pool.state().idle, pool.state().running), (1, 0));
}

#[tokio::test]
async fn a_worker_serves_many_runs_and_is_then_replaced() {
    let pool = Pool::new(weir_expression::PoolSettings { runs_per_worker: 3, ..settings() });
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
    let first = pool.idle_process_ids();
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
    assert_eq!(pool.idle_process_ids(), first);
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
    assert!(pool.idle_process_ids().is_empty());
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
    assert_ne!(pool.idle_process_ids(), first);
}

#[tokio::test]
async fn an_idle_worker_is_stopped() {
    let pool = Pool::new(weir_expression::PoolSettings { idle: Duration::from_millis(100), ..settings() });
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
    assert_eq!(pool.state().idle, 1);
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if pool.state().idle == 0 {
            break;
        }
    }
    assert_eq!(pool.state().idle, 0);
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
}

#[tokio::test]
async fn a_worker_killed_while_idle_is_replaced_unnoticed() {
    let pool = Pool::new(settings());
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
    let process = pool.idle_process_ids()[0];
    assert!(Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
    assert_ne!(pool.idle_process_ids(), [process]);
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_run_fails_that_run_only() {
    /// Kills the only child of this process when asked.
    struct Killer(Vec<u32>);
    #[async_trait::async_trait]
    impl Host for Killer {
        async fn attribute(&mut self, _: &str, _: &str) -> Result<Value, Raise> {
            for process in &self.0 {
                Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
            }
            Ok(Value::None)
        }
        async fn call(&mut self, _: Call) -> Result<Value, Raise> {
            Ok(Value::None)
        }
    }
    let pool = Pool::new(settings());
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
    let mut killer = Killer(pool.idle_process_ids());
    let evaluation = pool.evaluate(policy("ak_message('said')\nreturn user.shoe"), &mut killer).await;
    assert_eq!(evaluation.result, Err(EvalError::WorkerDied));
    assert_eq!(evaluation.messages, ["said"]);
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_in_parallel_do_not_mix() {
    let pool = Pool::new(weir_expression::PoolSettings { size: 3, queue: Duration::from_secs(60), ..settings() });
    let runs: Vec<_> = (0..40_i64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let source = "total = 0\nfor i in range(1000):\n    total += n\nak_message(str(n))\nreturn [total, len(user.groups.all())]";
                (n, pool.evaluate(policy(source).variable("n", n), &mut Fake::default()).await)
            })
        })
        .collect();
    for run in runs {
        let (n, evaluation) = run.await.unwrap();
        assert_eq!(evaluation.result, Ok(Value::list([n * 1000, 2])));
        assert_eq!(evaluation.messages, [n.to_string()]);
    }
    assert!(pool.state().idle <= 3);
}

#[tokio::test]
async fn a_policy_that_calls_itself_ends_although_the_pool_is_small() {
    struct Nested {
        pool: Pool,
        depth: usize,
    }
    #[async_trait::async_trait]
    impl Host for Nested {
        async fn attribute(&mut self, object: &str, name: &str) -> Result<Value, Raise> {
            Err(Raise::no_attribute(object, name))
        }
        async fn call(&mut self, _: Call) -> Result<Value, Raise> {
            let depth = self.depth + 1;
            let request = Request::new("nested", "return 1 + ak_call_policy('self')").depth(depth);
            let mut host = Self { pool: self.pool.clone(), depth };
            let pool = self.pool.clone();
            match Box::pin(async move { pool.evaluate(request, &mut host).await }).await.result {
                Ok(value) => Ok(value),
                Err(EvalError::Limit { .. }) => Ok(Value::Int(0)),
                Err(error) => Err(Raise::new("Exception", error.to_string())),
            }
        }
    }
    let pool = Pool::new(weir_expression::PoolSettings { size: 1, max_depth: 3, ..settings() });
    let mut host = Nested { pool: pool.clone(), depth: 0 };
    let request = Request::new("outer", "return 1 + ak_call_policy('self')");
    assert_eq!(pool.evaluate(request, &mut host).await.result, Ok(Value::Int(4)));
    assert!(pool.state().idle <= 1);
}

#[tokio::test]
async fn a_run_nobody_waits_for_any_more_is_ended() {
    let pool = Pool::new(weir_expression::PoolSettings { size: 1, ..settings() });
    let mut host = Fake::default();
    let run = pool.evaluate(policy("while True: pass"), &mut host);
    assert!(tokio::time::timeout(Duration::from_millis(100), run).await.is_err());
    assert_eq!(pool.state().running, 0);
    assert_eq!(two(&pool).await, Ok(Value::Int(2)));
}

#[test]
fn a_worker_ends_when_its_input_does() {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_weir-expression-worker"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(worker.stdin.take());
    assert!(worker.wait().unwrap().success());
}
