//! Challenges: what a stage asks, in the envelope that all of them share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A question to the person. The executor adds `flow_info`, errors and, when asked for, who the person is.
pub trait Challenge: Serialize + JsonSchema + Send {
    /// The discriminator on the wire.
    const COMPONENT: &'static str;
    /// `pending_user` and its avatar belong to the challenge.
    const WITH_USER: bool = true;
    /// `flow_info` belongs to the challenge.
    const WITH_FLOW: bool = true;
}

/// Sends the browser elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RedirectChallenge {
    /// The address.
    pub to: String,
    /// The flow is over.
    pub final_redirect: bool,
}

impl Challenge for RedirectChallenge {
    const COMPONENT: &'static str = "xak-flow-redirect";
    const WITH_USER: bool = false;
    const WITH_FLOW: bool = false;
}

/// A redirect as JSON.
pub fn redirect(to: &str, final_redirect: bool) -> Value {
    json!({"component": RedirectChallenge::COMPONENT, "to": to, "final_redirect": final_redirect})
}

/// What a failed stage shows; cause only for those who may see it.
pub fn flow_error(request_id: &str, cause: Option<&str>) -> Value {
    let mut value = json!({"component": "ak-stage-flow-error", "request_id": request_id});
    if let (Some(cause), Some(map)) = (cause, value.as_object_mut()) {
        map.insert("error".to_owned(), cause.into());
        map.insert("traceback".to_owned(), cause.into());
    }
    value
}
