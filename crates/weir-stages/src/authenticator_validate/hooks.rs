//! Read-only fields of the stage in the API.

use super::AuthenticatorValidateStage;
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use weir_core::{ApiError, Map, Resource};
use weir_resource::{HookSet, Hooks, Presenting, Stored};

struct AllowedTypes;

#[async_trait]
impl Hooks for AllowedTypes {
    async fn present(&self, _cx: &Presenting<'_>, _rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for answer in answers {
            answer.entry("webauthn_allowed_device_types_obj").or_insert_with(|| json!([]));
        }
        Ok(())
    }
}

/// Puts the hooks in place.
pub fn hooks(set: &mut HookSet) {
    set.add(AuthenticatorValidateStage::MODEL, Arc::new(AllowedTypes));
}
