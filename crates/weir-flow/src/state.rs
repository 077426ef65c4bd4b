//! What a browser session knows about flows: the plan, its history, the saved query, the running receipt.

use crate::{plan::Plan, receipt::Receipt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The flow column of a session row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowState {
    /// The plan in progress.
    pub plan: Option<Plan>,
    /// Plans as they were when each stage was passed, oldest first; for the inspector.
    pub history: Vec<Plan>,
    /// The page's query of the latest request; its `next` counts at the end.
    pub query: Option<String>,
    /// The record of the run.
    pub receipt: Option<Receipt>,
    /// Restarts since a stage last asked something; bounded.
    pub restarts: u8,
}

impl FlowState {
    /// Longest history kept; restarts could otherwise grow it without end.
    pub const HISTORY: usize = 32;
    /// Restarts in a row, without anything to answer in between, after which a flow gives up.
    pub const RESTARTS: u8 = 5;

    /// Reads the column; anything unreadable counts as nothing.
    pub fn read(text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::default() };
        let state: Self = serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::warn!(%error, "a stored flow state cannot be read and is dropped");
            Self::default()
        });
        match &state.plan {
            Some(plan) if plan.version != crate::plan::VERSION => Self::default(),
            _ => state,
        }
    }

    /// The column's text.
    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            tracing::error!(%error, "a flow state cannot be written");
            "{}".to_owned()
        })
    }

    /// A parameter of the saved query; the last one counts.
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        let query = self.query.as_deref()?;
        url::form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name).last().map(|(_, v)| v.into_owned())
    }

    /// Adds a plan to the history. Only the inspector reads it, and it masks secrets: so none are kept in the first place.
    pub fn remember(&mut self, plan: &Plan) {
        if self.history.len() >= Self::HISTORY {
            self.history.remove(0);
        }
        let mut passed = plan.clone();
        passed.context = passed.context.without_secrets();
        passed.context.0.values_mut().for_each(shorten);
        self.history.push(passed);
    }

    /// Drops plan and saved query; the history stays for the inspector.
    pub fn cancel(&mut self) {
        self.plan = None;
        self.query = None;
        self.restarts = 0;
    }
}

/// Longest text of the history, bytes: uploads would otherwise be kept once for each later stage.
const LONGEST: usize = 2048;

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > LONGEST => {
            text.truncate(text.floor_char_boundary(LONGEST));
            text.push('…');
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(map) => map.values_mut().for_each(shorten),
        _ => {}
    }
}
