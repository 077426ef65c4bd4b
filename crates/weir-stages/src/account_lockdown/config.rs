//! Definition of the account lockdown stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Ref, Resource, resource::UuidKeyed};
use weir_identity::AnyFlow;

fn yes() -> bool {
    true
}

/// Locks the account the flow is about. There is no way back by the flow, so put a stage that asks in front of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccountLockdownStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The account may no longer sign in.
    #[serde(default = "yes")]
    pub deactivate_user: bool,
    /// The password is removed.
    #[serde(default = "yes")]
    pub set_unusable_password: bool,
    /// All sessions end.
    #[serde(default = "yes")]
    pub delete_sessions: bool,
    /// Tokens, links, codes, consents and whatever else lets somebody act as the user are revoked.
    #[serde(default = "yes")]
    pub revoke_tokens: bool,
    /// Flow for people who locked their own account and so have no session left; it must be open to visitors.
    #[serde(default)]
    pub self_service_completion_flow: Option<Ref<AnyFlow>>,
}

impl UuidKeyed for AccountLockdownStage {}
impl Resource for AccountLockdownStage {
    const MODEL: &'static str = "authentik_stages_account_lockdown.accountlockdownstage";
    const PATH: &'static str = "stages/account_lockdown";
    const SCHEMA: &'static str = "AccountLockdownStage";
    const VERBOSE: &'static str = "Account Lockdown Stage";
    const COMPONENT: &'static str = "ak-stage-account-lockdown-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
