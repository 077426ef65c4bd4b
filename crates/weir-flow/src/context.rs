//! The plan's context: JSON under names, read and written through typed keys.

use crate::keys;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::marker::PhantomData;
use weir_core::Map;

/// A typed name in the plan context. All keys live in [`crate::keys`], with producer and readers.
pub struct Key<T> {
    /// The name that policies and blueprints see.
    pub name: &'static str,
    kind: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// A key.
    pub const fn new(name: &'static str) -> Self {
        Self { name, kind: PhantomData }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}

/// Stored as JSON, so that policies and blueprints see it by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanContext(pub Map);

impl PlanContext {
    /// A value; none when absent, and when an expression left something of another type there.
    pub fn get<T: DeserializeOwned>(&self, key: Key<T>) -> Option<T> {
        let value = self.0.get(key.name)?;
        match T::deserialize(value) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!(key = key.name, %error, "the plan context holds a value of another type");
                None
            }
        }
    }

    /// Whether something stands under the key.
    pub fn has<T>(&self, key: Key<T>) -> bool {
        self.0.get(key.name).is_some_and(|v| !v.is_null())
    }

    /// Puts a value.
    pub fn set<T: Serialize>(&mut self, key: Key<T>, value: &T) {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.0.insert(key.name.to_owned(), value);
            }
            Err(error) => tracing::error!(key = key.name, %error, "a value cannot be kept in the plan context"),
        }
    }

    /// Removes a value.
    pub fn remove<T>(&mut self, key: Key<T>) {
        self.0.remove(key.name);
    }

    /// What people answered, with passwords masked whatever their fields are called.
    #[must_use]
    pub fn answers_without_secrets(&self, mut answers: Map) -> Map {
        for (key, kind) in self.get(keys::PROMPT_KINDS).unwrap_or_default() {
            if kind == "password"
                && let Some(answer) = answers.get_mut(&key)
            {
                *answer = Value::from(weir_events::MASK);
            }
        }
        answers
    }

    /// A copy in which secrets are masked, for people to look at.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let masked = self.0.iter().map(|(key, value)| match value {
            _ if keys::SECRET.contains(&key.as_str()) => (key.clone(), Value::from(weir_events::MASK)),
            Value::Object(answers) if key == keys::PROMPT_DATA.name => {
                (key.clone(), Value::Object(self.answers_without_secrets(answers.clone())))
            }
            value => (key.clone(), value.clone()),
        });
        match weir_events::cleanse(Value::Object(masked.collect())) {
            Value::Object(map) => Self(map),
            _ => Self::default(),
        }
    }

    /// A value inside an object under the key, made when absent.
    pub fn object_mut(&mut self, key: Key<Map>) -> &mut Map {
        let slot = self.0.entry(key.name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        match slot {
            Value::Object(map) => map,
            // Made an object two lines above.
            _ => unreachable!("the slot holds an object"),
        }
    }
}
