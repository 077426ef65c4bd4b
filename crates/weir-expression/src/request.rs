//! What is asked of the pool.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Value, names, sanitise_name};

/// The dictionary an expression may change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextVariable {
    /// A [`Value::Dict`].
    pub value: Value,
    /// Whether it is a variable named `context` too. In any case it is the attribute `context` of the variable
    /// `request`, when that is an object.
    pub is_variable: bool,
}

/// One expression to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The source: the body of a Python function.
    pub source: String,
    /// Name of the policy or mapping, for messages.
    pub name: String,
    /// The variables, already under clean names.
    pub variables: Vec<(String, Value)>,
    /// The dictionary that comes back changed.
    pub context: Option<ContextVariable>,
    /// Whether the source may use names that do not stand in it.
    is_open: bool,
    /// How many expressions wait for this one's result (a policy that calls a policy). Nested runs do not queue.
    pub depth: usize,
}

impl Request {
    /// An expression without variables.
    pub fn new(name: impl Into<String>, source: impl Into<String>) -> Self {
        let source = source.into();
        let is_open = names::is_open(&source);
        Self { source, name: name.into(), variables: Vec::new(), context: None, is_open, depth: 0 }
    }

    /// Whether the source may use a variable or attribute of this name. What it cannot name need not be sent.
    pub fn may_use(&self, name: &str) -> bool {
        self.is_open || names::stands_in(&self.source, name)
    }

    /// Whether the source may see an entry of the dictionary `context`.
    pub fn may_look_up(&self, key: &str) -> bool {
        self.may_use(key) || !names::is_only_looked_up(&self.source, "context")
    }

    /// Adds a variable that the source may use. The name is cleaned by [`sanitise_name`]; one that cannot be a variable,
    /// or that exists already, is left out: add trusted names first.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(name) = sanitise_name(name)
            && self.may_use(&name)
            && !self.variables.iter().any(|(existing, _)| *existing == name)
            && !(name == "context" && self.context.as_ref().is_some_and(|context| context.is_variable))
        {
            self.variables.push((name, value.into()));
        }
        self
    }

    /// Sets the dictionary that is `context` and `request.context`.
    #[must_use]
    pub fn context(mut self, value: Value) -> Self {
        self.variables.retain(|(name, _)| name != "context");
        self.context = Some(ContextVariable { value, is_variable: true });
        self
    }

    /// Sets the dictionary that is `request.context` only.
    #[must_use]
    pub fn request_context(mut self, value: Value) -> Self {
        self.context = Some(ContextVariable { value, is_variable: false });
        self
    }

    /// Marks the run as one that an expression at `depth - 1` waits for.
    #[must_use]
    pub fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }
}

/// What a run may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Computing without asking the host.
    pub turn: Duration,
    /// Computing altogether.
    pub run: Duration,
    /// Everything, the host's answers included.
    pub wall: Duration,
    /// Memory of the interpreter, in bytes, above what an idle worker uses.
    pub memory: usize,
    /// Depth of Python calls.
    pub recursion: usize,
    /// Questions to the host.
    pub suspensions: usize,
    /// Result, changed context and single questions, each, in bytes as transferred.
    pub output: usize,
    /// Messages and log lines together, in bytes. What exceeds it is dropped.
    pub log: usize,
    /// Source, in bytes.
    pub source: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            turn: Duration::from_secs(1),
            run: Duration::from_secs(5),
            wall: Duration::from_secs(10),
            memory: 64 * 1024 * 1024,
            recursion: 200,
            suspensions: 1000,
            output: 1024 * 1024,
            log: 64 * 1024,
            source: 64 * 1024,
        }
    }
}
