//! Definition of the stage that has Google vouch for browsers.

use crate::set_up::SetUp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Map, Resource, resource::UuidKeyed};

/// Has Google vouch for a managed Chrome browser (device trust connector).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticatorEndpointGdtcStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How people come to it.
    #[serde(flatten)]
    pub set_up: SetUp,
    /// Key file of a service account that may use the Verified Access API. Its private key is not given back; without
    /// a new one it stays.
    pub credentials: Map,
}

impl UuidKeyed for AuthenticatorEndpointGdtcStage {}
impl Resource for AuthenticatorEndpointGdtcStage {
    const MODEL: &'static str = "authentik_stages_authenticator_endpoint_gdtc.authenticatorendpointgdtcstage";
    const PATH: &'static str = "stages/authenticator/endpoint_gdtc";
    const SCHEMA: &'static str = "AuthenticatorEndpointGDTCStage";
    const VERBOSE: &'static str = "Endpoint Authenticator Google Device Trust Connector Stage";
    const COMPONENT: &'static str = "ak-stage-authenticator-endpoint-gdtc-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
    const SECRET_PARTS: &'static [(&'static str, &'static str)] = &[("credentials", "private_key")];
}
