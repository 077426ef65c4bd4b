//! The configuration snapshot: every document decoded once, indexed, immutable; a write makes a new one.

use crate::Settings;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use uuid::Uuid;
use weir_core::{Map, Resource, ResourceType};

/// One document with its typed form.
pub struct Object {
    /// Primary key.
    pub id: Uuid,
    /// Its kind.
    pub kind: &'static ResourceType,
    /// All fields, without the key.
    pub doc: Map,
    /// The struct of the definition.
    pub typed: Arc<dyn Any + Send + Sync>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was last written.
    pub changed: DateTime<Utc>,
}

impl Object {
    /// Decodes a document.
    ///
    /// # Errors
    /// When the document does not fit its definition.
    pub fn new(
        kind: &'static ResourceType,
        id: Uuid,
        doc: Map,
        created: DateTime<Utc>,
        changed: DateTime<Utc>,
    ) -> Result<Self, serde_json::Error> {
        let typed = (kind.decode)(Value::Object(doc.clone()))?;
        Ok(Self { id, kind, doc, typed, created, changed })
    }

    /// The key as it stands in answers and addresses.
    pub fn pk(&self) -> String {
        self.kind.shown_key(self.id)
    }

    /// A text field, empty when absent.
    pub fn text(&self, field: &str) -> &str {
        self.doc.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The name, or the key when it has none.
    pub fn name(&self) -> String {
        ["name", "slug", "identifier", "domain"]
            .iter()
            .find_map(|f| self.doc.get(*f).and_then(Value::as_str))
            .map_or_else(|| format!("{} {}", self.kind.verbose_name, self.id), str::to_owned)
    }

    /// The keys this document refers to, with the field.
    pub fn references(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for field in &self.kind.fields {
            let Some(reference) = &field.reference else { continue };
            let mut push =
                |value: &Value| found.extend(reference.target(value).map(|target| (field.name.as_str(), target)));
            match self.doc.get(&field.name) {
                Some(Value::Array(items)) => items.iter().for_each(&mut push),
                Some(value) => push(value),
                None => {}
            }
        }
        found
    }
}

/// All configuration at one instant. Cloning copies pointers only.
#[derive(Clone, Default)]
pub struct Snapshot {
    objects: HashMap<Uuid, Arc<Object>>,
    by_model: HashMap<&'static str, BTreeSet<Uuid>>,
    /// target key → (referring object, field).
    back: HashMap<String, BTreeSet<(Uuid, &'static str)>>,
    /// (model, field, value) of single unique fields → object.
    unique: HashMap<(&'static str, &'static str, String), Uuid>,
    /// Policy-binding UUID → object.
    targets: HashMap<Uuid, Uuid>,
    /// Last revision contained.
    pub revision: i64,
    /// System settings.
    pub settings: Arc<Settings>,
}

impl Snapshot {
    /// Adds or replaces an object.
    pub fn put(&mut self, object: Arc<Object>) {
        self.remove(object.id);
        let id = object.id;
        self.by_model.entry(object.kind.model).or_default().insert(id);
        for (field, target) in object.references() {
            self.back.entry(target).or_default().insert((id, field));
        }
        for set in object.kind.unique {
            if let [field] = set
                && let Some(Value::String(value)) = object.doc.get(*field)
            {
                self.unique.insert((object.kind.model, field, value.clone()), id);
            }
        }
        if object.kind.policy_target {
            self.targets.insert(crate::policy_target_uuid(id), id);
        }
        self.objects.insert(id, object);
    }

    /// Removes an object if it is there.
    pub fn remove(&mut self, id: Uuid) {
        let Some(old) = self.objects.remove(&id) else { return };
        if let Some(ids) = self.by_model.get_mut(old.kind.model) {
            ids.remove(&id);
        }
        for (field, target) in old.references() {
            if let Some(set) = self.back.get_mut(&target) {
                set.remove(&(id, field));
                if set.is_empty() {
                    self.back.remove(&target);
                }
            }
        }
        for set in old.kind.unique {
            if let [field] = set
                && let Some(Value::String(value)) = old.doc.get(*field)
            {
                self.unique.remove(&(old.kind.model, *field, value.clone()));
            }
        }
        self.targets.remove(&crate::policy_target_uuid(id));
    }

    /// An object of any kind.
    pub fn find(&self, id: Uuid) -> Option<&Arc<Object>> {
        self.objects.get(&id)
    }

    /// An object of this kind.
    pub fn find_kind(&self, model: &str, id: Uuid) -> Option<&Arc<Object>> {
        self.objects.get(&id).filter(|o| o.kind.model == model)
    }

    /// The typed form of an object of kind `T`.
    pub fn get<T: Resource>(&self, id: Uuid) -> Option<Arc<T>> {
        Arc::downcast(Arc::clone(&self.find_kind(T::MODEL, id)?.typed)).ok()
    }

    /// All objects of kind `T` with their keys, in order of key.
    pub fn all<T: Resource>(&self) -> Vec<(Uuid, Arc<T>)> {
        self.of_model(T::MODEL).filter_map(|o| Some((o.id, Arc::downcast::<T>(Arc::clone(&o.typed)).ok()?))).collect()
    }

    /// All objects of a model.
    pub fn of_model(&self, model: &str) -> impl Iterator<Item = &Arc<Object>> {
        self.by_model.get(model).into_iter().flatten().filter_map(|id| self.objects.get(id))
    }

    /// The object whose unique field has this value.
    pub fn by_unique(&self, model: &'static str, field: &'static str, value: &str) -> Option<&Arc<Object>> {
        self.objects.get(self.unique.get(&(model, field, value.to_owned()))?)
    }

    /// The typed object whose unique field has this value.
    pub fn get_by<T: Resource>(&self, field: &'static str, value: &str) -> Option<(Uuid, Arc<T>)> {
        let object = self.by_unique(T::MODEL, field, value)?;
        Some((object.id, Arc::downcast(Arc::clone(&object.typed)).ok()?))
    }

    /// Objects that refer to a key, with the field that does.
    pub fn referring<'a>(&'a self, target: &str) -> impl Iterator<Item = (&'a Arc<Object>, &'static str)> + use<'a> {
        self.back.get(target).into_iter().flatten().filter_map(|(id, field)| Some((self.objects.get(id)?, *field)))
    }

    /// Typed objects of kind `T` that refer to a key by this field.
    pub fn referring_by<T: Resource>(&self, target: Uuid, field: &str) -> Vec<(Uuid, Arc<T>)> {
        self.referring(&target.to_string())
            .filter(|(o, f)| o.kind.model == T::MODEL && *f == field)
            .filter_map(|(o, _)| Some((o.id, Arc::downcast::<T>(Arc::clone(&o.typed)).ok()?)))
            .collect()
    }

    /// The object whose own key or policy-binding UUID this is.
    pub fn policy_target(&self, id: Uuid) -> Option<&Arc<Object>> {
        self.objects.get(&id).filter(|o| o.kind.policy_target).or_else(|| self.objects.get(self.targets.get(&id)?))
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Objects per model.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.by_model.iter().map(|(model, ids)| (*model, ids.len())).collect()
    }
}
