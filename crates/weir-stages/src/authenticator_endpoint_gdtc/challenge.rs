//! Wire types of the stage that has Google vouch for browsers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::Challenge;

/// Shows another page inside of this one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FrameChallenge {
    /// Address of the page.
    pub url: String,
    /// Cover it while it loads.
    pub loading_overlay: bool,
    /// What to say meanwhile.
    pub loading_text: String,
}

impl Challenge for FrameChallenge {
    const COMPONENT: &'static str = "xak-flow-frame";
    const WITH_USER: bool = false;
}

/// Says that the page is done; what it led to is looked up.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct FrameResponse {}
