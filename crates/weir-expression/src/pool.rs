//! The pool of workers: bounded, started at first use, stopped when idle.

use std::{
    ffi::OsString,
    io, mem,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{
    EvalError, Evaluation, Host, Limit, Limits, NoHost, Raise, Request, SyntaxProblem,
    process::Worker,
    wire::{EXIT_OUT_OF_MEMORY, FromWorker, ToWorker},
};

/// How to start a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program, as a rule the running binary itself.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// Settings of a [`Pool`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Runs at the same time. Runs that other runs wait for come on top.
    pub size: usize,
    /// How to start a worker.
    pub command: WorkerCommand,
    /// What a run may use.
    pub limits: Limits,
    /// How long a run may wait for a worker.
    pub queue: Duration,
    /// How long an unused worker is kept.
    pub idle: Duration,
    /// Runs after which a worker is replaced.
    pub runs_per_worker: u32,
    /// How deep expressions may call each other.
    pub max_depth: usize,
}

impl PoolSettings {
    /// Settings for a program, with defaults: two runs at once, 60 s until an idle worker stops.
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            size: 2,
            command: WorkerCommand { program: program.into(), args: args.into_iter().map(Into::into).collect() },
            limits: Limits::default(),
            queue: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            runs_per_worker: 1000,
            max_depth: 5,
        }
    }
}

/// How a pool stands, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Runs at the same time, at most.
    pub size: usize,
    /// Runs now (nested ones not counted).
    pub running: usize,
    /// Workers waiting for a run.
    pub idle: usize,
}

/// Runs expressions in worker processes. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    settings: PoolSettings,
    permits: Semaphore,
    workers: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    workers: Vec<Worker>,
    /// Whether a task waits to stop workers.
    is_watched: bool,
}

impl Pool {
    /// A pool that has started nothing yet.
    pub fn new(settings: PoolSettings) -> Self {
        let permits = Semaphore::new(settings.size.max(1));
        Self { shared: Arc::new(Shared { settings, permits, workers: Mutex::default() }) }
    }

    /// The limits of its runs.
    pub fn limits(&self) -> &Limits {
        &self.shared.settings.limits
    }

    /// How it stands.
    pub fn state(&self) -> PoolState {
        let size = self.shared.settings.size.max(1);
        PoolState {
            size,
            running: size.saturating_sub(self.shared.permits.available_permits()),
            idle: self.shared.idle().workers.len(),
        }
    }

    /// Process ids of the workers that wait for a run.
    pub fn idle_process_ids(&self) -> Vec<u32> {
        self.shared.idle().workers.iter().filter_map(Worker::id).collect()
    }

    /// Evaluates an expression. Everything that can go wrong is in the [`Evaluation`].
    ///
    /// Dropping the future kills the worker of the run.
    pub async fn evaluate(&self, request: Request, host: &mut dyn Host) -> Evaluation {
        let settings = &self.shared.settings;
        if request.depth > settings.max_depth {
            return Evaluation::failed(EvalError::limit(Limit::Depth, "expressions call each other too deeply"));
        }
        if let Some(error) = self.source_error(&request.source) {
            return Evaluation::failed(error);
        }
        let is_nested = request.depth > 0;
        let start = ToWorker::Run {
            source: request.source,
            variables: request.variables,
            context: request.context,
            limits: settings.limits.clone(),
        };
        let mut evaluation = Evaluation::failed(EvalError::WorkerDied);
        let outcome = self.run(&start, is_nested, host, &mut evaluation).await;
        match outcome {
            Ok(FromWorker::Done { result, context }) => {
                evaluation.result = result;
                evaluation.context = context;
            }
            Ok(_) => evaluation.result = Err(unexpected()),
            Err(error) => evaluation.result = Err(error),
        }
        if let Err(error @ (EvalError::Unavailable(_) | EvalError::WorkerDied)) = &evaluation.result {
            tracing::error!(expression = request.name, %error, "expression could not be evaluated");
        }
        evaluation
    }

    /// Looks at a source as [`Pool::evaluate`] would. The inner result says whether it is a program; the outer one is
    /// an error when that could not be found out.
    pub async fn check(&self, source: &str) -> Result<Result<(), SyntaxProblem>, EvalError> {
        if let Some(error) = self.source_error(source) {
            let message = error.to_string();
            return Ok(Err(SyntaxProblem { message, line: 1, column: 1, is_unsupported: false }));
        }
        let start = ToWorker::Check { source: source.to_owned(), limits: self.shared.settings.limits.clone() };
        let mut said = Evaluation::failed(EvalError::WorkerDied);
        match self.run(&start, false, &mut NoHost, &mut said).await? {
            FromWorker::Checked(result) => Ok(result),
            _ => Err(unexpected()),
        }
    }

    /// Stops the workers that wait for a run.
    pub fn stop_idle(&self) {
        drop(mem::take(&mut self.shared.idle().workers));
    }

    fn source_error(&self, source: &str) -> Option<EvalError> {
        let limit = self.shared.settings.limits.source;
        (source.len() > limit)
            .then(|| EvalError::limit(Limit::Source, format!("expression is longer than {limit} bytes")))
    }

