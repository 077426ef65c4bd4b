//! Wire types of the stage: it asks nothing, but it refuses without ending the flow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// Why a person cannot go on. The plan stays, so that they may come back with another certificate.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MutualTlsChallenge {
    /// The reason.
    pub error_message: String,
}

impl Challenge for MutualTlsChallenge {
    const COMPONENT: &'static str = "ak-stage-access-denied";
}

/// Anything; the certificates of the request are looked at again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct MutualTlsResponse {}
