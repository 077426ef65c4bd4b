//! What all kinds of providers share. A kind of its own implements [`weir_core::Resource`] with
//! `FAMILY = Some(Family::Provider)` and `RefTarget` with `NUMBERED = true, Pk = i64`: providers are known by numbers.
//! A kind without the field `authorization_flow` signs nobody in; it serves an application from behind
//! (`backchannel_providers`).

use crate::Application;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Family, Map, Ref, ResourceType, resource::numbered_key};
use weir_resource::{AnyPropertyMapping, Hooks, Object, Presenting, Snapshot, Stored};

/// The fields of every provider that works from behind.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackchannelBase {
    /// Name for people.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Mappings that make what the other system is told out of a user.
    #[serde(default)]
    pub property_mappings: Vec<Ref<AnyPropertyMapping>>,
}

/// Whether objects of a kind serve an application from behind only.
pub fn is_backchannel(kind: &ResourceType) -> bool {
    kind.family == Some(Family::Provider) && kind.find_field("authorization_flow").is_none()
}

/// A provider of any kind by its number.
pub fn find(snapshot: &Snapshot, number: i64) -> Option<&Arc<Object>> {
    snapshot.find(numbered_key(number)?).filter(|object| object.kind.family == Some(Family::Provider))
}

/// The application that people reach through a provider.
pub fn application(snapshot: &Snapshot, provider: Uuid) -> Option<(Uuid, Arc<Application>)> {
    snapshot.referring_by::<Application>(provider, "provider").into_iter().next()
}

/// The application a provider serves from behind.
pub fn backchannel_application(snapshot: &Snapshot, provider: Uuid) -> Option<(Uuid, Arc<Application>)> {
    snapshot.referring_by::<Application>(provider, "backchannel_providers").into_iter().next()
}

/// Every provider that serves an application from behind, in order of number.
pub fn backchannel_providers(snapshot: &Snapshot, application: &Application) -> Vec<Arc<Object>> {
    application.backchannel_providers.iter().filter_map(|provider| find(snapshot, *provider.pk()).cloned()).collect()
}

/// Adds what all providers' answers tell of their applications. Belongs to the hooks of every kind.
pub struct ProviderHooks;

#[async_trait]
impl Hooks for ProviderHooks {
    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let Some(key) = row.kind.document_key(&row.pk) else { continue };
            let mut tell = |prefix: &str, application: Option<(Uuid, Arc<Application>)>| {
                let told = application.map(|(_, application)| (application.slug.0.clone(), application.name.clone()));
                let (slug, name) = told.unzip();
                answer.insert(format!("{prefix}_slug"), slug.map_or(Value::Null, Value::from));
                answer.insert(format!("{prefix}_name"), name.map_or(Value::Null, Value::from));
            };
            if !is_backchannel(row.kind) {
                tell("assigned_application", application(cx.snapshot, key));
            }
            tell("assigned_backchannel_application", backchannel_application(cx.snapshot, key));
        }
        Ok(())
    }
}
