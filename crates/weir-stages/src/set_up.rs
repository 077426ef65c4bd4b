//! The fields that all stages have in common by which people set up a device.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::Ref;
use weir_flow::Flow;

/// How people come to set up a device, part of the stages for that.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetUp {
    /// Lets a signed-in person set up a device through this flow.
    #[serde(default)]
    pub configure_flow: Option<Ref<Flow>>,
    /// Name of the stage for people, where they choose what to set up.
    #[serde(default)]
    pub friendly_name: String,
}
