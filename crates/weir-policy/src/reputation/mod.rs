//! Passes for usernames and addresses with a bad reputation, so that more can be asked of them.

#[cfg(test)]
mod tests;

use crate::{PolicyCx, PolicyKind, PolicyRequest, PolicyResult};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Family, FieldErrors, Map, Resource, resource::UuidKeyed};
use weir_identity::reputation;
use weir_resource::{Hooks, Site, Stored};

fn yes() -> bool {
    true
}
fn minus_five() -> i32 {
    -5
}

/// Passes when the score of who signs in is low.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReputationPolicy {
    /// Name of the policy.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Writes an event for every run, not only for failures.
    #[serde(default)]
    pub execution_logging: bool,
    /// Counts what happened from the client's address.
    #[serde(default = "yes")]
    pub check_ip: bool,
    /// Counts what happened to the username.
    #[serde(default = "yes")]
    pub check_username: bool,
    /// Passes at this score and below.
    #[serde(default = "minus_five")]
    pub threshold: i32,
}

impl UuidKeyed for ReputationPolicy {}
impl Resource for ReputationPolicy {
    const MODEL: &'static str = "authentik_policies_reputation.reputationpolicy";
    const PATH: &'static str = "policies/reputation";
    const SCHEMA: &'static str = "ReputationPolicy";
    const VERBOSE: &'static str = "Reputation Policy";
    const COMPONENT: &'static str = "ak-policy-reputation-form";
    const FAMILY: Option<Family> = Some(Family::Policy);
    const PARAM: &'static str = "policy_uuid";
}

/// Each write of a client says what is looked at, changes too.
pub struct ReputationHooks;

#[async_trait]
impl Hooks for ReputationHooks {
    async fn before(&self, _site: &Site, _old: Option<&Stored>, body: &mut Map) -> Result<(), ApiError> {
        if ["check_ip", "check_username"].iter().any(|name| body.get(*name).is_some_and(is_true)) {
            return Ok(());
        }
        Err(FieldErrors::general("Either IP or Username must be checked").into())
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => ["true", "1", "on", "yes", "t", "y"].contains(&text.to_lowercase().as_str()),
        Value::Number(number) => number.as_i64() == Some(1),
        _ => false,
    }
}

/// The kind.
pub struct Scores;

#[async_trait]
impl PolicyKind for Scores {
    type Config = ReputationPolicy;

    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        _id: Uuid,
        config: &ReputationPolicy,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        let claimed = request.context.get("pending_user").and_then(|user| user.get("username")).and_then(Value::as_str);
        let typed = request.context.get("pending_user_identifier").and_then(Value::as_str);
        // A name that nobody has collects failures like any other.
        let username = request.user.map(|user| user.username.as_str()).or(claimed).or(typed);
        let username = username.filter(|_| config.check_username);
        let ip = Some(request.http.client_ip.as_str()).filter(|ip| config.check_ip && !ip.is_empty());
        let limits = reputation::Limits::of(&cx.snapshot.settings);
        let now = cx.site.clock.now();
        let score = reputation::score(&mut *cx.tx, username, ip, now, limits).await?;
        let passing = score <= i64::from(config.threshold);
        let inputs = json!({"username": username, "ip": ip, "score": score, "threshold": config.threshold});
        Ok(PolicyResult::new(passing, Vec::new()).because(inputs))
    }
}
