//! Entitlements: names of rights inside an application, given to users and groups by bindings, and told to the
//! application by mappings.

use crate::Application;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Map, Ref, Resource, resource::UuidKeyed, validate};
use weir_identity::Grants;
use weir_policy::entitlements;
use weir_resource::{Hooks, Presenting, Stored, Unit, store};

/// A right inside an application.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApplicationEntitlement {
    /// Name, unique in its application.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The application.
    pub app: Ref<Application>,
    /// What mappings can tell about it.
    #[serde(default)]
    pub attributes: Map,
}

impl UuidKeyed for ApplicationEntitlement {}
impl Resource for ApplicationEntitlement {
    const MODEL: &'static str = entitlements::MODEL;
    const PATH: &'static str = "core/application_entitlements";
    const SCHEMA: &'static str = "ApplicationEntitlement";
    const VERBOSE: &'static str = "Application Entitlement";
    const PK: &'static str = "pbm_uuid";
    const PARAM: &'static str = "pbm_uuid";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["app", "name"]];
    const POLICY_TARGET: bool = true;
}

/// See [`ApplicationEntitlement`].
pub struct EntitlementHooks;

#[async_trait]
impl Hooks for EntitlementHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let app = new.get("app").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(actor) = unit.actor.user_id.filter(|_| old.is_none_or(|old| old.text("app") != app)) else {
            return Ok(());
        };
        // Rights inside an application are made by those who may look at it.
        let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
        if grants.may("authentik_core.view_application", Some(&app)) {
            return Ok(());
        }
        Err(ApiError::field("app", validate::invalid_pk(&Value::from(app))))
    }

    async fn present(&self, _cx: &Presenting<'_>, _rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for answer in answers {
            // The key is what bindings name.
            answer.shift_remove("policybindingmodel_ptr_id");
        }
        Ok(())
    }
}

/// Bindings of entitlements name a user or a group: what a policy says can change with every question, what somebody is
/// entitled to must not.
pub struct BindingHooks;

#[async_trait]
impl Hooks for BindingHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let target = new.get("target").and_then(Value::as_str).and_then(|key| Uuid::parse_str(key).ok());
        let target = target.and_then(|key| unit.snapshot.policy_target(key));
        let by_policy = new.get("policy").is_some_and(|policy| !policy.is_null());
        if by_policy && target.is_some_and(|object| object.kind.model == entitlements::MODEL) {
            return Err(ApiError::field("policy", "Entitlements are bound to users and groups only."));
        }
        Ok(())
    }
}
