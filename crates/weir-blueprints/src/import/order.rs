//! The order of entries: as written, except that what an entry refers to is applied before it.

use serde_json::Value;

use crate::format::Entry;
use crate::tags::{Missing, Wanted};
use crate::yaml::{Kind, Node};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Until an entry it refers to is done.
    Waiting,
    Done,
}

/// Gives the entries of a document one by one.
pub(super) struct Order<'d> {
    entries: &'d [Entry],
    states: Vec<State>,
    /// What comes next is last.
    stack: Vec<usize>,
    current: usize,
}

impl<'d> Order<'d> {
    pub(super) fn new(entries: &'d [Entry]) -> Self {
        let stack = (0..entries.len()).rev().collect();
        Self { entries, states: vec![State::Open; entries.len()], stack, current: 0 }
    }

    /// The next entry to try. One that was put off comes again.
    pub(super) fn next(&mut self) -> Option<&'d Entry> {
        while let Some(position) = self.stack.pop() {
            if self.states.get(position).is_some_and(|state| *state != State::Done) {
                self.current = position;
                return self.entries.get(position);
            }
        }
        None
    }

    /// Lets an entry come first that may be what the current one lacks. If there is none, the current one is done.
    pub(super) fn put_off(&mut self, missing: &[Missing]) -> bool {
        self.set(self.current, State::Done);
        let open = self.entries.iter().zip(&self.states).position(|(entry, state)| {
            *state == State::Open && missing.iter().any(|missing| may_be(entry, &missing.wanted))
        });
        if let Some(first) = open {
            self.set(self.current, State::Waiting);
            self.stack.extend([self.current, first]);
        }
        open.is_some()
    }

    fn set(&mut self, position: usize, state: State) {
        if let Some(found) = self.states.get_mut(position) {
            *found = state;
        }
    }
}

/// Whether an entry may make what is wanted. What its tags give is not known yet.
fn may_be(entry: &Entry, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Id(id) => entry.id.as_ref() == Some(id),
        Wanted::Object { model, fields, .. } => {
            let is_removed = entry.state.as_ref().and_then(Node::as_text) == Some("absent");
            let is_model = entry.model.as_text().is_none_or(|name| name.eq_ignore_ascii_case(model));
            !is_removed && is_model && fields.iter().all(|(field, value)| may_have(entry, field, value))
        }
    }
}

fn may_have(entry: &Entry, field: &str, value: &Value) -> bool {
    // Look-ups such as `name__iexact` and `target__slug` are left to the store.
    if field.contains("__") {
        return true;
    }
    let mut given = entry.attrs.iter().chain(&entry.identifiers).filter(|(name, _)| name.as_text() == Some(field));
    given.any(|(_, node)| match &node.kind {
        Kind::Scalar(scalar) => scalar.value() == *value || value.as_str() == Some(&scalar.text),
        Kind::Sequence(_) | Kind::Mapping(_) | Kind::Tag(_) => true,
    })
}
