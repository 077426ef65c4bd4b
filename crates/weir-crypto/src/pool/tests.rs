use std::sync::mpsc;

use rand::{SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use super::*;

const LONG: Duration = Duration::from_secs(30);

fn pool(threads: usize, queue_limit: usize, max_wait: Duration) -> Arc<HashPool> {
    Arc::new(HashPool::with_cost(threads, queue_limit, max_wait, HashCost::CHEAP).unwrap())
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

fn salt() -> Salt {
    Salt::random(&mut StdRng::seed_from_u64(1))
}

/// Occupies one thread until the sender is dropped.
async fn occupy(pool: &Arc<HashPool>) -> mpsc::Sender<()> {
    let (release, gate) = mpsc::channel::<()>();
    let (started, running) = oneshot::channel();
    let pool = Arc::clone(pool);
    tokio::spawn(async move {
        pool.run(move |_| {
            started.send(()).unwrap();
            let _ = gate.recv();
        })
        .await
    });
    running.await.unwrap();
    release
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the condition did not come true");
}

#[tokio::test]
async fn what_the_pool_hashes_it_verifies() {
    let pool = pool(2, 10, LONG);
    let stored = pool.hash(password("right"), salt()).await.unwrap();
    assert!(pool.verify(stored.clone(), password("right")).await.unwrap());
    assert!(!pool.verify(stored.clone(), password("wrong")).await.unwrap());
    assert!(!pool.needs_rehash(&stored));
    assert!(pool.needs_rehash("pbkdf2_sha1$1000$dBXwVQ3NaqHIt0vSgPkQ2b$3WFPfNHfVo2UFmyRRs25HYygphw="));
    assert_eq!(pool.burn().await, Ok(()));
}

#[tokio::test]
async fn unusable_and_unreadable_hashes_match_nothing() {
    let pool = pool(1, 10, LONG);
    for stored in ["", "!", "!abc", "plain", "md5$x$y", "argon2$"] {
        for guess in ["", stored] {
            assert_eq!(pool.verify(stored.to_owned(), password(guess)).await, Ok(false), "{stored:?}");
        }
        assert!(!pool.needs_rehash(stored));
    }
}

#[tokio::test]
async fn an_unknown_user_costs_one_hash() {
    let pool = pool(1, 10, LONG);
    assert_eq!(pool.kept_bytes(), 0);
    assert_eq!(pool.verify("!unusable".to_owned(), password("x")).await, Ok(false));
    // The memory shows that a hash ran.
    until(|| pool.kept_bytes() > 0).await;
    let other = self::pool(1, 10, LONG);
    other.burn().await.unwrap();
    until(|| other.kept_bytes() == pool.kept_bytes()).await;
}

#[tokio::test]
async fn a_thread_without_work_gives_its_memory_back_and_takes_it_again() {
    let shared = Shared { kept_for: Duration::from_millis(1), ..Shared::new(10, LONG, HashCost::CHEAP) };
    let pool = HashPool::start(1, shared).unwrap();
    for _ in 0..2 {
        let kept = pool.run(|workspace| burn(HashCost::CHEAP, workspace).map(|()| workspace.kept_bytes())).await;
        assert!(kept.unwrap().unwrap() > 0);
        while pool.run(|workspace| workspace.kept_bytes()).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(pool.kept_bytes(), 0);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let pool = pool(1, 2, Duration::from_secs(7));
    let release = occupy(&pool).await;
    let mut waiting = JoinSet::new();
    for _ in 0..2 {
        let pool = Arc::clone(&pool);
        waiting.spawn(async move { pool.burn().await });
    }
    until(|| pool.waiting() == 2).await;
    assert_eq!(pool.burn().await, Err(PoolError::Busy { retry_after_secs: 7 }));
    drop(release);
    assert_eq!(waiting.join_all().await, [Ok(()), Ok(())]);
    assert_eq!(pool.burn().await, Ok(()));
}

#[tokio::test]
async fn a_pool_without_queue_still_serves_idle_threads() {
    let pool = pool(1, 0, LONG);
    until(|| pool.shared.lock().idle == 1).await;
    assert_eq!(pool.burn().await, Ok(()));
}

#[tokio::test]
async fn what_has_waited_too_long_is_refused_without_running() {
    let pool = pool(1, 10, Duration::from_millis(20));
    let release = occupy(&pool).await;
    let (ran, has_run) = mpsc::channel();
    let late = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.run(move |_| ran.send(()).unwrap()).await }
    });
    until(|| pool.waiting() == 1).await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    drop(release);
    assert_eq!(late.await.unwrap(), Err(PoolError::Busy { retry_after_secs: 1 }));
    assert!(has_run.recv().is_err());
    assert_eq!(pool.burn().await, Ok(()));
}

