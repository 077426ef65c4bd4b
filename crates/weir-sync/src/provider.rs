//! Providers as the engine sees them: numbered documents that an application names as backchannel.

use crate::target::Kind;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::resource::{number_of, numbered_key};
use weir_resource::{Object, Snapshot};

/// All kinds of providers of this build.
#[derive(Clone)]
pub struct Kinds(pub Vec<Arc<dyn Kind>>);

impl Kinds {
    /// The kind of a model.
    pub fn find(&self, model: &str) -> Option<&Arc<dyn Kind>> {
        self.0.iter().find(|kind| kind.model() == model)
    }
}

/// A provider that is assigned to an application.
#[derive(Clone)]
pub struct Assigned {
    /// Its number.
    pub number: i64,
    /// The provider.
    pub object: Arc<Object>,
    /// The application's key.
    pub application: Uuid,
    /// Its kind.
    pub kind: Arc<dyn Kind>,
}

/// A provider of any kind by number.
pub fn find(snapshot: &Snapshot, number: i64) -> Option<&Arc<Object>> {
    snapshot.find(numbered_key(number)?)
}

/// The application that names a provider as backchannel.
pub fn application(snapshot: &Snapshot, provider: &Object) -> Option<Arc<Object>> {
    let key = provider.id.to_string();
    let mut named: Vec<Arc<Object>> = snapshot
        .referring(&key)
        .filter(|(object, field)| *field == "backchannel_providers" && object.kind.model == APPLICATION)
        .map(|(object, _)| Arc::clone(object))
        .collect();
    named.sort_by_key(|object| object.id);
    named.into_iter().next()
}

/// Model of applications.
const APPLICATION: &str = "authentik_core.application";

/// A provider with its application; none when it is no provider of the sync or has no application.
pub fn assigned(snapshot: &Snapshot, kinds: &Kinds, number: i64) -> Option<Assigned> {
    let object = find(snapshot, number)?;
    let kind = kinds.find(object.kind.model)?;
    let application = application(snapshot, object)?;
    Some(Assigned { number, object: Arc::clone(object), application: application.id, kind: Arc::clone(kind) })
}

/// All providers that are told of changes, by number.
pub fn all(snapshot: &Snapshot, kinds: &Kinds) -> Vec<Assigned> {
    let mut found: Vec<Assigned> = kinds
        .0
        .iter()
        .flat_map(|kind| snapshot.of_model(kind.model()))
        .filter_map(|object| assigned(snapshot, kinds, number_of(object.id)?))
        .collect();
    found.sort_by_key(|provider| provider.number);
    found
}

/// All providers of the kinds, with or without application, by number.
pub fn every(snapshot: &Snapshot, kinds: &Kinds) -> Vec<(i64, Arc<Object>)> {
    let objects = kinds.0.iter().flat_map(|kind| snapshot.of_model(kind.model()));
    let mut found: Vec<(i64, Arc<Object>)> =
        objects.filter_map(|object| Some((number_of(object.id)?, Arc::clone(object)))).collect();
    found.sort_by_key(|(number, _)| *number);
    found
}
