//! Wire types of the stage that has Google vouch for browsers.

use super::page_address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_flow::{Challenge, StageCx};

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

impl FrameChallenge {
    /// The page in which Chrome shakes hands with Google.
    pub(crate) fn new(cx: &StageCx<'_>) -> Self {
        Self {
            url: page_address(&cx.request.base_url(), &cx.app.prefix),
            loading_overlay: true,
            loading_text: "Verifying your browser...".to_owned(),
        }
    }
}

impl Challenge for FrameChallenge {
    const COMPONENT: &'static str = "xak-flow-frame";
    const WITH_USER: bool = false;
}

/// Says that the page is done; what it led to is looked up.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct FrameResponse {}
