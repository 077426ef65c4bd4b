//! Bindings of people, groups and policies to devices: who may use a device, and whose it is.

use super::{EndpointDevice, config::connector_obj};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, FieldErrors, Map, Ref, Resource, resource::UuidKeyed};
use weir_identity::{Group, User};
use weir_policy::PolicyBinding;
use weir_resource::{AnyConnector, AnyPolicy, Hooks, Presenting, Snapshot, Stored};

fn yes() -> bool {
    true
}
fn thirty() -> u32 {
    30
}

/// Binds a user, a group or a policy to a device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceUserBinding {
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
    /// The device.
    pub target: Ref<EndpointDevice>,
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
    /// Whether the device is this user's own, and not one that others lend them.
    #[serde(default)]
    pub is_primary: bool,
    /// The connector that made the binding and takes it back; none for those that people make.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "x-on-delete" = "cascade"))]
    pub connector: Option<Ref<AnyConnector>>,
}

impl UuidKeyed for DeviceUserBinding {}
impl Resource for DeviceUserBinding {
    const MODEL: &'static str = "authentik_endpoints.deviceuserbinding";
    const PATH: &'static str = "endpoints/device_bindings";
    const SCHEMA: &'static str = "DeviceUserBinding";
    const VERBOSE: &'static str = "Device User binding";
    const PARAM: &'static str = "policy_binding_uuid";
    const SEARCH: &'static [&'static str] = &["policy"];
    const ORDER: &'static str = "order";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["policy", "target", "order"]];

    fn check(&self) -> FieldErrors {
        self.as_binding().check()
    }
}

impl DeviceUserBinding {
    /// The binding as the engine of policies asks it.
    pub fn as_binding(&self) -> PolicyBinding {
        PolicyBinding {
            policy: self.policy.clone(),
            group: self.group.clone(),
            user: self.user.clone(),
            target: Ref::new(self.target.uuid()),
            negate: self.negate,
            enabled: self.enabled,
            order: self.order,
            timeout: self.timeout,
            failure_result: self.failure_result,
        }
    }
}

/// Everything bound to a device, whichever way it was bound.
pub(super) fn bound_to(snapshot: &Snapshot, device: Uuid) -> Vec<(Uuid, Arc<PolicyBinding>)> {
    let mut all = snapshot.referring_by::<PolicyBinding>(device, "target");
    let own = snapshot.referring_by::<DeviceUserBinding>(device, "target");
    all.extend(own.into_iter().map(|(id, binding)| (id, Arc::new(binding.as_binding()))));
    all
}

/// See [`DeviceUserBinding`].
pub struct DeviceBindingHooks;

#[async_trait]
impl Hooks for DeviceBindingHooks {
    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let shown = match connector_obj(cx, row.text("connector")).await? {
                // The contract knows no absent connector here.
                Value::Null => json!({
                    "name": "", "component": "", "verbose_name": "", "verbose_name_plural": "", "meta_model_name": "",
                }),
                shown => shown,
            };
            answer.insert("connector_obj".to_owned(), shown);
        }
        Ok(())
    }
}
