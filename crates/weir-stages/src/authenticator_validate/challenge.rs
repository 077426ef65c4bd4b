//! Wire types of the authenticator validation stage.

use super::DeviceClass;
use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;
use weir_core::Map;
use weir_flow::Challenge;

/// A class of devices on offer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeviceChallenge {
    /// The class.
    pub device_class: DeviceClass,
    /// Key of a device; `-1` when it is not known yet whose device it will be.
    pub device_uid: String,
    /// What the browser needs for it.
    pub challenge: Map,
    /// When the device last proved something.
    #[serde(serialize_with = "micros")]
    pub last_used: Option<DateTime<Utc>>,
}

fn micros<S: Serializer>(at: &Option<DateTime<Utc>>, s: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)).serialize(s)
}

/// A stage that sets a device up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SelectableStage {
    /// Key of the stage.
    pub pk: Uuid,
    /// Name for people.
    pub name: String,
    /// Human name of its kind.
    pub verbose_name: String,
    /// Its model.
    pub meta_model_name: String,
}

/// Asks for one of these devices, or which one to set up.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct AuthenticatorValidationChallenge {
    /// Devices on offer, one for each class.
    pub device_challenges: Vec<DeviceChallenge>,
    /// Stages on offer to set a device up.
    pub configuration_stages: Vec<SelectableStage>,
}

impl Challenge for AuthenticatorValidationChallenge {
    const COMPONENT: &'static str = "ak-stage-authenticator-validate";
}

/// One of these.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct AuthenticatorValidationResponse {
    /// A device on offer that should be reached, e.g. by sending it a code.
    #[serde(default)]
    pub selected_challenge: Option<Map>,
    /// Key of a stage on offer.
    #[serde(default)]
    pub selected_stage: Option<String>,
    /// A code. Left empty it counts as absent, because forms post all their fields.
    #[serde(default)]
    pub code: Option<String>,
    /// Assertion of a security key.
    #[serde(default)]
    pub webauthn: Option<Map>,
    /// Key of a Duo device.
    #[serde(default)]
    #[schemars(extend("format" = "int64"))]
    pub duo: Option<i64>,
}

impl AuthenticatorValidationResponse {
    /// The code, unless it was left empty.
    pub(super) fn typed_code(&self) -> Option<&str> {
        self.code.as_deref().filter(|code| !code.trim().is_empty())
    }
}
