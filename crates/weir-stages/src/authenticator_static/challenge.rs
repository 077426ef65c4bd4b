//! Wire types of the set-up of codes on paper.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// The codes, to be put down.
#[derive(Clone, Serialize, JsonSchema)]
pub struct AuthenticatorStaticChallenge {
    /// The codes. They are not valid before the answer.
    pub codes: Vec<String>,
}

impl Challenge for AuthenticatorStaticChallenge {
    const COMPONENT: &'static str = "ak-stage-authenticator-static";
}

/// Anything: the codes are put down.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct AuthenticatorStaticResponse {}
