//! Definition of the set-up of authenticator apps.

use crate::set_up::SetUp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Resource, resource::UuidKeyed};

/// Length of the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Digits {
    /// Six; every app can do that.
    #[serde(rename = "6")]
    Six,
    /// Eight.
    #[serde(rename = "8")]
    Eight,
}

impl Digits {
    /// The length.
    pub fn count(self) -> u32 {
        match self {
            Self::Six => 6,
            Self::Eight => 8,
        }
    }
}

/// Sets up an authenticator app.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticatorTotpStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How people come to it.
    #[serde(flatten)]
    pub set_up: SetUp,
    /// Length of the codes.
    pub digits: Digits,
}

impl UuidKeyed for AuthenticatorTotpStage {}
impl Resource for AuthenticatorTotpStage {
    const MODEL: &'static str = "authentik_stages_authenticator_totp.authenticatortotpstage";
    const PATH: &'static str = "stages/authenticator/totp";
    const SCHEMA: &'static str = "AuthenticatorTOTPStage";
    const VERBOSE: &'static str = "TOTP Authenticator Setup Stage";
    const COMPONENT: &'static str = "ak-stage-authenticator-totp-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
