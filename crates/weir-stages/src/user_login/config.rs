//! Definition of the log-in stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{DurationText, Family, Resource, resource::UuidKeyed};

/// How much of the network address a session is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum NetworkBinding {
    #[default]
    NoBinding,
    BindAsn,
    BindAsnNetwork,
    BindAsnNetworkIp,
}

/// How much of the place a session is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum GeoipBinding {
    #[default]
    NoBinding,
    BindContinent,
    BindContinentCountry,
    BindContinentCountryCity,
}

fn zero() -> DurationText {
    "seconds=0".into()
}
fn thirty_days() -> DurationText {
    "days=30".into()
}

/// Starts the signed-in session.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserLoginStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Life of the session; zero ends it with the browser.
    #[serde(default = "zero")]
    pub session_duration: DurationText,
    /// End all other sessions of the user.
    #[serde(default)]
    pub terminate_other_sessions: bool,
    /// Longer life for people who want to stay signed in; zero does not offer it.
    #[serde(default = "zero")]
    pub remember_me_offset: DurationText,
    /// End the session when the network changes this much.
    #[serde(default)]
    pub network_binding: NetworkBinding,
    /// End the session when the place changes this much.
    #[serde(default)]
    pub geoip_binding: GeoipBinding,
    /// How long a browser counts as known; zero never.
    #[serde(default = "thirty_days")]
    pub remember_device: DurationText,
}

impl UuidKeyed for UserLoginStage {}
impl Resource for UserLoginStage {
    const MODEL: &'static str = "authentik_stages_user_login.userloginstage";
    const PATH: &'static str = "stages/user_login";
    const SCHEMA: &'static str = "UserLoginStage";
    const VERBOSE: &'static str = "User Login Stage";
    const COMPONENT: &'static str = "ak-stage-user-login-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
