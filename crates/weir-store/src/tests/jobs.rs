//! The life of a job.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    Db, StoreError,
    jobs::{self, Job, JobCx, JobFilter, JobHandler, JobState, LogLevel, NewJob, RelObj, Runner},
    test_support::test_db,
};

/// A clock that the test moves.
#[derive(Clone)]
pub(super) struct TestClock(Arc<Mutex<DateTime<Utc>>>);

impl TestClock {
    pub(super) fn at(text: &str) -> Self {
        Self(Arc::new(Mutex::new(text.parse().unwrap())))
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    pub(super) fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }

    pub(super) fn shared(&self) -> Arc<dyn Fn() -> DateTime<Utc> + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

/// Does what its arguments say.
pub(super) struct Puppet {
    pub(super) runs: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl JobHandler for Puppet {
    async fn run(&self, cx: &JobCx) -> Result<(), anyhow::Error> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let text = |key: &str| cx.args().get(key).and_then(Value::as_str).map(str::to_owned);
        if let Some(line) = text("info") {
            cx.log(LogLevel::Info, line, json!({"attempt": cx.attempt()}));
        }
        if let Some(line) = text("warning") {
            cx.log(LogLevel::Warning, line, Value::Null);
        }
        cx.progress(0.5);
        match text("do").as_deref() {
            Some("fail") => anyhow::bail!("no luck"),
            Some("fail once") if cx.attempt() == 1 => anyhow::bail!("no luck yet"),
            Some("fail, then wait") if self.runs.load(Ordering::SeqCst) == 1 => anyhow::bail!("no luck yet"),
            Some("wait a minute" | "fail, then wait") if self.runs.load(Ordering::SeqCst) < 4 => {
                return Err(jobs::PutOff { until: cx.now() + TimeDelta::minutes(1) }.into());
            }
            Some("panic") => panic!("oh dear"),
            Some("hang") => std::future::pending().await,
            _ => cx.set_result(json!({"ok": true})),
        }
        Ok(())
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// Does the same with a system far away.
struct Distant(Puppet);

#[async_trait::async_trait]
impl JobHandler for Distant {
    async fn run(&self, cx: &JobCx) -> Result<(), anyhow::Error> {
        self.0.run(cx).await
    }

    fn waits_for_others(&self) -> bool {
        true
    }
}

pub(super) struct Bench {
    pub(super) clock: TestClock,
    pub(super) runs: Arc<AtomicUsize>,
    pub(super) runner: Runner,
}

pub(super) fn bench(db: &Db) -> Bench {
    let clock = TestClock::at("2026-03-01T12:00:00Z");
    let runs = Arc::new(AtomicUsize::new(0));
    Bench { runner: runner(db, &clock, &runs), clock, runs }
}

fn runner(db: &Db, clock: &TestClock, runs: &Arc<AtomicUsize>) -> Runner {
    let puppet: Arc<dyn JobHandler> = Arc::new(Puppet { runs: Arc::clone(runs) });
    let distant: Arc<dyn JobHandler> = Arc::new(Distant(Puppet { runs: Arc::clone(runs) }));
    Runner::new(db.clone(), clock.shared(), BTreeMap::from([("puppet", puppet), ("distant", distant)]), 4)
        .timing(Duration::from_millis(400), Duration::from_millis(20))
        .grace(Duration::from_millis(200))
}

async fn enqueue(db: &Db, clock: &TestClock, number: u128, job: NewJob) -> Uuid {
    let id = Uuid::from_u128(number);
    let mut tx = db.tx();
    jobs::enqueue(&mut tx, id, clock.now(), &job).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn get(db: &Db, id: Uuid) -> Job {
    jobs::find(db, id).await.unwrap().unwrap()
}

async fn wait_for(db: &Db, id: Uuid, state: JobState) -> Job {
    timeout(Duration::from_secs(10), async {
        loop {
            let job = get(db, id).await;
            if job.state == state {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the state is reached")
}

#[tokio::test]
async fn a_job_runs_once_and_shows_its_worst_line_and_result() {
    let db = test_db().await;
    let bench = bench(&db);
    let args = json!({"info": "half way", "warning": "odd\0"});
    let job = NewJob {
        uid: Some("one".to_owned()),
        rel_obj: Some(RelObj::new("app", "model", "5")),
        description: Some("A puppet.".to_owned()),
        ..NewJob::new("puppet", Value::Null)
    };
    let id = enqueue(&db, &bench.clock, 1, NewJob { args: json!({"info": "half way"}), ..job.clone() }).await;
    let queued = get(&db, id).await;
    assert_eq!((queued.state, queued.aggregated_status.as_str()), (JobState::Queued, "queued"));
    assert_eq!(bench.runner.run_due().await.unwrap(), 1);
    assert_eq!(bench.runner.run_due().await.unwrap(), 0);
    let done = get(&db, id).await;
    assert_eq!((done.state, done.aggregated_status.as_str()), (JobState::Done, "info"));
    assert_eq!(done.uid, "puppet:one");
    assert_eq!(done.rel_obj, Some(RelObj::new("app", "model", "5")));
    assert_eq!(done.result, Some(json!({"ok": true})));
    assert_eq!((done.logs.len(), done.retries), (1, 0));
    assert_eq!(done.logs[0].event, "half way");
    assert_eq!(done.logs[0].attributes, json!({"attempt": 1}));
    let refused =
        jobs::enqueue(&mut db.tx(), Uuid::from_u128(2), bench.clock.now(), &NewJob::new("puppet", args)).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))));
    assert_eq!(bench.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_job_of_a_rolled_back_transaction_never_runs() {
    let db = test_db().await;
    let bench = bench(&db);
    let mut tx = db.tx();
    jobs::enqueue(&mut tx, Uuid::from_u128(1), bench.clock.now(), &NewJob::new("puppet", json!({}))).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(bench.runner.run_due().await.unwrap(), 0);
}

#[tokio::test]
async fn a_failed_attempt_is_tried_again_later_and_both_logs_are_kept() {
    let db = test_db().await;
    let bench = bench(&db);
    let args = json!({"do": "fail once", "info": "trying"});
    let id = enqueue(&db, &bench.clock, 1, NewJob::new("puppet", args)).await;
    assert_eq!(bench.runner.run_due().await.unwrap(), 1);
    let waiting = get(&db, id).await;
    assert_eq!(waiting.state, JobState::Queued);
    assert_eq!(waiting.eta, Some(bench.clock.now() + TimeDelta::seconds(15)));
    assert_eq!(waiting.logs.last().unwrap().event, "no luck yet");
    bench.clock.advance(TimeDelta::seconds(14));
    assert_eq!(bench.runner.run_due().await.unwrap(), 0);
    bench.clock.advance(TimeDelta::seconds(1));
    assert_eq!(bench.runner.run_due().await.unwrap(), 1);
    let done = get(&db, id).await;
    assert_eq!((done.state, done.retries, done.aggregated_status.as_str()), (JobState::Done, 1, "info"));
    assert_eq!((done.logs.len(), done.previous_logs.len()), (1, 2));
}

#[tokio::test]
async fn attempts_are_bounded_and_a_panic_is_a_failed_one() {
    let db = test_db().await;
    let bench = bench(&db);
    let poison = NewJob { max_retries: 2, ..NewJob::new("puppet", json!({"do": "panic"})) };
    let id = enqueue(&db, &bench.clock, 1, poison).await;
    let other = enqueue(&db, &bench.clock, 2, NewJob::new("puppet", json!({}))).await;
    for _ in 0..10 {
        bench.runner.run_due().await.unwrap();
        bench.clock.advance(TimeDelta::hours(2));
    }
    let rejected = get(&db, id).await;
    assert_eq!((rejected.state, rejected.aggregated_status.as_str()), (JobState::Rejected, "rejected"));
    assert_eq!(rejected.retries, 2);
    assert!(rejected.logs.last().unwrap().event.contains("oh dear"));
    assert_eq!(get(&db, other).await.state, JobState::Done);
    assert_eq!(bench.runs.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn only_finished_jobs_can_be_started_again() {
    let db = test_db().await;
    let bench = bench(&db);
    let id = enqueue(&db, &bench.clock, 1, NewJob::new("puppet", json!({"warning": "first"}))).await;
    let retry = async |id: Uuid| {
        let mut tx = db.tx();
        let done = jobs::retry(&mut tx, id, bench.clock.now()).await;
        tx.commit().await.unwrap();
        done
    };
    assert!(!retry(id).await.unwrap());
    bench.runner.run_due().await.unwrap();
    assert_eq!(get(&db, id).await.aggregated_status, "warning");
    assert!(retry(id).await.unwrap());
    assert_eq!(get(&db, id).await.state, JobState::Queued);
    bench.runner.run_due().await.unwrap();
    let done = get(&db, id).await;
    assert_eq!((done.logs.len(), done.previous_logs.len(), done.retries), (1, 1, 0));
    assert!(matches!(retry(Uuid::from_u128(9)).await, Err(StoreError::NotFound)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_share_the_jobs_and_none_runs_twice() {
    let db = test_db().await;
    let first = bench(&db);
    for number in 0..60 {
        enqueue(&db, &first.clock, number, NewJob::new("puppet", json!({}))).await;
    }
    let runners: Vec<_> = (0..5).map(|_| runner(&db, &first.clock, &first.runs)).collect();
    let tasks: Vec<_> =
        runners.into_iter().map(|runner| tokio::spawn(async move { runner.run_due().await.unwrap() })).collect();
    let mut attempts = 0;
    for task in tasks {
        attempts += task.await.unwrap();
    }
    assert_eq!((attempts, first.runs.load(Ordering::SeqCst)), (60, 60));
    assert_eq!(jobs::status_counts(&db).await.unwrap(), BTreeMap::from([("done".to_owned(), 60)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_killed_worker_is_taken_again_when_its_lease_has_run_out() {
    let db = test_db().await;
    let bench = bench(&db);
    let id = enqueue(&db, &bench.clock, 1, NewJob::new("puppet", json!({"do": "hang", "info": "started"}))).await;
    let doomed = tokio::spawn(bench.runner.clone().run(std::future::pending()));
    wait_for(&db, id, JobState::Running).await;
    assert_eq!(jobs::workers(&db, bench.clock.now()).await.unwrap().len(), 1);
    // The heartbeat stores what was logged and how far it is.
    timeout(Duration::from_secs(5), async {
        while get(&db, id).await.progress.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(get(&db, id).await.logs.len(), 1);
    doomed.abort();
    doomed.await.unwrap_err();
    let other = runner(&db, &bench.clock, &bench.runs);
    assert_eq!(other.run_due().await.unwrap(), 0, "the lease still holds");
    bench.clock.advance(TimeDelta::seconds(2));
    assert_eq!(other.run_due().await.unwrap(), 0, "back-off after the lost attempt");
    assert!(get(&db, id).await.logs.last().unwrap().event.contains("worker stopped"));
    bench.clock.advance(TimeDelta::seconds(15));
    let again = tokio::spawn(other.run(std::future::pending()));
    let job = wait_for(&db, id, JobState::Running).await;
    assert_eq!(job.retries, 1);
    again.abort();
    bench.clock.advance(TimeDelta::seconds(61));
    assert!(jobs::workers(&db, bench.clock.now()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_told_to_stop_gives_unfinished_jobs_back() {
    let db = test_db().await;
    let bench = bench(&db);
    let hung = enqueue(&db, &bench.clock, 1, NewJob::new("puppet", json!({"do": "hang"}))).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(bench.runner.clone().run(async { drop(stopped.await) }));
    wait_for(&db, hung, JobState::Running).await;
    let quick = enqueue(&db, &bench.clock, 2, NewJob::new("puppet", json!({}))).await;
    wait_for(&db, quick, JobState::Done).await;
    stop.send(()).unwrap();
    timeout(Duration::from_secs(5), worker).await.unwrap().unwrap();
    let job = get(&db, hung).await;
    assert_eq!((job.state, job.retries), (JobState::Queued, 0));
    assert!(jobs::workers(&db, bench.clock.now()).await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_filter_search_order_and_page() {
    let db = test_db().await;
    let bench = bench(&db);
    for number in 0..7_u128 {
        let job = NewJob {
            uid: Some(format!("item%{number}")),
            queue_name: if number < 2 { "mail".to_owned() } else { "default".to_owned() },
            rel_obj: (number == 3).then(|| RelObj::new("app", "thing", "x3")),
            ..NewJob::new(if number == 6 { "stranger" } else { "puppet" }, json!({}))
        };
        enqueue(&db, &bench.clock, number + 1, job).await;
        bench.clock.advance(TimeDelta::seconds(1));
    }
    bench.runner.run_due().await.unwrap();
    let all = JobFilter { page: 1, page_size: 20, ..JobFilter::default() };
    let total = async |filter: JobFilter| jobs::list(&db, &filter).await.unwrap().total;
    assert_eq!(total(all.clone()).await, 7);
    assert_eq!(total(JobFilter { queue_name: Some("mail".into()), ..all.clone() }).await, 2);
    assert_eq!(total(JobFilter { actor_name: Some("stranger".into()), ..all.clone() }).await, 1);
    assert_eq!(total(JobFilter { state: Some("queued".into()), ..all.clone() }).await, 1, "nobody here knows it");
    assert_eq!(total(JobFilter { state: Some("nonsense\u{1}".into()), ..all.clone() }).await, 0);
    let statuses = vec!["done".to_owned(), "error".to_owned()];
    assert_eq!(total(JobFilter { aggregated_status: statuses, ..all.clone() }).await, 6);
    assert_eq!(total(JobFilter { rel_id: Some("x3".into()), ..all.clone() }).await, 1);
    assert_eq!(total(JobFilter { rel_id_isnull: Some(true), ..all.clone() }).await, 6);
    assert_eq!(total(JobFilter { search: Some("ITEM%4".into()), ..all.clone() }).await, 1);
    assert_eq!(total(JobFilter { search: Some("item_4".into()), ..all.clone() }).await, 0);
    let ordered = JobFilter { ordering: Some("-uid,nonsense".into()), page: 2, page_size: 3, ..all };
    let page = jobs::list(&db, &ordered).await.unwrap();
    let uids: Vec<&str> = page.items.iter().map(|job| job.uid.as_str()).collect();
    assert_eq!((page.total, uids), (7, vec!["puppet:item%3", "puppet:item%2", "puppet:item%1"]));
    let mut tx = db.tx();
    assert_eq!(jobs::purge(&mut tx, bench.clock.now() + TimeDelta::seconds(1)).await.unwrap(), 6);
}

#[tokio::test]
async fn jobs_that_wait_for_other_systems_take_no_place_from_the_rest() {
    let db = test_db().await;
    let bench = bench(&db);
    for number in 1..=20 {
        enqueue(&db, &bench.clock, number, NewJob::new("distant", json!({"do": "hang"}))).await;
    }
    let usual = enqueue(&db, &bench.clock, 21, NewJob::new("puppet", json!({}))).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let runner = tokio::spawn(bench.runner.clone().run(async move {
        stopped.await.ok();
    }));
    wait_for(&db, usual, JobState::Done).await;
    let running = wait_for(&db, Uuid::from_u128(20), JobState::Running).await;
    assert_eq!(running.actor_name, "distant");
    stop.send(()).unwrap();
    runner.await.unwrap();
    assert_eq!(get(&db, Uuid::from_u128(1)).await.state, JobState::Queued, "it is given back");
}

#[tokio::test]
async fn a_job_that_asks_to_wait_waits_and_has_not_tried() {
    let db = test_db().await;
    let bench = bench(&db);
    let mut job = NewJob::new("puppet", json!({"do": "wait a minute", "info": "here"}));
    job.max_retries = 0;
    let id = enqueue(&db, &bench.clock, 1, job).await;
    for _ in 0..3 {
        assert_eq!(bench.runner.run_due().await.unwrap(), 1);
        assert_eq!(bench.runner.run_due().await.unwrap(), 0, "not before its time");
        assert_eq!(get(&db, id).await.state, JobState::Queued);
        bench.clock.advance(TimeDelta::minutes(1));
    }
    assert_eq!(bench.runner.run_due().await.unwrap(), 1);
    let done = get(&db, id).await;
    assert_eq!((done.state, done.retries), (JobState::Done, 0));
}

#[tokio::test]
async fn waiting_does_not_forget_why_the_attempt_before_failed() {
    let db = test_db().await;
    let bench = bench(&db);
    let id =
        enqueue(&db, &bench.clock, 1, NewJob::new("puppet", json!({"do": "fail, then wait", "info": "here"}))).await;
    for _ in 0..3 {
        assert_eq!(bench.runner.run_due().await.unwrap(), 1);
        let waiting = get(&db, id).await;
        assert_eq!(waiting.state, JobState::Queued);
        assert_eq!(waiting.logs.iter().map(|line| line.event.as_str()).collect::<Vec<_>>(), ["here", "no luck yet"]);
        bench.clock.advance(TimeDelta::minutes(1));
    }
    assert_eq!(bench.runner.run_due().await.unwrap(), 1);
    let done = get(&db, id).await;
    assert_eq!((done.state, done.retries, done.logs.len()), (JobState::Done, 1, 1));
    assert_eq!(done.previous_logs.last().unwrap().event, "no luck yet");
}
