//! Brands: how a domain looks and which flows it uses.

use crate::kind;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;
use weir_core::{ApiError, Map, Ref, Resource, resource::UuidKeyed, types::RefTarget};
use weir_resource::{Hooks, Site, Snapshot, Stored, Unit};

/// Any flow, as target of a reference.
pub struct AnyFlow;
impl RefTarget for AnyFlow {
    const MODEL: &'static str = "authentik_flows.flow";
    type Pk = Uuid;
}

/// Any application, as target of a reference.
pub struct AnyApplication;
impl RefTarget for AnyApplication {
    const MODEL: &'static str = "authentik_core.application";
    type Pk = Uuid;
}

/// Any certificate, as target of a reference.
pub struct AnyCertificate;
impl RefTarget for AnyCertificate {
    const MODEL: &'static str = "authentik_crypto.certificatekeypair";
    type Pk = Uuid;
}

/// A brand.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Brand {
    /// Hosts that end with this text belong to the brand; the longest match wins.
    #[schemars(length(min = 1))]
    pub domain: String,
    /// Serves hosts that no brand matches.
    #[serde(default)]
    pub default: bool,
    /// Name of the product.
    #[serde(default = "title")]
    #[schemars(length(min = 1))]
    pub branding_title: String,
    /// Logo.
    #[serde(default = "logo")]
    #[schemars(length(min = 1))]
    pub branding_logo: String,
    /// Icon of the browser tab.
    #[serde(default = "favicon")]
    #[schemars(length(min = 1))]
    pub branding_favicon: String,
    /// Style sheet put into every page.
    #[serde(default)]
    pub branding_custom_css: String,
    /// Background of flows that have none of their own.
    #[serde(default = "background")]
    #[schemars(length(min = 1))]
    pub branding_default_flow_background: String,
    /// Source of map tiles.
    #[serde(default)]
    pub branding_map_tiles: String,
    /// Flow to sign in.
    #[serde(default)]
    pub flow_authentication: Option<Ref<AnyFlow>>,
    /// Flow to switch between accounts.
    #[serde(default)]
    pub flow_user_switch: Option<Ref<AnyFlow>>,
    /// Flow to sign out.
    #[serde(default)]
    pub flow_invalidation: Option<Ref<AnyFlow>>,
    /// Flow for people who cannot sign in.
    #[serde(default)]
    pub flow_recovery: Option<Ref<AnyFlow>>,
    /// Flow to delete one's account.
    #[serde(default)]
    pub flow_unenrollment: Option<Ref<AnyFlow>>,
    /// Flow to change one's settings.
    #[serde(default)]
    pub flow_user_settings: Option<Ref<AnyFlow>>,
    /// Flow for device codes.
    #[serde(default)]
    pub flow_device_code: Option<Ref<AnyFlow>>,
    /// Flow to lock an account down.
    #[serde(default)]
    pub flow_lockdown: Option<Ref<AnyFlow>>,
    /// Flow to ask for access.
    #[serde(default)]
    pub flow_request: Option<Ref<AnyFlow>>,
    /// Application external users are sent to.
    #[serde(default)]
    pub default_application: Option<Ref<AnyApplication>>,
    /// Certificate of the web server.
    #[serde(default)]
    pub web_certificate: Option<Ref<AnyCertificate>>,
    /// Certificates that client certificates are checked against.
    #[serde(default)]
    pub client_certificates: Vec<Ref<AnyCertificate>>,
    /// Free attributes: the lowest layer of users' settings.
    #[serde(default)]
    pub attributes: Map,
}

fn title() -> String {
    "authentik".to_owned()
}
fn logo() -> String {
    "/static/dist/assets/icons/icon_left_brand.svg".to_owned()
}
fn favicon() -> String {
    "/static/dist/assets/icons/icon.png".to_owned()
}
fn background() -> String {
    "/static/dist/assets/images/flow_background.jpg".to_owned()
}

impl UuidKeyed for Brand {}

impl Resource for Brand {
    const MODEL: &'static str = "authentik_brands.brand";
    const PATH: &'static str = "core/brands";
    const SCHEMA: &'static str = "Brand";
    const VERBOSE: &'static str = "Brand";
    const COMPONENT: &'static str = "ak-brand-form";
    const PK: &'static str = "brand_uuid";
    const PARAM: &'static str = "brand_uuid";
    const SEARCH: &'static [&'static str] = &["domain", "branding_title"];
    const ORDER: &'static str = "domain";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["domain"]];
}

