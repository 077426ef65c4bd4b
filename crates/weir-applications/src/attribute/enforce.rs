//! What attributes must be, on every write of an object that has some.

use super::{ObjectAttribute, unique};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, FieldErrors, Map};
use weir_resource::{Hooks, Snapshot, Stored, Unit};

/// Belongs to the hooks of each of [`super::BEARERS`], with the model.
pub struct BearerHooks(pub &'static str);

const FIELD: &str = "attributes";

/// Attributes that are asked of a kind.
fn asked(snapshot: &Snapshot, model: &str) -> Vec<(Uuid, Arc<ObjectAttribute>)> {
    let mut all = snapshot.all::<ObjectAttribute>();
    all.retain(|(_, attribute)| attribute.enabled && attribute.object_type == model);
    all
}

fn value<'a>(doc: &'a Map, key: &str) -> Option<&'a Value> {
    doc.get(FIELD)?.get(key).filter(|value| !value.is_null())
}

#[async_trait]
impl Hooks for BearerHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let asked = asked(&unit.snapshot, self.0);
        if asked.is_empty() || !is_changed(old, new) {
            return Ok(());
        }
        let kind = new.get("type").and_then(Value::as_str).unwrap_or_default();
        let is_program = kind.ends_with("service_account");
        let mut errors = FieldErrors::new();
        for (_, attribute) in &asked {
            match value(new, &attribute.key) {
                Some(value) => {
                    if let Some(text) = attribute.refusal(value) {
                        errors.add(FIELD, text, "invalid");
                    }
                }
                None if attribute.is_required && !is_program => {
                    errors.add(FIELD, format!("{} is required.", attribute.label), "required");
                }
                None => {}
            }
        }
        errors.into_result()?;
        for (key, attribute) in asked.iter().filter(|(_, attribute)| attribute.is_unique) {
            let Some(value) = value(new, &attribute.key) else { continue };
            if unique::is_taken(unit, *key, old.map(|old| old.pk.as_str()), value).await? {
                let text = format!("{} is taken: another object has this value.", attribute.label);
                return Err(ApiError::field(FIELD, text));
            }
        }
        Ok(())
    }

    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        let asked = asked(&unit.snapshot, self.0);
        if asked.is_empty() || !is_changed(old, &new.doc) {
            return Ok(());
        }
        for (key, attribute) in asked.iter().filter(|(_, attribute)| attribute.is_unique) {
            if !unique::claim(unit, *key, &new.pk, value(&new.doc, &attribute.key)).await? {
                // Somebody wrote the same in this very moment; the next attempt is told.
                return Err(ApiError::Unavailable(1, anyhow::anyhow!("the value was taken meanwhile")));
            }
        }
        Ok(())
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        unique::release(unit, old).await
    }
}

/// Whoever changes something else is not held up by what was written before there was a rule.
fn is_changed(old: Option<&Stored>, new: &Map) -> bool {
    old.is_none_or(|old| old.doc.get(FIELD) != new.get(FIELD))
}
