//! Wire types of the prompt stage.

use super::PromptType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_flow::Challenge;

/// One value of a choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Choice {
    /// What the person reads.
    pub label: String,
    /// What is sent.
    pub value: String,
}

/// One question as it is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StagePrompt {
    /// Key of the answer.
    pub field_key: String,
    /// What the person reads.
    pub label: String,
    /// Kind of input.
    #[serde(rename = "type")]
    pub kind: PromptType,
    /// Must be answered.
    pub required: bool,
    /// Example text.
    pub placeholder: String,
    /// Value to begin with.
    pub initial_value: String,
    /// Place on the page.
    pub order: i32,
    /// Small print.
    pub sub_text: String,
    /// The values of a choice, else null.
    pub choices: Option<Vec<Choice>>,
}

/// The questions in order.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PromptChallenge {
    /// The questions.
    pub fields: Vec<StagePrompt>,
}

impl Challenge for PromptChallenge {
    const COMPONENT: &'static str = "ak-stage-prompt";
    const WITH_USER: bool = false;
}

/// One key per question; checked against the questions, not against a fixed schema.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct PromptResponse {
    /// The answers by key.
    #[serde(flatten)]
    pub answers: Map<String, Value>,
}
