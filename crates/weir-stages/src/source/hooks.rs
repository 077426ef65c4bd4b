//! Rules of source stages.

use super::SourceStage;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Map, Resource};
use weir_flow::sources::SourceKinds;
use weir_resource::{HookSet, Hooks, Stored, Unit};

/// The hooks of this kind; `kinds` are the sources that browsers sign in with.
pub fn hooks(set: &mut HookSet, kinds: &SourceKinds) {
    set.add(SourceStage::MODEL, Arc::new(SourceStageHooks(kinds.clone())));
}

struct SourceStageHooks(SourceKinds);

#[async_trait]
impl Hooks for SourceStageHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let source = new.get("source").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
        let object = source.and_then(|id| unit.snapshot.find(id));
        if object.is_some_and(|source| self.0.find(source.kind.model).is_none()) {
            let text = "Invalid source selected, only web-based sources are supported.";
            return Err(ApiError::field("source", text));
        }
        Ok(())
    }
}
