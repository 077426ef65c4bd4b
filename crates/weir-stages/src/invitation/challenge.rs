//! What a page shows before an invitation for one use is used up.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use weir_flow::Challenge;

/// Asks for a click (contract schema `ConsentChallenge`).
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AcceptChallenge {
    header_text: &'static str,
    permissions: Vec<Value>,
    additional_permissions: Vec<Value>,
    token: &'static str,
}

impl AcceptChallenge {
    /// The only one there is. What proves the click is that it is a POST with the page's token against forgery.
    pub(super) fn new() -> Self {
        let header_text = "Continue to accept this invitation.";
        Self { header_text, permissions: Vec::new(), additional_permissions: Vec::new(), token: "" }
    }
}

impl Challenge for AcceptChallenge {
    const COMPONENT: &'static str = "ak-stage-consent";
}
