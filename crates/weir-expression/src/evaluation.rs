//! What a run comes back with.

use serde::{Deserialize, Serialize};

use crate::Value;

/// The outcome of a run. What the expression said on the way is kept whatever the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The returned value.
    pub result: Result<Value, EvalError>,
    /// The dictionary of the request as the expression left it. Missing when there was none or when the run was
    /// ended by a limit; present after an ordinary exception.
    pub context: Option<Value>,
    /// Texts of `ak_message`, in order.
    pub messages: Vec<String>,
    /// Lines of `ak_logger` and `print`, in order.
    pub logs: Vec<LogLine>,
}

impl Evaluation {
    /// An outcome without anything said.
    pub fn failed(error: EvalError) -> Self {
        Self { result: Err(error), context: None, messages: Vec::new(), logs: Vec::new() }
    }
}

/// A line of `ak_logger`; `print` writes lines of the level `info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// `debug`, `info`, `warning`, `error`, `critical` or `exception`.
    pub level: String,
    /// The event.
    pub event: String,
    /// The named values.
    pub fields: Vec<(String, Value)>,
}

/// A Python exception that nothing in the expression caught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Name of the class.
    pub class: String,
    /// What `str(exception)` gives.
    pub message: String,
    /// The line of the expression, from 1, when known.
    pub line: Option<u32>,
}

/// A source that is no program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} (line {line})")]
pub struct SyntaxProblem {
    /// What is wrong.
    pub message: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// Whether it is valid Python that the interpreter does not know (class inheritance, for example).
    pub is_unsupported: bool,
}

/// The limit that ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// A time limit of [`crate::Limits`].
    Time,
    /// [`crate::Limits::memory`].
    Memory,
    /// [`crate::Limits::suspensions`].
    Suspensions,
    /// [`crate::Limits::output`], or a result nested too deeply.
    Output,
    /// [`crate::Limits::source`].
    Source,
    /// Expressions that call each other too deeply.
    Depth,
}

/// Why there is no result. The text is fit for the administrator who wrote the expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EvalError {
    /// The source is no program.
    #[error("{0}")]
    Syntax(SyntaxProblem),
    /// An exception was raised and not caught.
    #[error("{}", .0.message)]
    Raised(Exception),
    /// A limit was exceeded.
    #[error("{message}")]
    Limit {
        /// Which one.
        limit: Limit,
        /// In words.
        message: String,
    },
    /// All workers stayed busy for too long.
    #[error("all expression workers are busy")]
    Busy,
    /// No worker could be started, or it spoke nonsense.
    #[error("expression worker is not available: {0}")]
    Unavailable(String),
    /// The worker ended in the middle of the run.
    #[error("expression worker ended unexpectedly")]
    WorkerDied,
}

impl EvalError {
    /// A limit in words.
    pub fn limit(limit: Limit, message: impl Into<String>) -> Self {
        Self::Limit { limit, message: message.into() }
    }
}
