//! Mappings: expressions that make users and groups out of what a source tells. They run in order of their names, and
//! each result is laid over the one before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{ApiError, Expression, Family, Map, Ref, Resource, resource::UuidKeyed};
use weir_events::{Event, action};
use weir_flow::App;
use weir_identity::{Account, attributes};
use weir_policy::{PolicyCx, RequestInfo, expression::Environment};
use weir_resource::{AnyPropertyMapping, Unit};

/// Makes a user or a group out of what an OAuth source tells.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OAuthSourcePropertyMapping {
    /// Set when the server keeps this mapping.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub managed: Option<String>,
    /// Name of the mapping; mappings run in order of their names.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Body of a Python function that gives a dictionary.
    pub expression: Expression,
}

impl UuidKeyed for OAuthSourcePropertyMapping {}
impl Resource for OAuthSourcePropertyMapping {
    const MODEL: &'static str = "authentik_sources_oauth.oauthsourcepropertymapping";
    const PATH: &'static str = "propertymappings/source/oauth";
    const SCHEMA: &'static str = "OAuthSourcePropertyMapping";
    const VERBOSE: &'static str = "OAuth Source Property Mapping";
    const COMPONENT: &'static str = "ak-property-mapping-source-oauth-form";
    const FAMILY: Option<Family> = Some(Family::PropertyMapping);
    const PARAM: &'static str = "pm_uuid";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["name"], &["managed"]];
}

/// What mappings run on.
pub struct Mapping<'a> {
    /// The engine.
    pub engine: &'a App,
    /// The request.
    pub request: &'a RequestInfo,
    /// The user known so far.
    pub user: Option<&'a Account>,
    /// Variables of the expressions.
    pub variables: Map,
}

/// Why mappings gave nothing: their name, and what was said.
#[derive(Debug)]
pub struct Failed {
    /// Name of the mapping.
    pub name: String,
    /// In words.
    pub message: String,
}

impl Mapping<'_> {
    /// Runs mappings over first properties. Of a failing one an event is written.
    ///
    /// # Errors
    /// The first that failed; those of the store.
    pub async fn run(
        &self,
        unit: &mut Unit<'_>,
        mappings: &[Ref<AnyPropertyMapping>],
        base: Map,
    ) -> Result<Result<Map, Failed>, ApiError> {
        let snapshot = Arc::clone(&unit.snapshot);
        let mut chosen: Vec<_> = mappings.iter().filter_map(|mapping| snapshot.find(mapping.uuid())).collect();
        chosen.sort_by(|a, b| a.text("name").cmp(b.text("name")));
        let mut properties = base;
        let mut events = Vec::new();
        let mut failed = None;
        for mapping in chosen {
            match self.one(unit, mapping.text("name"), mapping.text("expression"), &properties, &mut events).await {
                Ok(Value::Null) => {}
                Ok(Value::Object(result)) => attributes::merge(&mut properties, &result),
                Ok(_) => {
                    let message = "The mapping gave no dictionary.".to_owned();
                    failed = Some(Failed { name: mapping.text("name").to_owned(), message });
                }
                Err(error) => {
                    let message = error.to_string();
                    let context = json!({"expression": mapping.text("expression"), "message": message});
                    events.push(Event::new(action::PROPERTY_MAPPING_EXCEPTION, mapping.kind.app_label(), context));
                    failed = Some(Failed { name: mapping.text("name").to_owned(), message });
                }
            }
            if failed.is_some() {
                break;
            }
        }
        for event in events {
            unit.event(event).await?;
        }
        // Nothing is not a value: a mapping can take away what the source told.
        properties.retain(|_, value| !value.is_null());
        Ok(failed.map_or(Ok(properties), Err))
    }

    async fn one(
        &self,
        unit: &mut Unit<'_>,
        name: &str,
        expression: &str,
        properties: &Map,
        events: &mut Vec<Event>,
    ) -> anyhow::Result<Value> {
        let snapshot = Arc::clone(&unit.snapshot);
        let mut cx = PolicyCx {
            site: &self.engine.site,
            snapshot: &snapshot,
            tx: &mut unit.tx,
            kinds: &self.engine.policies,
            events,
            depth: 0,
        };
        let mut variables = self.variables.clone();
        variables.insert("properties".to_owned(), Value::Object(properties.clone()));
        let env = Environment { name, user: self.user, http: self.request, variables };
        self.engine.expressions.evaluate(&mut cx, expression, env).await
    }
}
