//! Refuses passwords that are too old, and has them taken away.

#[cfg(test)]
mod tests;

use crate::{PolicyCx, PolicyEffect, PolicyKind, PolicyRequest, PolicyResult};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use weir_core::{Family, Resource, resource::UuidKeyed};

/// Passes while a password is young enough.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PasswordExpiryPolicy {
    /// Name of the policy.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Writes an event for every run, not only for failures.
    #[serde(default)]
    pub execution_logging: bool,
    /// Days for which a password is good.
    pub days: i32,
    /// Only refuses; otherwise a password that is too old no longer signs anybody in.
    #[serde(default)]
    pub deny_only: bool,
}

impl UuidKeyed for PasswordExpiryPolicy {}
impl Resource for PasswordExpiryPolicy {
    const MODEL: &'static str = "authentik_policies_expiry.passwordexpirypolicy";
    const PATH: &'static str = "policies/password_expiry";
    const SCHEMA: &'static str = "PasswordExpiryPolicy";
    const VERBOSE: &'static str = "Password Expiry Policy";
    const COMPONENT: &'static str = "ak-policy-password-expiry-form";
    const FAMILY: Option<Family> = Some(Family::Policy);
    const PARAM: &'static str = "policy_uuid";
}

/// The kind.
pub struct PasswordAge;

#[async_trait]
impl PolicyKind for PasswordAge {
    type Config = PasswordExpiryPolicy;

    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        _id: Uuid,
        config: &PasswordExpiryPolicy,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        // A visitor has no password that could be old.
        let Some(user) = request.user else { return Ok(PolicyResult::new(true, Vec::new())) };
        let age = (cx.site.clock.now() - user.password_change_date).num_days();
        let inputs = json!({"password_change_date": user.password_change_date, "age_days": age, "days": config.days});
        let days = i64::from(config.days);
        if age < days {
            return Ok(PolicyResult::new(true, Vec::new()).because(inputs));
        }
        if config.deny_only {
            return Ok(PolicyResult::new(false, vec!["Password has expired.".to_owned()]).because(inputs));
        }
        request.effects.push(PolicyEffect::ExpirePassword { user: user.id, set: user.password_change_date });
        let text = format!("Password expired {} days ago. Please update your password.", age - days);
        Ok(PolicyResult::new(false, vec![text]).because(inputs))
    }
}
