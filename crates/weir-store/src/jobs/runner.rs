//! The worker: takes due jobs, runs their handlers, renews leases, sends schedules.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{
    LogLevel, LogLine, PutOff,
    queue::{self, Outcome, Taken},
    schedules,
};
use crate::{Db, StoreError};

/// Runs the jobs of one actor. A job may run twice; a handler must not care.
#[async_trait::async_trait]
pub trait JobHandler: Send + Sync + 'static {
    /// Does the work. An error is a failed attempt; its text goes to the log that administrators read.
    async fn run(&self, cx: &JobCx) -> Result<(), anyhow::Error>;

    /// How long one attempt may take.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(600)
    }

    /// Whether most of its time goes by waiting for other systems. Such jobs have places of their own, so that slow
    /// systems hold up nothing but themselves.
    fn waits_for_others(&self) -> bool {
        false
    }
}

type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What a handler knows about its job, and how it reports.
pub struct JobCx {
    id: Uuid,
    actor_name: String,
    args: Value,
    attempt: i64,
    db: Db,
    clock: Clock,
    report: Mutex<Report>,
}

#[derive(Default)]
struct Report {
    lines: Vec<LogLine>,
    written: usize,
    worst: Option<LogLevel>,
    progress: Option<f64>,
    result: Option<Value>,
}

/// More lines than this in one run are dropped: the log is for people.
const MAX_LINES: usize = 1000;
const MAX_TEXT: usize = 4000;

impl JobCx {
    /// The job's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What was enqueued with it.
    #[must_use]
    pub fn args(&self) -> &Value {
        &self.args
    }

    /// 1 for the first attempt.
    #[must_use]
    pub fn attempt(&self) -> i64 {
        self.attempt
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Adds a line to the job's log; it is stored with the next heartbeat. `fields` is an object or null.
    pub fn log(&self, level: LogLevel, text: impl Into<String>, fields: Value) {
        let mut event: String = text.into();
        shorten(&mut event);
        let attributes = if fields.is_object() { fields } else { Value::Object(serde_json::Map::new()) };
        let line = LogLine { timestamp: self.now(), level, logger: self.actor_name.clone(), event, attributes };
        let mut report = self.report();
        report.worst = report.worst.max(Some(level));
        if report.written + report.lines.len() < MAX_LINES {
            report.lines.push(line);
        }
    }

    /// Tells how far the job is, between 0 and 1.
    pub fn progress(&self, share: f64) {
        self.report().progress = Some(share.clamp(0.0, 1.0));
    }

    /// Leaves something behind for whoever looks at the finished job.
    pub fn set_result(&self, result: Value) {
        self.report().result = Some(result);
    }

    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_lines(&self) -> Vec<LogLine> {
        let mut report = self.report();
        let lines = std::mem::take(&mut report.lines);
        report.written += lines.len();
        lines
    }
}

fn shorten(text: &mut String) {
    if text.len() > MAX_TEXT {
        let mut end = MAX_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
}

/// Jobs that wait for other systems, at once.
const WAITING: usize = 32;

/// Attempts on their way.
#[derive(Default)]
struct Running {
    own: JoinSet<()>,
    waiting: JoinSet<()>,
}

impl Running {
    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.waiting.is_empty()
    }

    /// Waits for the end of one; false when none is on its way.
    async fn one(&mut self) -> bool {
        tokio::select! {
            Some(_) = self.own.join_next() => true,
            Some(_) = self.waiting.join_next() => true,
            else => false,
        }
    }

    fn abort_all(&mut self) {
        self.own.abort_all();
        self.waiting.abort_all();
    }
}

/// Works on the jobs of one database.
#[derive(Clone)]
pub struct Runner {
    db: Db,
    clock: Clock,
    handlers: Arc<BTreeMap<&'static str, Arc<dyn JobHandler>>>,
    concurrency: usize,
    worker_id: Arc<str>,
    version: Arc<str>,
    started: DateTime<Utc>,
    lease: Duration,
    poll: Duration,
    grace: Duration,
}

impl Runner {
    /// A worker with these handlers that runs up to `concurrency` jobs at once.
    pub fn new(
        db: Db,
        clock: Clock,
        handlers: BTreeMap<&'static str, Arc<dyn JobHandler>>,
        concurrency: usize,
    ) -> Self {
        let started = clock();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "localhost".to_owned());
        // Containers share process ids and perhaps names, hardly the microsecond of their start as well.
        let worker_id = format!("{}-{}-{:x}", host.trim(), std::process::id(), started.timestamp_micros());
        Self {
            db,
            clock,
            handlers: Arc::new(handlers),
            concurrency: concurrency.max(1),
            worker_id: worker_id.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            started,
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            grace: Duration::from_secs(20),
        }
    }

