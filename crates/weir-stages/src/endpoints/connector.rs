//! Definition of the connector to agents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{DurationText, Family, Ref, Resource, resource::UuidKeyed, types::RefTarget};
use weir_identity::{AnyCertificate, AnyFlow};

/// Providers of tokens; not served yet, so that references find none.
pub struct AnyOAuthProvider;
impl RefTarget for AnyOAuthProvider {
    const MODEL: &'static str = "authentik_providers_oauth2.oauth2provider";
    type Pk = i32;
}

fn yes() -> bool {
    true
}
fn one_day() -> DurationText {
    "hours=24".into()
}
fn eight_hours() -> DurationText {
    "hours=8".into()
}
fn half_an_hour() -> DurationText {
    "minutes=30".into()
}
fn five_seconds() -> DurationText {
    "seconds=5".into()
}
fn uid_offset() -> i32 {
    2000
}
fn gid_offset() -> i32 {
    4000
}

/// Connects devices by the agent that is installed on them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AgentConnector {
    /// Name of the connector.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Whether agents are answered.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How long what an agent tells about its device counts.
    #[serde(default = "one_day")]
    pub snapshot_expiry: DurationText,
    /// How long a sign-in on the device lasts.
    #[serde(default = "eight_hours")]
    pub auth_session_duration: DurationText,
    /// Whether the device ends its session with that sign-in.
    #[serde(default)]
    pub auth_terminate_session_on_expiry: bool,
    /// How often an agent asks for its settings.
    #[serde(default = "half_an_hour")]
    pub refresh_interval: DurationText,
    /// Flow in which people sign in on a device.
    #[serde(default)]
    pub authorization_flow: Option<Ref<AnyFlow>>,
    /// First number of users on devices.
    #[serde(default = "uid_offset")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub nss_uid_offset: i32,
    /// First number of groups on devices.
    #[serde(default = "gid_offset")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub nss_gid_offset: i32,
    /// Key pair that signs questions to agents; without one the endpoint stage asks none.
    #[serde(default)]
    pub challenge_key: Option<Ref<AnyCertificate>>,
    /// How long the page waits for an agent.
    #[serde(default = "five_seconds")]
    pub challenge_idle_timeout: DurationText,
    /// Whether a question makes the agent check in.
    #[serde(default)]
    pub challenge_trigger_check_in: bool,
    /// Providers whose tokens sign people in on devices.
    #[serde(default)]
    pub jwt_federation_providers: Vec<Ref<AnyOAuthProvider>>,
}

impl UuidKeyed for AgentConnector {}
impl Resource for AgentConnector {
    const MODEL: &'static str = "authentik_endpoints_connectors_agent.agentconnector";
    const PATH: &'static str = "endpoints/agents/connectors";
    const SCHEMA: &'static str = "AgentConnector";
    const VERBOSE: &'static str = "Agent Connector";
    const COMPONENT: &'static str = "ak-endpoints-connector-agent-form";
    const FAMILY: Option<Family> = Some(Family::Connector);
    const PK: &'static str = "connector_uuid";
    const PARAM: &'static str = "connector_uuid";
    const KEY_IS_CHOSEN: bool = true;
}