impl Brand {
    /// A brand with defaults for everything but the domain.
    pub fn of_domain(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            default: false,
            branding_title: title(),
            branding_logo: logo(),
            branding_favicon: favicon(),
            branding_custom_css: String::new(),
            branding_default_flow_background: background(),
            branding_map_tiles: String::new(),
            flow_authentication: None,
            flow_user_switch: None,
            flow_invalidation: None,
            flow_recovery: None,
            flow_unenrollment: None,
            flow_user_settings: None,
            flow_device_code: None,
            flow_lockdown: None,
            flow_request: None,
            default_application: None,
            web_certificate: None,
            client_certificates: Vec::new(),
            attributes: Map::new(),
        }
    }

    /// The language for people who chose none.
    pub fn default_locale(&self) -> &str {
        let settings = self.attributes.get("settings");
        settings.and_then(|s| s.get("locale")?.as_str()).unwrap_or_default()
    }

    /// Light, dark or automatic.
    pub fn theme(&self) -> &str {
        let settings = self.attributes.get("settings");
        let theme = settings.and_then(|s| s.get("theme")?.get("base")?.as_str());
        theme.filter(|t| ["automatic", "light", "dark"].contains(t)).unwrap_or("automatic")
    }

    /// `{app, model_name, pk, name}` for events.
    pub fn event_brand(&self, id: Option<Uuid>) -> Value {
        let pk = id.map(|id| id.simple().to_string()).unwrap_or_default();
        json!({"app": "authentik_brands", "model_name": "brand", "pk": pk, "name": format!("Brand {}", self.domain)})
    }
}

/// See [`Brand`].
pub struct BrandHooks;

#[async_trait]
impl Hooks for BrandHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let is_default = |doc: &Map| doc.get("default").and_then(Value::as_bool).unwrap_or(false);
        let own = old.map(|o| o.pk.as_str());
        let other = unit
            .snapshot
            .of_model(kind::<Brand>(unit.site)?.model)
            .any(|o| is_default(&o.doc) && Some(o.id.to_string().as_str()) != own);
        if is_default(new) && other {
            return Err(ApiError::field("default", "Only a single brand can be set as default."));
        }
        Ok(())
    }
}

static FALLBACK: LazyLock<Arc<Brand>> = LazyLock::new(|| Arc::new(Brand::of_domain("fallback")));

/// A host without its port.
fn without_port(host: &str) -> &str {
    match (host.rfind(']'), host.rfind(':')) {
        (Some(end), _) => host.get(..=end).unwrap_or(host),
        // More than one colon and no bracket: an address, not a port.
        (None, Some(colon)) if host.find(':') == Some(colon) => host.get(..colon).unwrap_or(host),
        _ => host,
    }
}

/// The brand of a host: the longest domain the host ends with, else the default brand, else a built-in one.
pub fn brand_for_host(snapshot: &Snapshot, host: &str) -> (Option<Uuid>, Arc<Brand>) {
    let host = without_port(host.trim()).to_lowercase();
    let mut best: Option<(Uuid, Arc<Brand>)> = None;
    let mut default = None;
    for (id, brand) in snapshot.all::<Brand>() {
        if brand.default && default.is_none() {
            default = Some((id, Arc::clone(&brand)));
        }
        let longer = best.as_ref().is_none_or(|(_, b)| brand.domain.len() > b.domain.len());
        if longer && host.ends_with(&brand.domain.to_lowercase()) {
            best = Some((id, brand));
        }
    }
    match best.or(default) {
        Some((id, brand)) => (Some(id), brand),
        None => (None, Arc::clone(&FALLBACK)),
    }
}

/// The public description of a host's brand (contract schema `CurrentBrand`).
pub fn current_brand(site: &Site, snapshot: &Snapshot, host: &str) -> Value {
    let (_, brand) = brand_for_host(snapshot, host);
    let settings = &snapshot.settings;
    let flag = |name: &str| settings.flags.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut shown = json!({
        "matched_domain": brand.domain,
        "branding_title": brand.branding_title,
        "branding_logo": site.picture(&brand.branding_logo),
        "branding_logo_themed_urls": site.themed_picture(&brand.branding_logo),
        "branding_favicon": site.picture(&brand.branding_favicon),
        "branding_favicon_themed_urls": site.themed_picture(&brand.branding_favicon),
        "branding_custom_css": brand.branding_custom_css,
        "branding_map_tiles": brand.branding_map_tiles,
        "ui_footer_links": settings.footer_links,
        "ui_theme": brand.theme(),
        "default_locale": brand.default_locale(),
        "flags": {
            "flows_continuous_login": flag("flows_continuous_login"),
            "flows_refresh_others": flag("flows_refresh_others"),
        },
    });
    let flows = [
        ("flow_authentication", &brand.flow_authentication),
        ("flow_user_switch", &brand.flow_user_switch),
        ("flow_invalidation", &brand.flow_invalidation),
        ("flow_recovery", &brand.flow_recovery),
        ("flow_unenrollment", &brand.flow_unenrollment),
        ("flow_user_settings", &brand.flow_user_settings),
        ("flow_device_code", &brand.flow_device_code),
        ("flow_lockdown", &brand.flow_lockdown),
        ("flow_request", &brand.flow_request),
    ];
    if let Some(shown) = shown.as_object_mut() {
        for (name, flow) in flows {
            if let Some(flow) = flow.as_ref().and_then(|f| snapshot.find_kind(AnyFlow::MODEL, f.uuid())) {
                shown.insert(name.to_owned(), flow.text("slug").into());
            }
        }
    }
    shown
}
