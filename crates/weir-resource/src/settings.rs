//! System settings (contract schema `Settings`): one document of the installation, part of the snapshot.

use chrono::TimeDelta;
use flags::default_flags;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{DurationText, Map};

/// What administrators set once for the whole site.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Order of avatar sources.
    pub avatars: String,
    /// Public address used for links in mails; empty to take it from the request.
    pub base_url: String,
    /// Users may change their name.
    pub default_user_change_name: bool,
    /// Users may change their e-mail address.
    pub default_user_change_email: bool,
    /// Users may change their username.
    pub default_user_change_username: bool,
    /// How long events are kept.
    pub event_retention: DurationText,
    /// Smallest reputation score.
    pub reputation_lower_limit: i32,
    /// Largest reputation score.
    pub reputation_upper_limit: i32,
    /// Links at the foot of each page.
    pub footer_links: Value,
    /// Deleting a user deletes their events.
    pub gdpr_compliance: bool,
    /// Impersonation is possible at all.
    pub impersonation: bool,
    /// Impersonation needs a reason.
    pub impersonation_require_reason: bool,
    /// Life of a token whose creator names none.
    pub default_token_duration: DurationText,
    /// Length of generated keys, characters.
    pub default_token_length: i32,
    /// Page size when the client names none.
    pub pagination_default_page_size: i32,
    /// Largest page size.
    pub pagination_max_page_size: i32,
    /// Feature switches.
    pub flags: Map,
}

mod flags {
    use super::{Map, json};
    /// Switches of the contract with their defaults.
    pub fn default_flags() -> Map {
        let flags = json!({
            "core_default_app_access": true,
            "enterprise_audit_include_expanded_diff": false,
            "flows_continuous_login": false,
            "flows_refresh_others": false,
        });
        flags.as_object().cloned().unwrap_or_default()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            avatars: "gravatar,initials".to_owned(),
            base_url: String::new(),
            default_user_change_name: true,
            default_user_change_email: false,
            default_user_change_username: false,
            event_retention: "days=365".into(),
            reputation_lower_limit: -5,
            reputation_upper_limit: 5,
            footer_links: json!([]),
            gdpr_compliance: true,
            impersonation: true,
            impersonation_require_reason: true,
            default_token_duration: "minutes=30".into(),
            default_token_length: 60,
            pagination_default_page_size: 20,
            pagination_max_page_size: 100,
            flags: default_flags(),
        }
    }
}

impl Settings {
    /// How long an event is kept.
    pub fn retention(&self) -> TimeDelta {
        self.event_retention.delta()
    }

    /// Page size for a client's wish, within the limits.
    pub fn page_size(&self, wish: Option<u64>) -> u64 {
        let max = u64::try_from(self.pagination_max_page_size).unwrap_or(100).max(1);
        let default = u64::try_from(self.pagination_default_page_size).unwrap_or(20).max(1);
        wish.unwrap_or(default).clamp(1, max)
    }
}
