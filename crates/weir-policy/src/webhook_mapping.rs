//! Mappings that say what is sent to a service: by notifications over webhooks, and by SMS stages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Expression, Family, Resource, resource::UuidKeyed};

/// Says what is sent to a service.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotificationWebhookMapping {
    /// Name of the mapping.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Body of a Python function that gives what is sent.
    pub expression: Expression,
}

impl UuidKeyed for NotificationWebhookMapping {}
impl Resource for NotificationWebhookMapping {
    const MODEL: &'static str = "authentik_events.notificationwebhookmapping";
    const PATH: &'static str = "propertymappings/notification";
    const SCHEMA: &'static str = "NotificationWebhookMapping";
    const VERBOSE: &'static str = "Webhook Mapping";
    const COMPONENT: &'static str = "ak-property-mapping-notification-form";
    const FAMILY: Option<Family> = Some(Family::PropertyMapping);
    const SHOWS_FAMILY: bool = false;
    const PARAM: &'static str = "pm_uuid";
}
