//! Definition of the set-up of accounts at Duo.

use crate::set_up::SetUp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, FieldErrors, Resource, Secret, resource::UuidKeyed};

/// Sets an account at Duo up as second factor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticatorDuoStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How people come to it.
    #[serde(flatten)]
    pub set_up: SetUp,
    /// Integration key of an application of type Auth API.
    #[schemars(length(min = 1))]
    pub client_id: String,
    /// Its secret key.
    #[schemars(length(min = 1))]
    pub client_secret: Secret,
    /// Its API hostname.
    #[schemars(length(min = 1))]
    pub api_hostname: String,
    /// Integration key of an application of type Admin API, to import accounts.
    #[serde(default)]
    pub admin_integration_key: String,
    /// Its secret key.
    #[serde(default)]
    pub admin_secret_key: Secret,
}

impl UuidKeyed for AuthenticatorDuoStage {}
impl Resource for AuthenticatorDuoStage {
    const MODEL: &'static str = "authentik_stages_authenticator_duo.authenticatorduostage";
    const PATH: &'static str = "stages/authenticator/duo";
    const SCHEMA: &'static str = "AuthenticatorDuoStage";
    const VERBOSE: &'static str = "Duo Authenticator Setup Stage";
    const COMPONENT: &'static str = "ak-stage-authenticator-duo-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";

    fn check(&self) -> FieldErrors {
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if self.api_hostname.chars().all(is_host) {
            return FieldErrors::new();
        }
        FieldErrors::one("api_hostname", "Enter a host name, without https:// and without a path.")
    }
}
