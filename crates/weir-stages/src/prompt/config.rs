//! Definitions of the prompt stage and of single prompts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Ref, Resource, resource::UuidKeyed};
use weir_resource::AnyPolicy;

/// Kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum PromptType {
    Text,
    TextArea,
    TextReadOnly,
    TextAreaReadOnly,
    Username,
    Email,
    Password,
    Number,
    Checkbox,
    #[serde(rename = "radio-button-group")]
    RadioButtonGroup,
    Dropdown,
    Date,
    #[serde(rename = "date-time")]
    DateTime,
    File,
    Separator,
    Hidden,
    Static,
    AlertInfo,
    AlertWarning,
    AlertDanger,
    #[serde(rename = "ak-locale")]
    Locale,
}

impl PromptType {
    /// One of several given values.
    pub fn is_choice(self) -> bool {
        matches!(self, Self::RadioButtonGroup | Self::Dropdown)
    }

    /// Whatever is sent is ignored: the server's value stands.
    pub fn is_fixed(self) -> bool {
        matches!(self, Self::TextReadOnly | Self::TextAreaReadOnly | Self::Hidden | Self::Static)
    }

    /// Shown only; takes no answer.
    pub fn is_display(self) -> bool {
        matches!(self, Self::Separator | Self::AlertInfo | Self::AlertWarning | Self::AlertDanger)
    }
}

fn yes() -> bool {
    true
}

/// One question.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Prompt {
    /// Name for administrators.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Key of the answer in `prompt_data`.
    #[schemars(length(min = 1))]
    pub field_key: String,
    /// What the person reads.
    #[schemars(length(min = 1))]
    pub label: String,
    /// Kind of input.
    #[serde(rename = "type")]
    pub kind: PromptType,
    /// Must be answered.
    #[serde(default = "yes")]
    pub required: bool,
    /// Example text, or the choices.
    #[serde(default)]
    pub placeholder: String,
    /// Value to begin with.
    #[serde(default)]
    pub initial_value: String,
    /// Place on the page.
    #[serde(default)]
    pub order: i32,
    /// Small print.
    #[serde(default)]
    pub sub_text: String,
    /// The placeholder is an expression.
    #[serde(default)]
    pub placeholder_expression: bool,
    /// The initial value is an expression.
    #[serde(default)]
    pub initial_value_expression: bool,
}

impl UuidKeyed for Prompt {}
impl Resource for Prompt {
    const MODEL: &'static str = "authentik_stages_prompt.prompt";
    const PATH: &'static str = "stages/prompt/prompts";
    const SCHEMA: &'static str = "Prompt";
    const VERBOSE: &'static str = "Prompt";
    const PARAM: &'static str = "prompt_uuid";
    const SEARCH: &'static [&'static str] = &["name", "field_key", "label", "type", "placeholder"];
}

/// Asks several questions on one page.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PromptStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The questions.
    #[schemars(length(min = 1))]
    pub fields: Vec<Ref<Prompt>>,
    /// Policies that all must agree with the answers.
    #[serde(default)]
    pub validation_policies: Vec<Ref<AnyPolicy>>,
}

impl UuidKeyed for PromptStage {}
impl Resource for PromptStage {
    const MODEL: &'static str = "authentik_stages_prompt.promptstage";
    const PATH: &'static str = "stages/prompt/stages";
    const SCHEMA: &'static str = "PromptStage";
    const VERBOSE: &'static str = "Prompt Stage";
    const COMPONENT: &'static str = "ak-stage-prompt-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
