//! Waits a while and answers what it is told to, for trying out timeouts and modes.

#[cfg(test)]
mod tests;

use crate::{PolicyCx, PolicyKind, PolicyRequest, PolicyResult};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;
use weir_core::{Family, Random, Resource, resource::UuidKeyed};

fn five() -> i32 {
    5
}
fn thirty() -> i32 {
    30
}

/// Waits a while and answers what it is told to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DummyPolicy {
    /// Name of the policy.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Writes an event for every run, not only for failures.
    #[serde(default)]
    pub execution_logging: bool,
    /// The answer.
    #[serde(default)]
    pub result: bool,
    /// Shortest wait in seconds.
    #[serde(default = "five")]
    pub wait_min: i32,
    /// The wait is shorter than this many seconds.
    #[serde(default = "thirty")]
    pub wait_max: i32,
}

impl UuidKeyed for DummyPolicy {}
impl Resource for DummyPolicy {
    const MODEL: &'static str = "authentik_policies_dummy.dummypolicy";
    const PATH: &'static str = "policies/dummy";
    const SCHEMA: &'static str = "DummyPolicy";
    const VERBOSE: &'static str = "Dummy Policy";
    const COMPONENT: &'static str = "ak-policy-dummy-form";
    const FAMILY: Option<Family> = Some(Family::Policy);
    const PARAM: &'static str = "policy_uuid";
}

/// The kind.
pub struct Dummy;

/// Whole seconds from `wait_min` up to but not including `wait_max`; `wait_min` when there are none between.
fn seconds(config: &DummyPolicy, random: &dyn Random) -> u64 {
    let least = u64::try_from(config.wait_min).unwrap_or_default();
    let span = u64::try_from(config.wait_max).unwrap_or_default().saturating_sub(least);
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    least + u64::from_le_bytes(bytes).checked_rem(span).unwrap_or_default()
}

#[async_trait]
impl PolicyKind for Dummy {
    type Config = DummyPolicy;

    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        _id: Uuid,
        config: &DummyPolicy,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        let wait = seconds(config, &*cx.site.random);
        match &mut request.dry_run {
            Some(dry_run) => dry_run.waited += Duration::from_secs(wait),
            None => tokio::time::sleep(Duration::from_secs(wait)).await,
        }
        Ok(PolicyResult::new(config.result, vec!["dummy".to_owned()]).because(json!({"wait_seconds": wait})))
    }
}
