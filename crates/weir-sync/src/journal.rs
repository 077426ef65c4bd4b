//! What a run of the sync has to say: for the log of its task, or for whoever asked.

use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use weir_core::Clock;
use weir_store::jobs::{JobCx, LogLevel};

/// More lines than this are dropped: the log is for people.
const MOST: usize = 1000;

/// One line.
#[derive(Clone, Debug)]
struct Line {
    time: chrono::DateTime<chrono::Utc>,
    level: LogLevel,
    text: String,
    fields: Value,
}

/// Collects lines.
pub struct Journal {
    clock: Arc<dyn Clock>,
    lines: Mutex<Vec<Line>>,
}

impl Journal {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, lines: Mutex::default() }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line. Secrets must not be in it; values under names of secrets are masked.
    pub fn add(&self, level: LogLevel, text: impl Into<String>, fields: Value) {
        let mut lines = self.lines();
        if lines.len() < MOST {
            let fields = weir_events::cleanse(fields);
            lines.push(Line { time: self.clock.now(), level, text: text.into(), fields });
        }
    }

    /// Something went as it should.
    pub fn info(&self, text: impl Into<String>, fields: Value) {
        self.add(LogLevel::Info, text, fields);
    }

    /// Something was left out or went wrong with one object.
    pub fn warn(&self, text: impl Into<String>, fields: Value) {
        self.add(LogLevel::Warning, text, fields);
    }

    /// Whether there is nothing to be said.
    pub fn is_empty(&self) -> bool {
        self.lines().is_empty()
    }

    /// Moves the lines into the log of a task.
    pub fn pour(&self, job: &JobCx) {
        for line in std::mem::take(&mut *self.lines()) {
            job.log(line.level, line.text, line.fields);
        }
    }

    /// The contract's `LogEvent`s.
    pub fn shown(&self) -> Vec<Value> {
        let shown = |line: &Line| {
            json!({
                "timestamp": line.time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
                "log_level": line.level.as_str(),
                "logger": "weir.sync",
                "event": line.text,
                "attributes": if line.fields.is_object() { line.fields.clone() } else { json!({}) },
            })
        };
        self.lines().iter().map(shown).collect()
    }
}
