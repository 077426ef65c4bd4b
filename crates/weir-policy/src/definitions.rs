//! The binding of a policy, group or user to something that is guarded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{FieldErrors, Ref, Resource, resource::UuidKeyed};
use weir_identity::{Group, User};
use weir_resource::{AnyPolicy, AnyPolicyTarget};

fn yes() -> bool {
    true
}
fn thirty() -> u32 {
    30
}

/// Binds a policy, a group or a user to a target.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PolicyBinding {
    /// The policy to ask.
    #[serde(default)]
    #[schemars(extend("x-on-delete" = "cascade"))]
    pub policy: Option<Ref<AnyPolicy>>,
    /// Passes for members of this group and of the groups below it.
    #[serde(default)]
    #[schemars(extend("x-on-delete" = "cascade"))]
    pub group: Option<Ref<Group>>,
    /// Passes for this user.
    #[serde(default)]
    #[schemars(extend("x-on-delete" = "cascade"))]
    pub user: Option<Ref<User>>,
    /// What is guarded.
    pub target: Ref<AnyPolicyTarget>,
    /// Turns the result around; messages stay.
    #[serde(default)]
    pub negate: bool,
    /// Bindings that are off count as absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Order of evaluation.
    pub order: i32,
    /// Longest run in seconds; more counts as failure.
    #[serde(default = "thirty")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub timeout: u32,
    /// Result when the policy fails to run.
    #[serde(default)]
    pub failure_result: bool,
}

impl UuidKeyed for PolicyBinding {}
impl Resource for PolicyBinding {
    const MODEL: &'static str = "authentik_policies.policybinding";
    const PATH: &'static str = "policies/bindings";
    const SCHEMA: &'static str = "PolicyBinding";
    const VERBOSE: &'static str = "Policy Binding";
    const PARAM: &'static str = "policy_binding_uuid";
    const SEARCH: &'static [&'static str] = &["policy"];
    const ORDER: &'static str = "order";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["policy", "target", "order"]];

    fn check(&self) -> FieldErrors {
        match [self.policy.is_some(), self.group.is_some(), self.user.is_some()].iter().filter(|set| **set).count() {
            0 => FieldErrors::general("One of 'group', 'policy', 'user' must be set."),
            1 => FieldErrors::new(),
            _ => FieldErrors::general("Only one of 'group', 'policy', 'user' can be set."),
        }
    }
}
