//! Definition of the set-up of codes on paper.

use crate::set_up::SetUp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Resource, resource::UuidKeyed};

fn six() -> i32 {
    6
}

fn twelve() -> i32 {
    12
}

/// Gives a person codes to keep on paper.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticatorStaticStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How people come to it.
    #[serde(flatten)]
    pub set_up: SetUp,
    /// How many codes there are; never more than 200 are made.
    #[serde(default = "six")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub token_count: i32,
    /// Length of a code.
    #[serde(default = "twelve")]
    #[schemars(range(min = 0, max = 100))]
    pub token_length: i32,
}

impl UuidKeyed for AuthenticatorStaticStage {}
impl Resource for AuthenticatorStaticStage {
    const MODEL: &'static str = "authentik_stages_authenticator_static.authenticatorstaticstage";
    const PATH: &'static str = "stages/authenticator/static";
    const SCHEMA: &'static str = "AuthenticatorStaticStage";
    const VERBOSE: &'static str = "Static Authenticator Setup Stage";
    const COMPONENT: &'static str = "ak-stage-authenticator-static-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
