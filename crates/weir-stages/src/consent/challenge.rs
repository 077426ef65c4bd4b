//! Wire types of the consent stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// One thing an application wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentPermission {
    /// Its id.
    pub id: String,
    /// What the person reads.
    pub name: String,
}

/// What an application wants.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConsentChallenge {
    /// Sentence above the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_text: Option<String>,
    /// Granted already, or all when nothing was granted.
    pub permissions: Vec<ConsentPermission>,
    /// Wanted beyond what was granted.
    pub additional_permissions: Vec<ConsentPermission>,
    /// Must come back with the answer.
    pub token: String,
}

impl Challenge for ConsentChallenge {
    const COMPONENT: &'static str = "ak-stage-consent";
}

/// Agreement to exactly what was shown.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ConsentResponse {
    /// The challenge's token.
    #[schemars(length(min = 1))]
    pub token: String,
}
