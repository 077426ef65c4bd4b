//! From a configured prompt to the question a person sees.

use super::{Choice, Prompt, PromptType, StagePrompt};
use serde_json::{Value, json};
use weir_core::Map;
use weir_events::{Event, action};
use weir_identity::Account;
use weir_policy::{
    PolicyCx, RequestInfo,
    expression::{Environment, Expressions},
};

/// What questions are made from.
pub struct Asking<'a> {
    /// Evaluates expressions.
    pub expressions: &'a Expressions,
    /// The pending user.
    pub user: Option<&'a Account>,
    /// The request.
    pub http: &'a RequestInfo,
    /// Answers so far.
    pub prompt_data: &'a Map,
    /// A failing expression is an error instead of the raw text.
    pub strict: bool,
}

impl Asking<'_> {
    /// The value of a text that may be an expression; the raw text when the expression fails.
    async fn value(
        &self,
        cx: &mut PolicyCx<'_>,
        prompt: &Prompt,
        text: &str,
        is_expression: bool,
    ) -> anyhow::Result<Value> {
        if !is_expression {
            return Ok(Value::from(text));
        }
        let mut variables = Map::new();
        variables.insert("prompt_context".to_owned(), Value::Object(self.prompt_data.clone()));
        let env = Environment { name: &prompt.name, user: self.user, http: self.http, variables };
        match self.expressions.evaluate(cx, text, env).await {
            Ok(value) => Ok(value),
            Err(error) if self.strict => Err(error),
            Err(error) => {
                let context = json!({"expression": text, "message": error.to_string()});
                cx.events.push(Event::new(action::PROPERTY_MAPPING_EXCEPTION, "authentik_stages_prompt", context));
                Ok(Value::from(text))
            }
        }
    }

    async fn choices(&self, cx: &mut PolicyCx<'_>, prompt: &Prompt) -> anyhow::Result<Vec<Choice>> {
        let key = format!("{}__choices", prompt.field_key);
        let value = match self.prompt_data.get(&key) {
            Some(value) => value.clone(),
            None => self.value(cx, prompt, &prompt.placeholder, prompt.placeholder_expression).await?,
        };
        let items = match value {
            Value::Array(items) => items,
            one => vec![one],
        };
        Ok(items.iter().map(choice).collect())
    }
}

fn choice(item: &Value) -> Choice {
    match item {
        Value::Object(map) => {
            let value = text(map.get("value").unwrap_or(&Value::Null));
            Choice { label: map.get("label").map_or_else(|| value.clone(), text), value }
        }
        other => Choice { label: text(other), value: text(other) },
    }
}

/// The text of a value as Python would print it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

/// The question for a prompt.
///
/// # Errors
/// Failing expressions, when [`Asking::strict`].
pub async fn question(cx: &mut PolicyCx<'_>, asking: &Asking<'_>, prompt: &Prompt) -> anyhow::Result<StagePrompt> {
    let choices = if prompt.kind.is_choice() { Some(asking.choices(cx, prompt).await?) } else { None };
    let placeholder = match &choices {
        Some(_) => String::new(),
        None => text(&asking.value(cx, prompt, &prompt.placeholder, prompt.placeholder_expression).await?),
    };
    // A password that was typed is never given back.
    let known = asking.prompt_data.get(&prompt.field_key).filter(|_| prompt.kind != PromptType::Password);
    let initial = match known {
        Some(Value::Object(map)) if choices.is_some() => text(map.get("value").unwrap_or(&Value::Null)),
        Some(value) => text(value),
        None => match asking.value(cx, prompt, &prompt.initial_value, prompt.initial_value_expression).await? {
            Value::Null if prompt.initial_value_expression => String::new(),
            Value::Object(map) if choices.is_some() => text(map.get("value").unwrap_or(&Value::Null)),
            value => text(&value),
        },
    };
    let initial_value = match &choices {
        None => initial,
        Some(choices) if choices.iter().any(|c| c.value == initial) => initial,
        Some(choices) => choices.first().map(|c| c.value.clone()).unwrap_or_default(),
    };
    Ok(StagePrompt {
        field_key: prompt.field_key.clone(),
        label: prompt.label.clone(),
        kind: prompt.kind,
        required: prompt.required,
        placeholder,
        initial_value,
        order: prompt.order,
        sub_text: prompt.sub_text.clone(),
        choices,
    })
}
