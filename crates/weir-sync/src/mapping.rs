//! Mappings: expressions that make what a target is told out of a user or a group.

use crate::{connection::Connection, engine::Engine, state::Model, target::Subject, wire::Failure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{Expression, Family, Map, Ref, Resource, resource::UuidKeyed};
use weir_events::{Event, action};
use weir_expression::EvalError;
use weir_identity::{Account, attributes};
use weir_policy::{PolicyCx, RequestInfo, expression::Environment};
use weir_resource::{Actor, AnyPropertyMapping, Object, Unit};

/// A kind of mapping: they differ in what they are called.
macro_rules! mapping {
    ($(#[$doc:meta])* struct $name:ident,
     model = $model:literal, path = $path:literal, verbose = $verbose:literal, component = $component:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
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

        impl UuidKeyed for $name {}
        impl Resource for $name {
            const MODEL: &'static str = $model;
            const PATH: &'static str = $path;
            const SCHEMA: &'static str = stringify!($name);
            const VERBOSE: &'static str = $verbose;
            const COMPONENT: &'static str = $component;
            const FAMILY: Option<Family> = Some(Family::PropertyMapping);
            const PARAM: &'static str = "pm_uuid";
            const UNIQUE: &'static [&'static [&'static str]] = &[&["name"], &["managed"]];
        }
    };
}

mapping! {
    /// Makes a SCIM resource out of a user or a group.
    struct SCIMMapping,
    model = "authentik_providers_scim.scimmapping",
    path = "propertymappings/provider/scim",
    verbose = "SCIM Provider Mapping",
    component = "ak-property-mapping-provider-scim-form"
}
mapping! {
    /// Makes a Google Workspace object out of a user or a group.
    struct GoogleWorkspaceProviderMapping,
    model = "authentik_providers_google_workspace.googleworkspaceprovidermapping",
    path = "propertymappings/provider/google_workspace",
    verbose = "Google Workspace Provider Mapping",
    component = "ak-property-mapping-provider-google-workspace-form"
}
mapping! {
    /// Makes a Microsoft Entra object out of a user or a group.
    struct MicrosoftEntraProviderMapping,
    model = "authentik_providers_microsoft_entra.microsoftentraprovidermapping",
    path = "propertymappings/provider/microsoft_entra",
    verbose = "Microsoft Entra Provider Mapping",
    component = "ak-property-mapping-provider-microsoft-entra-form"
}

/// What mappings run on.
pub struct Mapping<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The provider.
    pub provider: &'a Object,
    /// What it is about.
    pub subject: Subject<'a>,
    /// The user; none for groups.
    pub user: Option<&'a Account>,
    /// What the target knows already.
    pub connection: Option<&'a Connection>,
}

impl Mapping<'_> {
    fn variables(&self) -> Map {
        let described = |kind: &weir_core::ResourceType, pk: &str, name: &str| json!({"app": kind.app_label(), "model_name": kind.model_name(), "pk": pk, "name": name});
        let provider = described(self.provider.kind, &self.provider.id.to_string(), &self.provider.name());
        let mut variables = Map::new();
        variables.insert("provider".to_owned(), provider);
        variables.insert("creating".to_owned(), self.connection.is_none().into());
        let connection = self
            .connection
            .map(|known| json!({"id": known.id, "remote_id": known.remote_id, "attributes": known.attributes}));
        variables.insert("connection".to_owned(), connection.unwrap_or_default());
        if self.subject.model == Model::Group {
            let (pk, name) = (self.subject.external_id, self.subject.name);
            let shown = json!({"app": "authentik_core", "model_name": "group", "pk": pk, "name": name});
            variables.insert("group".to_owned(), shown);
        }
        variables
    }

    /// Runs mappings in order of their names, each laid over the one before.
    ///
    /// # Errors
    /// [`Failure::Stop`] without mappings, [`Failure::Unmapped`] when one fails, [`Failure::Skip`] when one leaves the
    /// object out.
    pub async fn run(&self, mappings: &[Ref<AnyPropertyMapping>]) -> Result<Map, Failure> {
        let site = &self.engine.site;
        let snapshot = site.snapshot();
        let mut chosen: Vec<_> = mappings.iter().filter_map(|mapping| snapshot.find(mapping.uuid())).collect();
        if chosen.is_empty() {
            return Err(Failure::Stop("No mappings configured".to_owned()));
        }
        chosen.sort_by(|a, b| a.text("name").cmp(b.text("name")));
        let mut unit = Unit::new(site, Actor::system());
        let mut events = Vec::new();
        let mut properties = Map::new();
        let mut failure = None;
        for mapping in chosen {
            match self.one(&mut unit, mapping, &mut events).await {
                Ok(Value::Null) => {}
                Ok(Value::Object(result)) => attributes::merge(&mut properties, &result),
                Ok(_) => {
                    failure = Some(Failure::Unmapped(format!("Mapping {} gave no dictionary.", mapping.name())));
                }
                Err(failed) => failure = Some(failed),
            }
            if failure.is_some() {
                break;
            }
        }
        for event in events {
            unit.event(event).await.map_err(|error| Failure::Own(error.to_string()))?;
        }
        unit.commit().await.map_err(|error| Failure::Own(error.to_string()))?;
        failure.map_or(Ok(properties), Err)
    }

    async fn one(&self, unit: &mut Unit<'_>, mapping: &Object, events: &mut Vec<Event>) -> Result<Value, Failure> {
        let engine = self.engine;
        let snapshot = Arc::clone(&unit.snapshot);
        let mut cx = PolicyCx {
            site: &engine.site,
            snapshot: &snapshot,
            tx: &mut unit.tx,
            kinds: &engine.policies,
            events,
            depth: 0,
        };
        let (name, source) = (mapping.text("name"), mapping.text("expression"));
        let http = RequestInfo::default();
        let env = Environment { name, user: self.user, http: &http, variables: self.variables() };
        let error = match engine.expressions.evaluate(&mut cx, source, env).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match error.downcast_ref::<EvalError>() {
            Some(EvalError::Raised(raised)) if raised.class == "SkipObject" => return Err(Failure::Skip),
            // Not the mapping's fault.
            Some(EvalError::Busy | EvalError::Unavailable(_) | EvalError::WorkerDied) => {
                return Err(Failure::Own(error.to_string()));
            }
            _ => {}
        }
        let message = error.to_string();
        let context = json!({"expression": source, "message": message});
        events.push(Event::new(action::PROPERTY_MAPPING_EXCEPTION, mapping.kind.app_label(), context));
        Err(Failure::Unmapped(format!("Mapping {name} failed: {message}")))
    }
}
