//! Policies on trial.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_flow::App;
use weir_http::{Call, state::PolicyTests};
use weir_identity::Account;
use weir_policy::{PolicyCx, PolicyRequest, engine};
use weir_resource::{Stored, Unit};

/// Runs one policy without consequences.
pub struct Trials {
    /// For its kinds of policies.
    pub engine: Arc<App>,
}

#[async_trait]
impl PolicyTests for Trials {
    async fn test(&self, call: &Call, policy: &Stored, user: &Account, context: Map) -> Result<Value, ApiError> {
        let id = Uuid::parse_str(&policy.pk).map_err(anyhow::Error::new)?;
        let mut unit = Unit::new(&call.app.site, call.actor());
        let snapshot = Arc::clone(&unit.snapshot);
        let mut events = Vec::new();
        let mut cx = PolicyCx {
            site: &call.app.site,
            snapshot: &snapshot,
            tx: &mut unit.tx,
            kinds: &self.engine.policies,
            events: &mut events,
            depth: 0,
        };
        let info = call.info();
        let mut request = PolicyRequest {
            user: Some(user),
            http: &info,
            obj: Value::Null,
            context,
            plan_context: None,
            plan_redirect: None,
            debug: true,
        };
        let result = engine::run(&mut cx, id, &mut request, None).await;
        // A trial leaves nothing behind.
        unit.rollback().await?;
        Ok(match result {
            Ok(result) => {
                json!({"passing": result.passing, "messages": result.messages, "log_messages": result.log_messages})
            }
            Err(error) => json!({"passing": false, "messages": [error.to_string()], "log_messages": []}),
        })
    }

    /// Results are computed anew each time.
    fn cached(&self) -> usize {
        0
    }

    fn clear(&self) {}
}
