//! Rules of descriptions that look at the objects described, and the read-only fields of their answers.

use super::unique;
use async_trait::async_trait;
use chrono::SecondsFormat;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use weir_core::{ApiError, Map, ResourceType};
use weir_resource::{Hooks, Keep, ListQuery, Presenting, Stored, Unit};

/// See [`ObjectAttribute`](super::ObjectAttribute).
pub struct ObjectAttributeHooks;

/// What of a description decides over values that must differ.
fn wants_unique(doc: &Map) -> Option<(&str, &str)> {
    let text = |field: &str| doc.get(field).and_then(Value::as_str);
    let flag = |field: &str| doc.get(field) == Some(&Value::Bool(true));
    (flag("is_unique") && flag("enabled")).then(|| Some((text("object_type")?, text("key")?)))?
}

/// The contract's `ContentType`. Its number follows from the name, so that all nodes tell the same.
fn content_type(kind: &ResourceType) -> Value {
    let digest = Sha256::digest(kind.model.as_bytes());
    let number = digest.iter().take(3).fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    json!({
        "id": number,
        "app_label": kind.app_label(),
        "model": kind.model_name(),
        "verbose_name_plural": kind.verbose_name_plural(),
        "fully_qualified_model": kind.model,
    })
}

#[async_trait]
impl Hooks for ObjectAttributeHooks {
    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        let before = old.and_then(|old| wants_unique(&old.doc));
        let after = wants_unique(&new.doc);
        let Ok(attribute) = Uuid::parse_str(&new.pk) else { return Ok(()) };
        if before == after {
            return Ok(());
        }
        let Some((model, key)) = after else { return unique::forget(unit, attribute).await };
        let Some(kind) = unit.site.registry.find(model) else { return Ok(()) };
        if unique::collect(unit, attribute, kind, key).await? {
            return Ok(());
        }
        Err(ApiError::field("is_unique", "Some objects have the same value."))
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let object = Uuid::parse_str(&row.pk).ok().and_then(|key| cx.snapshot.find(key));
            if let Some(object) = object {
                for (field, at) in [("created", object.created), ("last_updated", object.changed)] {
                    answer.insert(field.to_owned(), at.to_rfc3339_opts(SecondsFormat::Micros, true).into());
                }
            }
            let kind = cx.site.registry.find(row.text("object_type"));
            answer.insert("object_type_obj".to_owned(), kind.map_or(Value::Null, content_type));
        }
        Ok(())
    }

    fn keep(&self, query: &ListQuery) -> Result<Option<Keep>, ApiError> {
        let app = query.find("object_type__app_label").map(str::to_owned);
        let model = query.find("object_type__model").map(str::to_owned);
        let names = &["object_type__app_label", "object_type__model", "object_type"];
        Ok(Some(Keep::new(names, move |doc| {
            let (own_app, own_model) = doc
                .get("object_type")
                .and_then(Value::as_str)
                .and_then(|text| text.split_once('.'))
                .unwrap_or_default();
            app.as_deref().is_none_or(|app| app == own_app) && model.as_deref().is_none_or(|model| model == own_model)
        })))
    }
}