    /// Sends a first message to a worker and answers its questions until its last one.
    async fn run(
        &self,
        start: &ToWorker,
        is_nested: bool,
        host: &mut dyn Host,
        said: &mut Evaluation,
    ) -> Result<FromWorker, EvalError> {
        let settings = &self.shared.settings;
        // A nested run may not queue behind the run that waits for it.
        let _permit = if is_nested {
            None
        } else {
            let permit = timeout(settings.queue, self.shared.permits.acquire()).await;
            Some(permit.ok().and_then(Result::ok).ok_or(EvalError::Busy)?)
        };
        let deadline = Instant::now() + settings.limits.wall;
        loop {
            let (mut worker, is_used) = match self.shared.take_idle() {
                Some(worker) => (worker, true),
                None => (self.shared.start_worker()?, false),
            };
            let mut conversation =
                Conversation { limits: &settings.limits, host: &mut *host, said: &mut *said, is_started: false };
            let outcome = timeout_at(deadline, conversation.hold(&mut worker, start)).await;
            let is_started = conversation.is_started;
            match outcome {
                Ok(Ok(last)) => {
                    // What a worker once used it keeps; one that met the memory limit is not worth keeping.
                    if !met_memory_limit(&last) {
                        self.shared.give_back(worker);
                    }
                    return Ok(last);
                }
                // It died while nobody looked; nothing has happened in this run yet.
                Ok(Err(Broken::Ended)) if is_used && !is_started => {}
                Ok(Err(Broken::Ended)) => return Err(ended(worker).await),
                Ok(Err(Broken::Silent)) | Err(_) => return Err(EvalError::limit(Limit::Time, "time limit exceeded")),
                Ok(Err(Broken::Nonsense(error))) => return Err(EvalError::Unavailable(error.to_string())),
            }
        }
    }
}

/// The error of a worker that ended by itself.
async fn ended(worker: Worker) -> EvalError {
    match worker.exit_code().await {
        Some(EXIT_OUT_OF_MEMORY) => EvalError::limit(Limit::Memory, "memory limit exceeded"),
        _ => EvalError::WorkerDied,
    }
}

fn met_memory_limit(last: &FromWorker) -> bool {
    matches!(last, FromWorker::Done { result: Err(EvalError::Limit { limit: Limit::Memory, .. }), .. })
}

fn unexpected() -> EvalError {
    EvalError::Unavailable("unexpected message from the worker".to_owned())
}

/// Why a conversation stopped before its last message.
enum Broken {
    /// The process ended.
    Ended,
    /// It did not speak for longer than a turn may take.
    Silent,
    /// It said what we do not understand, or we have something to say that does not fit into a message.
    Nonsense(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Nonsense(error),
            _ => Self::Ended,
        }
    }
}

/// One run as seen from the pool.
struct Conversation<'a> {
    limits: &'a Limits,
    host: &'a mut dyn Host,
    said: &'a mut Evaluation,
    /// Whether the worker has spoken.
    is_started: bool,
}

impl Conversation<'_> {
    async fn hold(&mut self, worker: &mut Worker, start: &ToWorker) -> Result<FromWorker, Broken> {
        // The worker stops itself after a turn; it gets as long again to do so on a busy machine.
        let patience = self.limits.turn * 2 + Duration::from_millis(500);
        let mut log_bytes = 0_usize;
        worker.send(start).await?;
        loop {
            let message =
                timeout(patience, worker.receive()).await.map_err(|_| Broken::Silent)??.ok_or(Broken::Ended)?;
            self.is_started = true;
            let answer = match message {
                FromWorker::Attribute { object, name } => self.host.attribute(&object, &name).await,
                FromWorker::Call(call) => self.host.call(call).await,
                FromWorker::Message(text) => {
                    log_bytes = log_bytes.saturating_add(text.len());
                    if log_bytes <= self.limits.log {
                        self.said.messages.push(text);
                    }
                    continue;
                }
                FromWorker::Log(line) => {
                    log_bytes = log_bytes.saturating_add(line.event.len()).saturating_add(64);
                    if log_bytes <= self.limits.log {
                        self.said.logs.push(line);
                    }
                    continue;
                }
                last @ (FromWorker::Done { .. } | FromWorker::Checked(_)) => return Ok(last),
            };
            match worker.send(&ToWorker::Answer(answer)).await {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    let refused = Raise::new("ValueError", error.to_string());
                    worker.send(&ToWorker::Answer(Err(refused))).await?;
                }
                sent => sent?,
            }
        }
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker used last, whose caches are the warmest.
    fn take_idle(&self) -> Option<Worker> {
        let mut idle = self.idle();
        while let Some(mut worker) = idle.workers.pop() {
            if worker.is_alive() {
                return Some(worker);
            }
        }
        None
    }

    fn start_worker(&self) -> Result<Worker, EvalError> {
        Worker::start(&self.settings.command).map_err(|error| EvalError::Unavailable(format!("cannot start: {error}")))
    }

    fn give_back(self: &Arc<Self>, mut worker: Worker) {
        worker.runs += 1;
        if worker.runs >= self.settings.runs_per_worker {
            return;
        }
        worker.idle_since = Instant::now();
        let mut idle = self.idle();
        if idle.workers.len() >= self.settings.size.max(1) {
            return;
        }
        idle.workers.push(worker);
        if !mem::replace(&mut idle.is_watched, true) {
            tokio::spawn(stop_idle_workers(Arc::downgrade(self)));
        }
    }

    /// Stops what has been idle for too long and says when to look again.
    fn stop_expired(&self) -> Option<Instant> {
        let keep = self.settings.idle;
        let mut idle = self.idle();
        let now = Instant::now();
        idle.workers.retain(|worker| worker.idle_since + keep > now);
        let next = idle.workers.iter().map(|worker| worker.idle_since + keep).min();
        idle.is_watched = next.is_some();
        next
    }
}

/// Ends with the pool or when no worker is idle any more.
async fn stop_idle_workers(shared: Weak<Shared>) {
    while let Some(next) = shared.upgrade().and_then(|shared| shared.stop_expired()) {
        sleep_until(next).await;
    }
}
