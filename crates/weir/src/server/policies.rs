//! Policies on trial.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_flow::App;
use weir_http::{Call, state::PolicyTests};
use weir_identity::Account;
use weir_policy::{TestRun, test_policy};
use weir_resource::Stored;

/// Runs one policy without consequences.
pub struct Trials {
    /// For its kinds of policies.
    pub engine: Arc<App>,
}

#[async_trait]
impl PolicyTests for Trials {
    async fn test(&self, call: &Call, policy: &Stored, user: &Account, context: Map) -> Result<Value, ApiError> {
        let run = TestRun {
            actor: call.actor(),
            http: &call.info(),
            policy: Uuid::parse_str(&policy.pk).map_err(anyhow::Error::new)?,
            user,
            context,
        };
        Ok(json!(test_policy(&call.app.site, &self.engine.policies, run).await?))
    }

    /// Results are computed anew each time.
    fn cached(&self) -> usize {
        0
    }

    fn clear(&self) {}
}
