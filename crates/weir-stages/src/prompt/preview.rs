//! One question as it would be shown, for whoever is writing it.

use super::{Asking, Prompt, PromptChallenge, question};
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{ApiError, Map, Resource, validate};
use weir_flow::{App, Challenge as _};
use weir_identity::Account;
use weir_policy::{PolicyCx, RequestInfo};
use weir_resource::Unit;

/// The challenge of a page with this one question, without `flow_info`. It runs the body's expressions, so
/// the caller needs the right to write prompts. `name` is not looked at.
///
/// # Errors
/// Refusals of the body; the text of a failing expression.
pub async fn preview(
    app: &App,
    unit: &mut Unit<'_>,
    request: &RequestInfo,
    user: Option<&Account>,
    body: &Map,
) -> Result<Value, ApiError> {
    let kind = app.site.registry.find(Prompt::MODEL).ok_or_else(|| anyhow::anyhow!("prompts are not served"))?;
    let mut named = body.clone();
    named.insert("name".to_owned(), "preview".into());
    let document = validate::merge(kind, None, &named, validate::Mode::Create)?;
    let prompt: Prompt = serde_json::from_value(Value::Object(document)).map_err(anyhow::Error::new)?;
    let snapshot = Arc::clone(&unit.snapshot);
    let mut events = Vec::new();
    let mut cx = PolicyCx {
        site: &app.site,
        snapshot: &snapshot,
        tx: &mut unit.tx,
        kinds: &app.policies,
        events: &mut events,
        depth: 0,
    };
    let nothing = Map::new();
    let asking = Asking { expressions: &app.expressions, user, http: request, prompt_data: &nothing, strict: true };
    let shown = question(&mut cx, &asking, &prompt).await.map_err(|error| ApiError::general(error.to_string()))?;
    Ok(json!({"component": PromptChallenge::COMPONENT, "fields": [shown]}))
}
