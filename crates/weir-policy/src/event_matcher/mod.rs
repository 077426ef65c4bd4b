//! Passes for events of a kind. Notification rules put the event into the context.

pub mod names;
#[cfg(test)]
mod tests;

use crate::{PolicyCx, PolicyKind, PolicyRequest, PolicyResult};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Family, Map, Resource, resource::UuidKeyed};
use weir_events::query::Query;
use weir_resource::{Hooks, Stored, Unit};

/// Passes for events in which everything that is set agrees.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventMatcherPolicy {
    /// Name of the policy.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Writes an event for every run, not only for failures.
    #[serde(default)]
    pub execution_logging: bool,
    /// What happened; nothing stands for everything, `custom_` for all that expressions write.
    #[serde(default)]
    #[schemars(schema_with = "names::action")]
    pub action: Option<String>,
    /// From which address, exactly.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub client_ip: Option<String>,
    /// Which application says so.
    #[serde(default)]
    #[schemars(schema_with = "names::app")]
    pub app: Option<String>,
    /// What kind of object it is about.
    #[serde(default)]
    #[schemars(schema_with = "names::model")]
    pub model: Option<String>,
    /// A search over events that must find it.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub query: Option<String>,
}

impl UuidKeyed for EventMatcherPolicy {}
impl Resource for EventMatcherPolicy {
    const MODEL: &'static str = "authentik_policies_event_matcher.eventmatcherpolicy";
    const PATH: &'static str = "policies/event_matcher";
    const SCHEMA: &'static str = "EventMatcherPolicy";
    const VERBOSE: &'static str = "Event Matcher Policy";
    const COMPONENT: &'static str = "ak-policy-event-matcher-form";
    const FAMILY: Option<Family> = Some(Family::Policy);
    const PARAM: &'static str = "policy_uuid";
}

/// A search that cannot be read is not saved.
pub struct QueryHooks;

#[async_trait]
impl Hooks for QueryHooks {
    async fn prepare(&self, _unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let Some(query) = new.get("query").and_then(Value::as_str) else { return Ok(()) };
        Query::parse(query).map(drop).map_err(|error| ApiError::field("query", error.to_string()))
    }
}

/// The kind.
pub struct Matcher;

fn text<'a>(event: &'a Map, key: &str) -> &'a str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Events name the package that speaks with underscores or dots; policies always with dots.
fn is_app(event: &str, wanted: &str) -> bool {
    event == wanted || event.replace('.', "_") == wanted.replace('.', "_")
}

fn model(event: &Map) -> Option<String> {
    let model = event.get("context")?.get("model")?.as_object()?;
    let label = text(model, "app");
    let label = label.strip_prefix("authentik.").map_or_else(|| label.to_owned(), |rest| format!("authentik_{rest}"));
    Some(format!("{}.{}", label.replace('.', "_"), text(model, "model_name")))
}

impl EventMatcherPolicy {
    /// What of the policy agrees with an event: name of the field and whether.
    ///
    /// # Errors
    /// When the query cannot be read.
    fn compare(&self, event: &Map) -> anyhow::Result<Vec<(&'static str, bool)>> {
        let mut found = Vec::new();
        if let Some(action) = &self.action {
            let happened = text(event, "action");
            let agrees = if action == "custom_" { happened.starts_with("custom_") } else { happened == action };
            found.push(("Action", agrees));
        }
        if let Some(ip) = &self.client_ip {
            found.push(("Client IP", text(event, "client_ip") == ip));
        }
        if let Some(app) = &self.app {
            found.push(("App", is_app(text(event, "app"), app)));
        }
        if let Some(wanted) = &self.model {
            found.push(("Model", model(event).as_ref() == Some(wanted)));
        }
        if let Some(query) = &self.query {
            found.push(("Query", Query::parse(query)?.matches(event)));
        }
        Ok(found)
    }
}

#[async_trait]
impl PolicyKind for Matcher {
    type Config = EventMatcherPolicy;

    async fn passes(
        &self,
        _cx: &mut PolicyCx<'_>,
        _id: Uuid,
        config: &EventMatcherPolicy,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        let Some(event) = request.context.get("event").and_then(Value::as_object) else {
            return Ok(PolicyResult::new(false, Vec::new()));
        };
        let found = config.compare(event)?;
        // Messages name what was looked at, whether it agreed or not.
        let messages = found.iter().map(|(what, _)| format!("{what} matched.")).collect();
        let passing = found.iter().all(|(_, agrees)| *agrees);
        let inputs = json!({"action": text(event, "action"), "app": text(event, "app"), "model": model(event)});
        Ok(PolicyResult::new(passing, messages).because(inputs))
    }
}
