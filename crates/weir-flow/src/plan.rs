//! The plan of one browser session: data only, with a version; an unreadable one is planned anew.

use crate::{context::PlanContext, definitions::InvalidResponseAction};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use uuid::Uuid;

/// Raised when the meaning of stored plans changes; older ones are then thrown away.
pub const VERSION: u16 = 1;

/// Which stage a step runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageRef {
    /// A stage of the configuration, read when it runs.
    Stored(Uuid),
    /// A stage without a row.
    InMemory {
        /// Model of the kind.
        model: String,
        /// Its configuration.
        config: Value,
    },
}

/// Whether policies are asked again when the stage is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Marker {
    /// No.
    None,
    /// Yes, on every request.
    Reevaluate,
}

/// One stage of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The binding; a random key for in-memory stages, so that the inspector can name them.
    pub binding: Uuid,
    /// The stage.
    pub stage: StageRef,
    /// Evaluation at presentation.
    pub marker: Marker,
    /// What a refused answer does.
    pub on_invalid: InvalidResponseAction,
}

impl Step {
    /// An in-memory stage in an unsaved binding.
    pub fn in_memory(binding: Uuid, model: &str, config: Value) -> Self {
        Self {
            binding,
            stage: StageRef::InMemory { model: model.to_owned(), config },
            marker: Marker::None,
            on_invalid: InvalidResponseAction::Retry,
        }
    }
}

/// What is still to do, and what is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// See [`VERSION`].
    pub version: u16,
    /// The flow.
    pub flow: Uuid,
    /// The stages still to pass, the current one first.
    pub steps: VecDeque<Step>,
    /// Values shared by stages and policies.
    pub context: PlanContext,
    /// The person it is about, with the security epoch in which that was found out: after a lockdown the plan is about
    /// nobody any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<(i64, i64)>,
}

impl Plan {
    /// A plan without steps.
    pub fn new(flow: Uuid, context: PlanContext) -> Self {
        Self { version: VERSION, flow, steps: VecDeque::new(), context, person: None }
    }

    /// Puts a step behind the current one.
    pub fn insert_next(&mut self, step: Step) {
        let at = self.steps.len().min(1);
        self.steps.insert(at, step);
    }

    /// Reads a stored plan; none when it is of another version or damaged.
    pub fn read(value: &Value) -> Option<Self> {
        let plan = Self::deserialize(value).ok()?;
        (plan.version == VERSION).then_some(plan)
    }
}
