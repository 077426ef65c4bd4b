//! Policies that run an expression.

#[cfg(test)]
mod tests;

use crate::{PolicyCx, PolicyKind, PolicyRequest, PolicyResult, expression::Expressions};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Expression, Family, Map, Resource, resource::UuidKeyed};
use weir_resource::{Hooks, Stored, Unit};

/// Passes when its expression gives something that counts as true.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExpressionPolicy {
    /// Name of the policy.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Writes an event for every run, not only for failures.
    #[serde(default)]
    pub execution_logging: bool,
    /// Body of a Python function.
    pub expression: Expression,
}

impl UuidKeyed for ExpressionPolicy {}
impl Resource for ExpressionPolicy {
    const MODEL: &'static str = "authentik_policies_expression.expressionpolicy";
    const PATH: &'static str = "policies/expression";
    const SCHEMA: &'static str = "ExpressionPolicy";
    const VERBOSE: &'static str = "Expression Policy";
    const COMPONENT: &'static str = "ak-policy-expression-form";
    const FAMILY: Option<Family> = Some(Family::Policy);
    const PARAM: &'static str = "policy_uuid";
}

/// The kind.
pub struct Expressed(pub Arc<Expressions>);

#[async_trait]
impl PolicyKind for Expressed {
    type Config = ExpressionPolicy;

    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        _id: Uuid,
        config: &ExpressionPolicy,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        self.0.ask_policy(cx, &config.name, &config.expression.0, request).await
    }
}

/// Looks at expressions before they are saved. Without a worker nothing is saved (503): an expression that nobody has
/// looked at could lock everybody out.
pub struct ExpressionHooks(pub Arc<Expressions>);

#[async_trait]
impl Hooks for ExpressionHooks {
    async fn prepare(&self, _unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let source = new.get("expression").and_then(Value::as_str).unwrap_or_default();
        if old.is_some_and(|old| old.text("expression") == source) {
            return Ok(());
        }
        match self.0.syntax_error(source).await {
            Ok(None) => Ok(()),
            Ok(Some(text)) => Err(ApiError::field("expression", format!("Expression Syntax Error: {text}"))),
            Err(error) => Err(ApiError::Unavailable(2, error)),
        }
    }
}
