//! Who refers to an object (contract schema `UsedBy`).

use crate::{Snapshot, Stored};
use serde::Serialize;

/// One referring object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsedBy {
    /// Application label.
    pub app: &'static str,
    /// Model name.
    pub model_name: &'static str,
    /// Its key.
    pub pk: String,
    /// Its name.
    pub name: String,
    /// What deleting the target does to it.
    pub action: &'static str,
}

/// The documents that refer to an object, in order of model and name.
/// The caller drops those that may not be seen.
pub fn used_by(snapshot: &Snapshot, target: &Stored) -> Vec<UsedBy> {
    let mut found: Vec<UsedBy> = snapshot
        .referring(&target.kind.index_key(&target.pk))
        .filter_map(|(object, field)| {
            let reference = object.kind.find_field(field)?.reference.as_ref()?;
            // Keys that are numbers mean another object in each kind.
            target.kind.answers_to(&reference.model).then_some(())?;
            Some(UsedBy {
                app: object.kind.app_label(),
                model_name: object.kind.model_name(),
                pk: object.pk(),
                name: object.name(),
                action: reference.on_delete.used_by_action(),
            })
        })
        .collect();
    found.sort_by(|a, b| (a.app, a.model_name, &a.name, &a.pk).cmp(&(b.app, b.model_name, &b.name, &b.pk)));
    found.dedup();
    found
}
