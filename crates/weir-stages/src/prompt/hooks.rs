//! Read-only fields of prompts.

use super::{Prompt, PromptStage};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use weir_core::{ApiError, Map, Resource};
use weir_resource::{HookSet, Hooks, Presenting, Stored, present};

/// The hooks of this kind.
pub fn hooks(set: &mut HookSet) {
    set.add(Prompt::MODEL, Arc::new(PromptHooks));
}

struct PromptHooks;

#[async_trait]
impl Hooks for PromptHooks {
    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let mut stages: Vec<Stored> = cx
                .snapshot
                .referring(&row.pk)
                .filter(|(o, field)| o.kind.model == PromptStage::MODEL && *field == "fields")
                .map(|(o, _)| Stored::of(o))
                .collect();
            stages.sort_by(|a, b| a.text("name").cmp(b.text("name")));
            let shown = present(cx, &stages).await?;
            answer.insert("prompt_stages_obj".to_owned(), shown.into_iter().map(Value::Object).collect());
        }
        Ok(())
    }
}
