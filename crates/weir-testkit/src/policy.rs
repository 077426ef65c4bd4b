//! A kind of policy that does what a test tells it.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;
use weir_core::{Family, Map, Resource, resource::UuidKeyed};
use weir_policy::{PolicyCx, PolicyKind, PolicyRequest, PolicyResult};

fn yes() -> bool {
    true
}

/// What the policy answers and does.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ScriptedPolicy {
    /// Name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Log each run as an event.
    #[serde(default)]
    pub execution_logging: bool,
    /// The answer.
    #[serde(default = "yes")]
    pub passing: bool,
    /// What the person is told.
    #[serde(default)]
    pub messages: Vec<String>,
    /// Fail with this text instead of answering.
    #[serde(default)]
    pub error: String,
    /// Pass for this username only.
    #[serde(default)]
    pub only_user: String,
    /// Pass only when the context has this key.
    #[serde(default)]
    pub only_with: String,
    /// Put these into the context of the flow plan.
    #[serde(default)]
    pub set: Map,
    /// Take these keys out of the context of the flow plan.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Have the plan send the browser there next.
    #[serde(default)]
    pub redirect: String,
}

impl UuidKeyed for ScriptedPolicy {}
impl Resource for ScriptedPolicy {
    const MODEL: &'static str = "weir_testkit.scriptedpolicy";
    const PATH: &'static str = "policies/scripted";
    const SCHEMA: &'static str = "ScriptedPolicy";
    const VERBOSE: &'static str = "Scripted Policy";
    const COMPONENT: &'static str = "";
    const FAMILY: Option<Family> = Some(Family::Policy);
    const PARAM: &'static str = "policy_uuid";
}

/// One question that was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Name of the policy.
    pub policy: String,
    /// Username of the person asked about; none for an anonymous visitor.
    pub user: Option<String>,
    /// The request's context.
    pub context: Map,
    /// The policy could change the plan.
    pub has_plan: bool,
}

/// The behaviour; remembers what it was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripted(pub(crate) Arc<Mutex<Vec<Asked>>>);

#[async_trait]
impl PolicyKind for Scripted {
    type Config = ScriptedPolicy;

    async fn passes(
        &self,
        _cx: &mut PolicyCx<'_>,
        _id: Uuid,
        config: &ScriptedPolicy,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        let user = request.user.map(|u| u.username.clone());
        let asked = Asked {
            policy: config.name.clone(),
            user: user.clone(),
            context: request.context.clone(),
            has_plan: request.plan_context.is_some(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        if !config.error.is_empty() {
            anyhow::bail!("{}", config.error);
        }
        if let Some(plan) = request.plan_context.as_deref_mut() {
            plan.retain(|key, _| !config.unset.contains(key));
            plan.extend(config.set.clone());
        }
        if !config.redirect.is_empty() {
            request.plan_redirect = Some(config.redirect.clone());
        }
        let for_user = config.only_user.is_empty() || user.as_deref() == Some(config.only_user.as_str());
        let with_key = config.only_with.is_empty() || request.context.contains_key(&config.only_with);
        Ok(PolicyResult::new(config.passing && for_user && with_key, config.messages.clone()))
    }
}
