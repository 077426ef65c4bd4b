//! Definition of the endpoint stage.

use super::{AgentConnector, GoogleChromeConnector};
use crate::mtls::StageMode;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Family, Map, Ref, Resource, resource::UuidKeyed};
use weir_resource::{AnyConnector, Hooks, Presenting, Stored, Unit, present_one};

/// Asks the agent of a connector, or Google, which device the browser runs on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndpointStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The connector that knows the devices.
    pub connector: Ref<AnyConnector>,
    /// Whether people on unknown devices may go on.
    #[serde(default)]
    pub mode: StageMode,
}

impl UuidKeyed for EndpointStage {}
impl Resource for EndpointStage {
    const MODEL: &'static str = "authentik_endpoints.endpointstage";
    const PATH: &'static str = "stages/endpoints";
    const SCHEMA: &'static str = "EndpointStage";
    const VERBOSE: &'static str = "Endpoint Stage";
    const COMPONENT: &'static str = "ak-endpoints-stage-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}

/// Kinds of connectors that can be asked during a flow.
const ASKING: [&str; 2] = [AgentConnector::MODEL, GoogleChromeConnector::MODEL];

/// See [`EndpointStage`].
pub struct EndpointStageHooks;

/// The contract's `Connector` of a key.
pub(super) async fn connector_obj(cx: &Presenting<'_>, id: &str) -> Result<Value, ApiError> {
    let Some(object) = Uuid::parse_str(id).ok().and_then(|id| cx.snapshot.find(id)) else { return Ok(Value::Null) };
    let mut shown = present_one(cx, &Stored::of(object)).await?;
    weir_http::keep_shared(&mut shown, Family::Connector);
    Ok(Value::Object(shown))
}

#[async_trait]
impl Hooks for EndpointStageHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let connector = new.get("connector").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
        let asks =
            connector.and_then(|id| unit.snapshot.find(id)).is_some_and(|object| ASKING.contains(&object.kind.model));
        if asks {
            return Ok(());
        }
        Err(ApiError::field("connector", "Selected connector is not compatible with this stage."))
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            answer.insert("connector_obj".to_owned(), connector_obj(cx, row.text("connector")).await?);
        }
        Ok(())
    }
}
