//! What a run did, in the shape of the contract (`BlueprintImportResult`, `LogEvent`).

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use weir_resource::Unit;

/// Lines kept of one run; an error is always kept.
const MAX_LINES: usize = 5_000;

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Everything was applied.
    pub success: bool,
    /// A reference was left empty because what it names is not there (yet).
    pub has_gaps: bool,
    /// What happened, in order.
    pub logs: Vec<LogLine>,
    /// Models of the objects that were written or found as they should be.
    pub models: BTreeSet<&'static str>,
}

/// One line of the log of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// When.
    pub timestamp: DateTime<Utc>,
    /// `debug`, `info`, `warning` or `error`.
    pub level: &'static str,
    /// What.
    pub event: String,
    /// Details.
    pub attributes: Map<String, Value>,
}

impl LogLine {
    /// As the contract has it.
    pub fn body(&self) -> Value {
        json!({
            "timestamp": self.timestamp.to_rfc3339_opts(SecondsFormat::Micros, true),
            "log_level": self.level,
            "logger": "weir.blueprints",
            "event": self.event,
            "attributes": self.attributes,
        })
    }
}

impl Report {
    /// As the contract has it.
    pub fn body(&self) -> Value {
        json!({"success": self.success, "logs": self.logs.iter().map(LogLine::body).collect::<Vec<_>>()})
    }

    /// The problems, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.logs.iter().filter(|line| line.level == "error").map(|line| line.event.clone()).collect()
    }

    pub(super) fn log(
        &mut self,
        unit: &Unit<'_>,
        level: &'static str,
        event: impl Into<String>,
        attributes: Map<String, Value>,
    ) {
        if self.logs.len() < MAX_LINES || level == "error" {
            self.logs.push(LogLine { timestamp: unit.site.clock.now(), level, event: event.into(), attributes });
        }
    }
}
