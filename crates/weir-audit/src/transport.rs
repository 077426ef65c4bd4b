//! Transports: how a notification reaches somebody.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use weir_core::{ApiError, FieldErrors, Map, Ref, Resource, resource::UuidKeyed};
use weir_mail::Mailer;
use weir_pki::CertificateKeyPair;
use weir_policy::NotificationWebhookMapping;
use weir_resource::{Hooks, Presenting, Stored, Unit};

/// The way a notification goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransportMode {
    /// Into the list of the person's notifications here.
    #[default]
    Local,
    /// To an address that takes JSON.
    Webhook,
    /// To Slack, or what understands the same.
    WebhookSlack,
    /// By mail.
    Email,
}

impl TransportMode {
    /// For people.
    fn verbose(self) -> &'static str {
        match self {
            Self::Local => "Notifications on this site",
            Self::Webhook => "Webhook (JSON)",
            Self::WebhookSlack => "Webhook (Slack, Discord)",
            Self::Email => "Mail",
        }
    }

    /// Whether it calls an address.
    pub fn is_webhook(self) -> bool {
        matches!(self, Self::Webhook | Self::WebhookSlack)
    }
}

fn prefix() -> String {
    "authentik Notification: ".to_owned()
}
fn template() -> String {
    "email/event_notification.html".to_owned()
}

/// A way by which notifications go.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotificationTransport {
    /// Name of the transport.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Which way.
    #[serde(default)]
    pub mode: TransportMode,
    /// Address that is called.
    #[serde(default)]
    #[schemars(extend("format" = "uri"))]
    pub webhook_url: String,
    /// Authority that the certificate of that address is checked with, besides those of the system.
    #[serde(default)]
    #[schemars(extend("x-on-delete" = "set_null"))]
    pub webhook_ca: Option<Ref<CertificateKeyPair>>,
    /// Gives the body of the call. It sees `notification` and `user`.
    #[serde(default)]
    #[schemars(extend("x-on-delete" = "set_null"))]
    pub webhook_mapping_body: Option<Ref<NotificationWebhookMapping>>,
    /// Gives headers of the call, as a dictionary.
    #[serde(default)]
    #[schemars(extend("x-on-delete" = "set_null"))]
    pub webhook_mapping_headers: Option<Ref<NotificationWebhookMapping>>,
    /// What the subject of a mail begins with.
    #[serde(default = "prefix")]
    pub email_subject_prefix: String,
    /// Template of the mail.
    #[serde(default = "template")]
    #[schemars(length(min = 1))]
    pub email_template: String,
    /// One notification is enough, however many people are told: for channels that all of them read.
    #[serde(default)]
    pub send_once: bool,
}

impl UuidKeyed for NotificationTransport {}
impl Resource for NotificationTransport {
    const MODEL: &'static str = "authentik_events.notificationtransport";
    const PATH: &'static str = "events/transports";
    const SCHEMA: &'static str = "NotificationTransport";
    const VERBOSE: &'static str = "Notification Transport";

    fn check(&self) -> FieldErrors {
        if self.mode.is_webhook() && self.webhook_url.is_empty() {
            return FieldErrors::general("Webhook URL may not be empty.");
        }
        FieldErrors::new()
    }
}

/// See [`NotificationTransport`].
pub(crate) struct TransportHooks(pub(crate) Arc<Mailer>);

#[async_trait]
impl Hooks for TransportHooks {
    async fn prepare(&self, _unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let template = new.get("email_template").and_then(|t| t.as_str()).unwrap_or_default();
        // A file that vanished must not keep administrators from changing other fields.
        if old.is_some_and(|old| old.text("email_template") == template) || self.0.templates.knows(template) {
            return Ok(());
        }
        Err(ApiError::field("email_template", format!("Invalid template '{template}' specified.")))
    }

    async fn present(&self, _cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let mode = row.doc.get("mode").cloned().unwrap_or_default();
            let mode: TransportMode = serde_json::from_value(mode).unwrap_or_default();
            answer.insert("mode_verbose".to_owned(), mode.verbose().into());
        }
        Ok(())
    }
}
