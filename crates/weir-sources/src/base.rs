//! What all kinds of sources have, and the fields of their answers that follow from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::{FieldErrors, Map, Ref, Slug};
use weir_flow::{Flow, media};
use weir_policy::engine::Mode;
use weir_resource::{AnyPropertyMapping, Site, Stored};

/// How a person at the source becomes a user here. An identity that is connected already always signs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserMatchingMode {
    /// Whoever is not connected enrols.
    #[default]
    Identifier,
    /// A user with the same mail address is connected.
    EmailLink,
    /// A user with the same mail address keeps the person out.
    EmailDeny,
    /// A user with the same username is connected.
    UsernameLink,
    /// A user with the same username keeps the person out.
    UsernameDeny,
}

/// How a group of the source becomes a group here. A group that is connected already always counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupMatchingMode {
    /// A group that is not connected is made.
    #[default]
    Identifier,
    /// A group of the same name is connected.
    NameLink,
    /// A group of the same name is left alone, and the source's is passed over.
    NameDeny,
}

fn yes() -> bool {
    true
}

fn path_template() -> String {
    "goauthentik.io/sources/%(slug)s".to_owned()
}

/// The fields of every source.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SourceBase {
    /// Name for people.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Unique name for addresses.
    pub slug: Slug,
    /// Whether people may sign in with it.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The button on the sign-in page stands out.
    #[serde(default)]
    pub promoted: bool,
    /// Flow for people who are known here.
    #[serde(default)]
    pub authentication_flow: Option<Ref<Flow>>,
    /// Flow for people who are new here.
    #[serde(default)]
    pub enrollment_flow: Option<Ref<Flow>>,
    /// Mappings that make a user out of what the source tells.
    #[serde(default)]
    pub user_property_mappings: Vec<Ref<AnyPropertyMapping>>,
    /// Mappings that make a group out of what the source tells.
    #[serde(default)]
    pub group_property_mappings: Vec<Ref<AnyPropertyMapping>>,
    /// How policies bound to the source combine.
    #[serde(default)]
    pub policy_engine_mode: Mode,
    /// How a person becomes a user.
    #[serde(default)]
    pub user_matching_mode: UserMatchingMode,
    /// Set when the server keeps this source.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub managed: Option<String>,
    /// Path of new users; `%(slug)s` is the source's slug.
    #[serde(default = "path_template")]
    #[schemars(length(min = 1))]
    pub user_path_template: String,
    /// Picture of the button: an address, or the name of a file.
    #[serde(default)]
    pub icon: String,
}

impl SourceBase {
    /// Rules across fields.
    pub fn check(&self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let path = self.user_path();
        if path.starts_with('/') || path.ends_with('/') {
            errors.add("user_path_template", "No leading or trailing slashes allowed.", "invalid");
        } else if path.split('/').any(str::is_empty) {
            errors.add("user_path_template", "No empty segments in user path allowed.", "invalid");
        }
        errors
    }

    /// Path of new users.
    pub fn user_path(&self) -> String {
        self.user_path_template.replace("%(slug)s", &self.slug.0)
    }
}

/// Adds the read-only fields that all sources have.
pub fn add_pictures(site: &Site, row: &Stored, answer: &mut Map) {
    let icon = row.text("icon");
    let address = Some(icon).filter(|icon| !icon.is_empty()).map(|icon| media::address(site, icon));
    answer.insert("icon_url".to_owned(), address.map_or(Value::Null, Value::from));
    answer.insert("icon_themed_urls".to_owned(), media::themed(site, icon));
}
