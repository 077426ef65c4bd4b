//! Durable work in the background: jobs, their log, schedules, workers.
//!
//! A job is a row written in the transaction that causes it. A worker takes it under a lease and renews the lease while
//! it works; when the worker dies, the lease runs out and the job is taken again. So a job may run twice and must not
//! care. Each attempt is a run with its own log; the log of the current and the previous run is kept.

mod query;
mod queue;
mod runner;
pub mod schedules;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

pub use query::{JobFilter, Page, Worker, find, list, status_counts, workers};
pub use queue::{enqueue, purge, retry};
pub use runner::{JobCx, JobHandler, Runner};

/// The queue of jobs that need none of their own.
pub const DEFAULT_QUEUE: &str = "default";

/// The object a job or schedule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelObj {
    /// As in `app_label.model`.
    pub app_label: String,
    /// As in `app_label.model`.
    pub model: String,
    /// Its primary key.
    pub id: String,
}

impl RelObj {
    /// An object by label, model and key.
    pub fn new(app_label: impl Into<String>, model: impl Into<String>, id: impl Into<String>) -> Self {
        Self { app_label: app_label.into(), model: model.into(), id: id.into() }
    }
}

/// The error of a handler for which this is not the time: the job waits, and the attempt does not count.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("put off until {until}")]
pub struct PutOff {
    /// When to try again.
    pub until: DateTime<Utc>,
}

/// A job to be enqueued.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Which handler runs it.
    pub actor_name: String,
    /// Which queue shows it.
    pub queue_name: String,
    /// What tells this actor's jobs apart for a reader; shown as `<actor>:<uid>`.
    pub uid: Option<String>,
    /// What the handler gets.
    pub args: Value,
    /// The object it is about.
    pub rel_obj: Option<RelObj>,
    /// Not before this time.
    pub eta: Option<DateTime<Utc>>,
    /// How often a failed attempt is followed by another.
    pub max_retries: u32,
    /// One line for the administrator.
    pub description: Option<String>,
    pub(crate) schedule_id: Option<Uuid>,
}

impl NewJob {
    /// A job for this actor, at once, with five retries.
    pub fn new(actor_name: impl Into<String>, args: Value) -> Self {
        Self {
            actor_name: actor_name.into(),
            queue_name: DEFAULT_QUEUE.to_owned(),
            uid: None,
            args,
            rel_obj: None,
            eta: None,
            max_retries: 5,
            description: None,
            schedule_id: None,
        }
    }
}

/// Where a job is; the names are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Kept for the contract; no job of ours waits for another.
    WaitingForDependencies,
    /// May be taken once it is due.
    Queued,
    /// Kept for the contract.
    Consumed,
    /// Kept for the contract.
    Preprocess,
    /// A worker has it.
    Running,
    /// Kept for the contract.
    Postprocess,
    /// Given up.
    Rejected,
    /// Finished.
    Done,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::WaitingForDependencies,
        Self::Queued,
        Self::Consumed,
        Self::Preprocess,
        Self::Running,
        Self::Postprocess,
        Self::Rejected,
        Self::Done,
    ];

    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaitingForDependencies => "waiting_for_dependencies",
            Self::Queued => "queued",
            Self::Consumed => "consumed",
            Self::Preprocess => "preprocess",
            Self::Running => "running",
            Self::Postprocess => "postprocess",
            Self::Rejected => "rejected",
            Self::Done => "done",
        }
    }

    /// The state of this wire name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// How serious a log line is; ordered from harmless to grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For developers.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Something failed.
    Error,
    /// Something failed that others depend on.
    Critical,
}

impl LogLevel {
    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    fn parse(name: &str) -> Self {
        match name {
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warning" => Self::Warning,
            "critical" => Self::Critical,
            _ => Self::Error,
        }
    }

    /// The aggregated status of a finished job whose worst line is this.
    fn status(self) -> &'static str {
        match self {
            Self::Debug => "done",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error | Self::Critical => "error",
        }
    }
}

/// One line of a job's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// When it was written.
    pub timestamp: DateTime<Utc>,
    /// How serious it is.
    pub level: LogLevel,
    /// Who wrote it: the actor's name.
    pub logger: String,
    /// The text.
    pub event: String,
    /// Further facts, an object.
    pub attributes: Value,
}

/// A job as the tasks API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The message id.
    pub id: Uuid,
    /// Its queue.
    pub queue_name: String,
    /// Its handler.
    pub actor_name: String,
    /// `<actor>` or `<actor>:<uid>`.
    pub uid: String,
    /// What the handler gets.
    pub args: Value,
    /// One line for the administrator.
    pub description: Option<String>,
    /// The object it is about.
    pub rel_obj: Option<RelObj>,
    /// Where it is.
    pub state: JobState,
    /// The state, or for a finished job its worst log level.
    pub aggregated_status: String,
    /// Not before this time; after a failure the time of the next attempt.
    pub eta: Option<DateTime<Utc>>,
    /// Attempts after the first one.
    pub retries: i64,
    /// Between 0 and 1, when the handler tells.
    pub progress: Option<f64>,
    /// What the handler left behind.
    pub result: Option<Value>,
    /// When it was enqueued.
    pub created: DateTime<Utc>,
    /// When it last changed.
    pub mtime: DateTime<Utc>,
    /// Of the current run.
    pub logs: Vec<LogLine>,
    /// Of the run before.
    pub previous_logs: Vec<LogLine>,
}

/// `<actor>` or `<actor>:<uid>`.
fn full_uid(actor_name: &str, uid: &str) -> String {
    if uid.is_empty() { actor_name.to_owned() } else { format!("{actor_name}:{uid}") }
}
