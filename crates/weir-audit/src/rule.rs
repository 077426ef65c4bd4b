//! Rules: which events tell whom, and by what way.

use crate::NotificationTransport;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use weir_core::{ApiError, Map, Ref, Resource, resource::UuidKeyed};
use weir_identity::{Group, kind};
use weir_resource::{Hooks, Presenting, Stored, present};

/// How urgent a notification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    #[default]
    Notice,
    /// Worth a look.
    Warning,
    /// Somebody has to do something.
    Alert,
}

impl Severity {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Alert => "alert",
        }
    }
}

/// Sends notifications of the events that a policy bound to it picks. Without bindings it picks none.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotificationRule {
    /// Name of the rule.
    #[schemars(length(min = 1))]
    pub name: String,
    /// By what ways; without any the rule does nothing.
    #[serde(default)]
    #[schemars(extend("x-on-delete" = "drop"))]
    pub transports: Vec<Ref<NotificationTransport>>,
    /// How urgent its notifications are.
    #[serde(default)]
    pub severity: Severity,
    /// Its members are told.
    #[serde(default)]
    #[schemars(extend("x-on-delete" = "set_null"))]
    pub destination_group: Option<Ref<Group>>,
    /// The user of the event is told.
    #[serde(default)]
    pub destination_event_user: bool,
}

impl UuidKeyed for NotificationRule {}
impl Resource for NotificationRule {
    const MODEL: &'static str = "authentik_events.notificationrule";
    const PATH: &'static str = "events/rules";
    const SCHEMA: &'static str = "NotificationRule";
    const VERBOSE: &'static str = "Notification Rule";
    const PARAM: &'static str = "pbm_uuid";
    const POLICY_TARGET: bool = true;
}

/// See [`NotificationRule`].
pub(crate) struct RuleHooks;

#[async_trait]
impl Hooks for RuleHooks {
    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let mut keys: Vec<String> = rows.iter().map(|row| row.text("destination_group").to_owned()).collect();
        keys.retain(|key| !key.is_empty());
        keys.sort();
        keys.dedup();
        let groups = cx.site.find_many(kind::<Group>(cx.site)?, &keys).await?;
        // A group may have many members, and nobody asked for them here.
        let query = [("include_users".to_owned(), "false".to_owned())];
        let shown = present(&Presenting { query: &query, ..*cx }, &groups).await?;
        let shown: BTreeMap<&str, &Map> = groups.iter().map(|group| group.pk.as_str()).zip(&shown).collect();
        for (row, answer) in rows.iter().zip(answers) {
            let group = shown.get(row.text("destination_group"));
            let shown = group.map_or(Value::Null, |group| Value::Object((*group).clone()));
            answer.insert("destination_group_obj".to_owned(), shown);
            // The key of a rule is what policies are bound to.
            answer.remove("policybindingmodel_ptr_id");
        }
        Ok(())
    }
}
