//! The record of a run: what was decided, who was asked, what was refused. Holds no secrets.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_policy::engine::Asked;

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Entry {
    /// Policies of the flow or of a binding were asked.
    Policies {
        /// Key of the flow or binding.
        target: Uuid,
        /// `flow`, `plan` or `present`.
        when: String,
        /// The combined answer.
        passing: bool,
        /// Each answer.
        asked: Vec<Asked>,
    },
    /// A plan was made.
    Planned {
        /// Number of stages.
        stages: usize,
        /// The stages came from the plan cache.
        cached: bool,
    },
    /// A stage was shown.
    Shown {
        /// Model of the stage.
        stage: String,
        /// Its name.
        name: String,
    },
    /// A stage was passed.
    Passed {
        /// Model of the stage.
        stage: String,
        /// Its name.
        name: String,
    },
    /// An answer was refused, by field names.
    Refused {
        /// Model of the stage.
        stage: String,
        /// The fields.
        fields: Vec<String>,
    },
    /// The flow did not apply, or a stage denied.
    Denied {
        /// What the person was told.
        message: Option<String>,
    },
    /// The plan started over.
    Restarted,
    /// The browser went on in another flow.
    Switched {
        /// Its slug.
        flow: String,
    },
    /// A stage failed.
    Failed,
    /// The flow ended.
    Finished,
}

impl Entry {
    /// Equal but for how long policies took.
    fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shown { stage, name }, Self::Shown { stage: s, name: n }) => stage == s && name == n,
            (
                Self::Policies { target, when, passing, asked },
                Self::Policies { target: t, when: w, passing: p, asked: a },
            ) => {
                let facts = |a: &Asked| (a.binding, a.passing, a.messages.clone());
                target == t && when == w && passing == p && asked.iter().map(facts).eq(a.iter().map(facts))
            }
            _ => false,
        }
    }
}

/// An entry with its instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}

/// The record of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Its id, shown to everyone.
    pub id: Uuid,
    /// The flow.
    pub flow: Uuid,
    /// Its slug.
    pub slug: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// What happened.
    pub lines: Vec<Line>,
}

impl Receipt {
    /// Longest record; later lines are dropped, the last one always fits.
    pub const LINES: usize = 200;

    /// A record of a new run.
    pub fn new(id: Uuid, flow: Uuid, slug: &str, started: DateTime<Utc>) -> Self {
        Self { id, flow, slug: slug.to_owned(), started, lines: Vec::new() }
    }

    /// Whether this very thing was noted since a stage was last passed: looking at a page twice is no news.
    pub fn has_said(&self, entry: &Entry) -> bool {
        let is_new_step = |e: &Entry| {
            matches!(e, Entry::Passed { .. } | Entry::Restarted | Entry::Planned { .. } | Entry::Refused { .. })
        };
        self.lines.iter().rev().take_while(|l| !is_new_step(&l.entry)).any(|l| l.entry.says_the_same(entry))
    }

    /// Adds a line.
    pub fn add(&mut self, at: DateTime<Utc>, entry: Entry) {
        if self.lines.len() >= Self::LINES {
            self.lines.pop();
        }
        self.lines.push(Line { at, entry });
    }
}