    /// The program's version as the list of workers shows it.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// How long a job stays with a worker that does not answer (one minute), and how often an idle worker looks.
    #[must_use]
    pub fn timing(mut self, lease: Duration, poll: Duration) -> Self {
        self.lease = lease;
        self.poll = poll;
        self
    }

    /// How long running jobs may go on after the shutdown (20 s) before they are given back.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// This worker's name.
    #[must_use]
    pub fn worker_id(&self) -> &str {
        &self.worker_id
    }

    /// Works until `shutdown` ends, then lets running jobs finish for a while and gives the others back.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let mut running = Running::default();
        let mut next_heartbeat = Instant::now();
        let mut reported = false;
        tokio::pin!(shutdown);
        loop {
            if Instant::now() >= next_heartbeat {
                next_heartbeat = Instant::now() + Duration::from_secs(15);
                self.log_failure(self.heartbeat().await, &mut reported);
            }
            let looked = self.look(&mut running).await;
            self.log_failure(looked, &mut reported);
            tokio::select! {
                () = &mut shutdown => break,
                true = running.one() => {}
                () = self.db.jobs_woken(), if self.has_room(&running) => {}
                () = sleep(self.poll) => {}
            }
        }
        // Each attempt gives itself back when it is told to stop.
        let drained = timeout(self.grace, async { while running.one().await {} }).await;
        if drained.is_err() {
            running.abort_all();
            while running.one().await {}
            self.release().await;
        }
        self.log_failure(self.sign_off().await, &mut reported);
    }

    /// Sends due schedules and runs due jobs until none is due; returns how many attempts it made. For tests and
    /// for commands that must not leave work behind.
    pub async fn run_due(&self) -> Result<usize, StoreError> {
        let mut attempts = 0;
        loop {
            let mut running = Running::default();
            self.look(&mut running).await?;
            if running.is_empty() {
                return Ok(attempts);
            }
            while running.one().await {
                attempts += 1;
            }
        }
    }

    fn has_room(&self, running: &Running) -> bool {
        running.own.len() < self.concurrency || running.waiting.len() < WAITING
    }

    /// One round: schedules, abandoned jobs, due jobs.
    async fn look(&self, running: &mut Running) -> Result<(), StoreError> {
        let now = (self.clock)();
        schedules::tick(&self.db, now).await?;
        queue::reclaim(&self.db, now).await?;
        let lease = self.lease_delta();
        let places = [(false, self.concurrency, &mut running.own), (true, WAITING, &mut running.waiting)];
        for (waits, most, set) in places {
            let free = most.saturating_sub(set.len());
            let fit = self.handlers.iter().filter(|(_, handler)| handler.waits_for_others() == waits);
            let actors: Vec<&str> = fit.map(|(actor, _)| *actor).collect();
            for job in queue::take(&self.db, &self.worker_id, &actors, free, now, lease).await? {
                set.spawn(self.clone().attempt(job));
            }
        }
        Ok(())
    }

    fn lease_delta(&self) -> TimeDelta {
        TimeDelta::from_std(self.lease).unwrap_or(TimeDelta::seconds(60))
    }

    /// Runs one attempt to its end.
    async fn attempt(self, job: Taken) {
        let Some(handler) = self.handlers.get(job.actor_name.as_str()).cloned() else { return };
        let cx = Arc::new(JobCx {
            id: job.id,
            actor_name: job.actor_name.clone(),
            args: job.args.clone(),
            attempt: job.attempts,
            db: self.db.clone(),
            clock: Arc::clone(&self.clock),
            report: Mutex::default(),
        });
        let work = Arc::clone(&cx);
        // A task of its own, so that a panic ends the attempt and nothing else.
        let mut task = AbortOnDrop(tokio::spawn(async move {
            let limit = handler.time_limit();
            match timeout(limit, handler.run(&work)).await {
                Ok(done) => done,
                Err(_) => Err(anyhow::anyhow!("The task took longer than {} seconds.", limit.as_secs())),
            }
        }));
        let ended = loop {
            tokio::select! {
                ended = &mut task.0 => break ended,
                () = sleep(self.lease / 4) => {
                    if !self.renew(&job, &cx).await {
                        return;
                    }
                }
            }
        };
        let outcome = match ended {
            Ok(Ok(())) => {
                let report = cx.report();
                Outcome::Done { worst: report.worst.unwrap_or(LogLevel::Debug), result: report.result.clone() }
            }
            Ok(Err(error)) => match error.downcast_ref::<PutOff>() {
                Some(wish) => Outcome::PutOff(wish.until),
                None => failed(format!("{error:#}")),
            },
            Err(error) if error.is_panic() => failed(format!("The task panicked: {}", panic_text(error.into_panic()))),
            Err(_) => Outcome::Released,
        };
        self.settle(&job, &cx, &outcome).await;
    }

    /// False when another worker has the job now.
    async fn renew(&self, job: &Taken, cx: &JobCx) -> bool {
        let (lines, progress) = (cx.take_lines(), cx.report().progress);
        let lease = self.lease_delta();
        match queue::renew(&self.db, &self.worker_id, job, progress, &lines, (self.clock)(), lease).await {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(job = %job.id, error = %error, "a task's lease could not be renewed");
                let mut report = cx.report();
                report.written = report.written.saturating_sub(lines.len());
                report.lines.splice(0..0, lines);
                true
            }
        }
    }

    /// Keeps trying while the lease lasts: the work is done, only the database is away.
    async fn settle(&self, job: &Taken, cx: &JobCx, outcome: &Outcome) {
        let lines = cx.take_lines();
        let deadline = Instant::now() + self.lease;
        loop {
            match queue::settle(&self.db, &self.worker_id, job, outcome, &lines, (self.clock)()).await {
                Ok(()) => return,
                Err(error) if error.is_transient() && Instant::now() < deadline => sleep(Duration::from_secs(1)).await,
                Err(error) => {
                    tracing::error!(job = %job.id, error = ?error, "a task's end could not be stored");
                    return;
                }
            }
        }
    }

    async fn heartbeat(&self) -> Result<(), StoreError> {
        let now = (self.clock)();
        let mut tx = self.db.tx();
        tx.set_durability(crate::Durability::Relaxed);
        tx.write(
            "INSERT INTO worker (id, version, started, heartbeat) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO UPDATE SET heartbeat = excluded.heartbeat",
            &[(&*self.worker_id).into(), (&*self.version).into(), self.started.into(), now.into()],
        )
        .await?;
        tx.write("DELETE FROM worker WHERE heartbeat < $1", &[(now - TimeDelta::hours(1)).into()]).await?;
        tx.commit().await
    }

    async fn sign_off(&self) -> Result<(), StoreError> {
        let mut tx = self.db.tx();
        tx.write("DELETE FROM worker WHERE id = $1", &[(&*self.worker_id).into()]).await?;
        tx.commit().await
    }

    /// Gives back what this worker still holds, without counting the attempt.
    async fn release(&self) {
        let release = async {
            let mut tx = self.db.tx();
            let vals = [(&*self.worker_id).into(), (self.clock)().into()];
            tx.write(
                "UPDATE job SET state = 'queued', aggregated_status = 'queued', due = $2, attempts = attempts - 1, \
                 worker_id = NULL, lease_until = NULL, mtime = $2 WHERE worker_id = $1 AND state = 'running'",
                &vals,
            )
            .await?;
            tx.commit().await
        };
        if let Err(error) = release.await {
            tracing::warn!(error = %error, "running tasks could not be given back; their leases will run out");
        }
    }

    /// Logs the first failure of a series and its end.
    fn log_failure(&self, result: Result<(), StoreError>, reported: &mut bool) {
        match result {
            Ok(()) => *reported = false,
            Err(error) if *reported => tracing::debug!(error = %error, "the task queue is still not available"),
            Err(error) => {
                *reported = true;
                tracing::warn!(error = ?error, "the task queue is not available");
            }
        }
    }
}

fn failed(mut reason: String) -> Outcome {
    shorten(&mut reason);
    Outcome::Failed { reason }
}

fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast::<&str>().map_or_else(|_| "no message".to_owned(), |text| (*text).to_owned()),
    }
}

/// An attempt that lost its lease must not go on working.
struct AbortOnDrop(JoinHandle<Result<(), anyhow::Error>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
