//! Refuses passwords that a user has had before.

#[cfg(test)]
mod tests;

use crate::{PolicyCx, PolicyKind, PolicyRequest, PolicyResult, password::NOT_SET};
use anyhow::Context;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{Family, Resource, resource::UuidKeyed};
use weir_crypto::{HashPool, Password};
use weir_identity::accounts;
use weir_resource::Snapshot;
use weir_store::{StoreError, Tx};

/// What the person is told.
const USED: &str = "This password has been used previously. Please choose a different one.";

fn field() -> String {
    "password".to_owned()
}
fn one() -> u32 {
    1
}

/// Passes when a password is none of the user's last ones.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UniquePasswordPolicy {
    /// Name of the policy.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Writes an event for every run, not only for failures.
    #[serde(default)]
    pub execution_logging: bool,
    /// Name of the prompt's field, or of the key in the context, that holds the password.
    #[serde(default = "field")]
    #[schemars(length(min = 1))]
    pub password_field: String,
    /// How many passwords before the current one are looked at.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub num_historical_passwords: u32,
}

impl UuidKeyed for UniquePasswordPolicy {}
impl Resource for UniquePasswordPolicy {
    const MODEL: &'static str = "authentik_policies_unique_password.uniquepasswordpolicy";
    const PATH: &'static str = "policies/unique_password";
    const SCHEMA: &'static str = "UniquePasswordPolicy";
    const VERBOSE: &'static str = "Password Uniqueness Policy";
    const COMPONENT: &'static str = "ak-policy-password-uniqueness-form";
    const FAMILY: Option<Family> = Some(Family::Policy);
    const PARAM: &'static str = "policy_uuid";
}

/// The kind.
pub struct FormerPasswords(pub Option<Arc<HashPool>>);

#[async_trait]
impl PolicyKind for FormerPasswords {
    type Config = UniquePasswordPolicy;

    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        _id: Uuid,
        config: &UniquePasswordPolicy,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        let inputs = json!({
            "password_field": config.password_field, "num_historical_passwords": config.num_historical_passwords,
        });
        let Some(password) = request.answer(&config.password_field) else {
            return Ok(PolicyResult::new(false, vec![NOT_SET.to_owned()]).because(inputs));
        };
        let passed = Ok(PolicyResult::new(true, Vec::new()).because(inputs.clone()));
        let Some(user) = request.user.filter(|_| config.num_historical_passwords > 0) else { return passed };
        let old = accounts::password_history(&mut *cx.tx, user.id, config.num_historical_passwords).await?;
        if old.is_empty() {
            return passed;
        }
        let pool = self.0.as_ref().context("Passwords cannot be checked here.")?;
        for stored in old {
            // What is too long to be a password was never one.
            let Ok(password) = Password::new(password.as_bytes().to_vec()) else { return passed };
            let verified = pool.verify(stored, password).await;
            if verified.map_err(|_| anyhow::anyhow!("The server is too busy to check passwords."))? {
                return Ok(PolicyResult::new(false, vec![USED.to_owned()]).because(inputs));
            }
        }
        passed
    }
}

/// Housekeeping: keeps of each user as many old hashes as the policy that looks furthest back needs, and none without
/// such a policy. Returns how many went.
///
/// # Errors
/// Those of the store.
pub async fn trim(tx: &mut Tx, snapshot: &Snapshot) -> Result<u64, StoreError> {
    let policies = snapshot.all::<UniquePasswordPolicy>();
    let used = policies.iter().filter(|(id, _)| {
        snapshot.referring(&id.to_string()).any(|(_, field)| field == "policy" || field == "validation_policies")
    });
    let count = used.map(|(_, policy)| policy.num_historical_passwords).max().unwrap_or_default();
    accounts::trim_password_history(tx, count).await
}
