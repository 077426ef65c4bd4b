//! Applications: the definition, where they are launched, and the list that policies decide over.

mod hooks;
mod launch;
mod routes;

pub use hooks::ApplicationHooks;
pub use launch::launch_url;
pub use routes::routes;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{FieldErrors, Ref, Resource, Slug, resource::UuidKeyed};
use weir_policy::Mode;
use weir_resource::AnyProvider;

/// Slugs that are addresses of their own below `/application/o/`.
const TAKEN: [&str; 6] = ["authorize", "token", "device", "userinfo", "introspect", "revoke"];

/// Something people use after signing in here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Application {
    /// Name for people.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Unique name for addresses.
    pub slug: Slug,
    /// The protocol through which people sign in to it.
    #[serde(default)]
    pub provider: Option<Ref<AnyProvider>>,
    /// Providers that serve it from behind: copies of users and groups that are kept for it.
    #[serde(default)]
    pub backchannel_providers: Vec<Ref<AnyProvider>>,
    /// Open it in a new tab.
    #[serde(default)]
    pub open_in_new_tab: bool,
    /// Where it is launched, if not where its provider says. `%(username)s` and the like stand for the user's fields;
    /// `blank://blank` keeps it off people's pages.
    #[serde(default)]
    #[schemars(extend("format" = "uri", "x-kind" = "launch_url"))]
    pub meta_launch_url: String,
    /// Picture: an address, or the name of a file.
    #[serde(default)]
    pub meta_icon: String,
    /// What it is for.
    #[serde(default)]
    pub meta_description: String,
    /// Who makes it.
    #[serde(default)]
    pub meta_publisher: String,
    /// How policies bound to the application combine.
    #[serde(default)]
    pub policy_engine_mode: Mode,
    /// Heading under which it is shown.
    #[serde(default)]
    pub group: String,
    /// Keeps it off people's pages; whoever has access may still use it.
    #[serde(default)]
    pub meta_hide: bool,
}

impl UuidKeyed for Application {}
impl Resource for Application {
    const MODEL: &'static str = "authentik_core.application";
    const PATH: &'static str = "core/applications";
    const SCHEMA: &'static str = "Application";
    const VERBOSE: &'static str = "Application";
    const LOOKUP: &'static str = "slug";
    const PARAM: &'static str = "slug";
    const SEARCH: &'static [&'static str] =
        &["name", "slug", "meta_launch_url", "meta_description", "meta_publisher", "group"];
    const UNIQUE: &'static [&'static [&'static str]] = &[&["slug"], &["provider"]];
    const POLICY_TARGET: bool = true;

    fn check(&self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if TAKEN.contains(&self.slug.0.as_str()) {
            errors.add("slug", "The slug is an address of the site itself; choose another one.", "invalid");
        }
        errors
    }
}
