//! SCIM 2 (RFC 7643, 7644): any application that speaks it.

mod allow;
mod auth;
mod config;
mod target;

use crate::{
    connection::Tables,
    engine::Engine,
    target::{Common, Kind, Target, Terms, read},
    wire::{Failure, Wire},
};
pub use allow::{TokenHooks, pages};
use async_trait::async_trait;
#[cfg(test)]
pub(crate) use auth::refused;
use config::{Abilities, Known};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use target::Scim;
use weir_core::{DurationText, Family, FieldErrors, Map, Ref, Resource, Secret};
use weir_identity::Group;
use weir_resource::Stored;
use weir_sources::oauth::OAuthSource;
use weir_store::StoreError;

/// How this site proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SCIMAuthenticationMode {
    /// A fixed token.
    #[default]
    Token,
    /// Tokens of an OAuth provider, asked for in the name of this site.
    Oauth,
    /// Tokens of an OAuth provider, allowed once by a person.
    OauthInteractive,
}

/// What is special about the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompatibilityMode {
    /// Nothing.
    #[default]
    Default,
    /// AWS: changes of groups name their attributes one by one.
    Aws,
    /// Slack: filters work although they are not announced.
    Slack,
    /// Salesforce: what the server can do stands at another address.
    Sfdc,
    /// GitLab.
    Gitlab,
    /// Webex.
    Webex,
    /// vCenter: it is not asked what it can do, and changes are sent whole.
    Vcenter,
}

fn yes() -> bool {
    true
}

fn hour() -> DurationText {
    "hours=1".into()
}

/// Keeps the users and groups of an application that speaks SCIM as they are here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SCIMProvider {
    /// Name for people.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The settings of all kinds.
    #[serde(flatten)]
    pub common: Common,
    /// Address of the application's SCIM interface; most end in `/v2`.
    #[schemars(length(min = 1))]
    pub url: String,
    /// The application must show a certificate that is trusted here.
    #[serde(default = "yes")]
    pub verify_certificates: bool,
    /// The fixed token.
    #[serde(default)]
    pub token: Secret,
    /// How this site proves who it is.
    #[serde(default)]
    pub auth_mode: SCIMAuthenticationMode,
    /// The OAuth source whose provider gives tokens.
    #[serde(default)]
    pub auth_oauth: Option<Ref<OAuthSource>>,
    /// Further parameters of the request for tokens, such as `grant_type`.
    #[serde(default)]
    pub auth_oauth_params: Map,
    /// What is special about the application.
    #[serde(default)]
    pub compatibility_mode: CompatibilityMode,
    /// How long it is remembered what the application can do; `minutes=0` asks each time.
    #[serde(default = "hour")]
    pub service_provider_config_cache_timeout: DurationText,
    /// Only these groups; all when empty.
    #[serde(default)]
    pub group_filters: Vec<Ref<Group>>,
}

impl weir_core::types::RefTarget for SCIMProvider {
    const MODEL: &'static str = <Self as Resource>::MODEL;
    const NUMBERED: bool = true;
    type Pk = i64;
}

impl Resource for SCIMProvider {
    const MODEL: &'static str = "authentik_providers_scim.scimprovider";
    const PATH: &'static str = "providers/scim";
    const SCHEMA: &'static str = "SCIMProvider";
    const VERBOSE: &'static str = "SCIM Provider";
    const COMPONENT: &'static str = "ak-provider-scim-form";
    const FAMILY: Option<Family> = Some(Family::Provider);
    const PARAM: &'static str = "id";

    fn check(&self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let is_web = url::Url::parse(&self.url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
        if !is_web {
            errors.add("url", "Enter a valid URL.", "invalid");
        }
        errors
    }
}

/// The kind of provider.
#[derive(Default)]
pub struct ScimKind {
    known: Known,
    asking: Mutex<HashMap<i64, Arc<tokio::sync::Mutex<()>>>>,
}

impl ScimKind {
    /// Who holds this asks for the token of a provider: what renews one may be good only once.
    fn asking(&self, number: i64) -> Arc<tokio::sync::Mutex<()>> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(asking.entry(number).or_default())
    }
}

const TABLES: Tables = Tables { users: "sync_scim_user", groups: "sync_scim_group", id: "scim_id" };

#[async_trait]
impl Kind for ScimKind {
    fn model(&self) -> &'static str {
        SCIMProvider::MODEL
    }

    fn tables(&self) -> Tables {
        TABLES
    }

    fn terms(&self, provider: &Stored) -> Result<Terms, Failure> {
        let provider: SCIMProvider = read(provider)?;
        Ok(Terms {
            filter_group: None,
            group_filters: provider.group_filters.iter().map(|group| *group.pk()).collect(),
            common: provider.common,
            verify: provider.verify_certificates,
        })
    }

    async fn open<'a>(
        &'a self,
        engine: &'a Engine,
        number: i64,
        provider: &Stored,
        wire: &Wire<'_>,
    ) -> Result<Box<dyn Target + 'a>, Failure> {
        let settings: SCIMProvider = read(provider)?;
        let authorization = {
            let asking = self.asking(number);
            let _one = asking.lock().await;
            auth::authorization(engine, number, &settings, wire).await?
        };
        let mut scim = Scim {
            base: settings.url.trim_end_matches('/').to_owned(),
            mode: settings.compatibility_mode,
            authorization,
            page_size: settings.common.page_size(),
            abilities: Arc::new(Abilities::default()),
        };
        let now = engine.site.clock.now();
        let life = settings.service_provider_config_cache_timeout.delta();
        scim.abilities = self.known.get(number, now, life, &scim, wire).await?;
        Ok(Box::new(scim))
    }

    fn forget(&self, number: i64) {
        self.known.forget(number);
    }

    async fn refused(&self, engine: &Engine, number: i64, sent: &str) -> Result<bool, StoreError> {
        auth::refused(&engine.site.db, engine.site.clock.now(), number, sent).await
    }
}