#[tokio::test]
async fn work_whose_caller_has_gone_is_skipped_and_leaves_its_place() {
    let pool = pool(1, 1, LONG);
    let release = occupy(&pool).await;
    let (ran, has_run) = mpsc::channel();
    let gone = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.run(move |_| ran.send(()).unwrap()).await }
    });
    until(|| pool.waiting() == 1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let next = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.burn().await }
    });
    until(|| pool.waiting() == 1).await;
    drop(release);
    assert_eq!(next.await.unwrap(), Ok(()));
    assert!(has_run.recv().is_err());
}

#[tokio::test]
async fn who_comes_first_is_served_first() {
    let pool = pool(1, 100, LONG);
    let release = occupy(&pool).await;
    let (done, order) = mpsc::channel();
    let mut waiting = JoinSet::new();
    for number in 0..50 {
        let (worker, done) = (Arc::clone(&pool), done.clone());
        waiting.spawn(async move { worker.run(move |_| done.send(number).unwrap()).await });
        until(|| pool.waiting() == number + 1).await;
    }
    drop((release, done));
    waiting.join_all().await;
    assert_eq!(order.iter().collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn all_threads_work_at_the_same_time() {
    let pool = pool(3, 10, LONG);
    let held = [occupy(&pool).await, occupy(&pool).await, occupy(&pool).await];
    assert_eq!(pool.waiting(), 0);
    assert_eq!(pool.threads(), 3);
    drop(held);
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_no_thread() {
    let pool = pool(1, 10, LONG);
    for _ in 0..3 {
        let answer = pool.run(|_| -> () { panic!("a defect") }).await;
        assert_eq!(answer, Err(PoolError::Failed));
        assert_eq!(pool.burn().await, Ok(()));
    }
}

/// Work in the queue without a future that keeps the pool alive.
fn push(
    shared: &Shared,
    work: impl FnOnce(&mut Workspace) + Send + 'static,
) -> Result<oneshot::Receiver<Result<(), PoolError>>, PoolError> {
    let (reply, answer) = oneshot::channel();
    shared.push(Box::new(Task { reply, work })).map(|()| answer)
}

#[tokio::test]
async fn a_dropped_pool_finishes_what_runs_refuses_what_waits_and_ends_its_threads() {
    let pool = HashPool::with_cost(2, 10, LONG, HashCost::CHEAP).unwrap();
    let shared = Arc::clone(&pool.shared);
    let mut gates = Vec::new();
    let mut running = Vec::new();
    for _ in 0..2 {
        let (release, gate) = mpsc::channel::<()>();
        running.push(push(&shared, move |_| gate.recv().unwrap_or_default()).unwrap());
        gates.push(release);
    }
    until(|| pool.waiting() == 0).await;
    let waiting: Vec<_> = (0..3).map(|_| push(&shared, |_| ()).unwrap()).collect();
    drop(pool);
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), Err(PoolError::Busy { retry_after_secs: 30 }));
    }
    assert!(push(&shared, |_| ()).is_err());
    drop(gates);
    for answer in running {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
    until(|| Arc::strong_count(&shared) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_answered_in_full_by_hashes_or_refusals() {
    let pool = Arc::new(HashPool::with_cost(2, 16, LONG, HashCost::PRODUCTION).unwrap());
    let stored = pool.hash(password("right"), salt()).await.unwrap();
    let mut storm = JoinSet::new();
    for number in 0..400 {
        let (pool, stored) = (Arc::clone(&pool), stored.clone());
        storm.spawn(async move {
            let guess = if number % 2 == 0 { "right" } else { "wrong" };
            (number, pool.verify(stored, password(guess)).await)
        });
    }
    let (mut answered, mut refused) = (0, 0);
    while let Some(result) = storm.join_next().await {
        match result.unwrap() {
            (number, Ok(matched)) => {
                assert_eq!(matched, number % 2 == 0);
                answered += 1;
            }
            (_, Err(error)) => {
                assert_eq!(error, PoolError::Busy { retry_after_secs: 30 });
                refused += 1;
            }
        }
    }
    assert_eq!(answered + refused, 400);
    assert!(answered >= 16, "{answered}");
    assert!(refused > 0, "{refused}");
    assert_eq!(pool.verify(stored, password("right")).await, Ok(true));
    // Two blocks, however many hashes.
    assert!(pool.kept_bytes() <= 2 * 20 * 1024 * 1024, "{}", pool.kept_bytes());
}
