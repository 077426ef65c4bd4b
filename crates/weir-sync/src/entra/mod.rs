//! Microsoft Entra, by Microsoft Graph.

mod target;

use crate::{
    connection::Tables,
    engine::Engine,
    scim::{page_size, page_timeout, read, size, span},
    target::{DeleteAction, Kind, Target, Terms, encode},
    tokens::Tokens,
    wire::{Failure, Wire},
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use target::Entra;
use weir_core::{DurationText, Family, Ref, Resource, Secret};
use weir_identity::Group;
use weir_resource::{AnyPropertyMapping, Stored};

const GRAPH: &str = "https://graph.microsoft.com";
const LOGIN: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "https://graph.microsoft.com/.default";

fn yes() -> bool {
    true
}

/// Keeps the users and groups of a Microsoft Entra tenant as they are here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MicrosoftEntraProvider {
    /// Name for people.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Mappings that make the tenant's users.
    #[serde(default)]
    pub property_mappings: Vec<Ref<AnyPropertyMapping>>,
    /// Mappings that make the tenant's groups.
    #[serde(default)]
    pub property_mappings_group: Vec<Ref<AnyPropertyMapping>>,
    /// Client id of this site's registration.
    #[schemars(length(min = 1))]
    pub client_id: String,
    /// Client secret of this site's registration.
    #[schemars(length(min = 1))]
    pub client_secret: Secret,
    /// The tenant.
    #[schemars(length(min = 1))]
    pub tenant_id: String,
    /// Accounts of programs are left out.
    #[serde(default)]
    pub exclude_users_service_account: bool,
    /// Only members of this group.
    #[serde(default)]
    pub filter_group: Option<Ref<Group>>,
    /// What happens there to users who are gone here.
    #[serde(default)]
    pub user_delete_action: DeleteAction,
    /// What happens there to groups that are gone here.
    #[serde(default)]
    pub group_delete_action: DeleteAction,
    /// Objects of a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 2147483647))]
    pub sync_page_size: i32,
    /// Users and groups that are there already are looked for.
    #[serde(default = "yes")]
    pub discovery_enabled: bool,
    /// Time for a page.
    #[serde(default = "page_timeout")]
    pub sync_page_timeout: DurationText,
    /// Nothing is changed there.
    #[serde(default)]
    pub dry_run: bool,
}

impl weir_core::types::RefTarget for MicrosoftEntraProvider {
    const MODEL: &'static str = <Self as Resource>::MODEL;
    const NUMBERED: bool = true;
    type Pk = i64;
}

impl Resource for MicrosoftEntraProvider {
    const MODEL: &'static str = "authentik_providers_microsoft_entra.microsoftentraprovider";
    const PATH: &'static str = "providers/microsoft_entra";
    const SCHEMA: &'static str = "MicrosoftEntraProvider";
    const VERBOSE: &'static str = "Microsoft Entra Provider";
    const COMPONENT: &'static str = "ak-provider-microsoft-entra-form";
    const FAMILY: Option<Family> = Some(Family::Provider);
    const PARAM: &'static str = "id";
}

/// The kind of provider.
#[derive(Default)]
pub struct EntraKind {
    tokens: Tokens,
}

const TABLES: Tables = Tables { users: "sync_entra_user", groups: "sync_entra_group", id: "microsoft_id" };

#[async_trait]
impl Kind for EntraKind {
    fn model(&self) -> &'static str {
        MicrosoftEntraProvider::MODEL
    }

    fn tables(&self) -> Tables {
        TABLES
    }

    fn terms(&self, provider: &Stored) -> Result<Terms, Failure> {
        let provider: MicrosoftEntraProvider = read(provider)?;
        Ok(Terms {
            user_mappings: provider.property_mappings,
            group_mappings: provider.property_mappings_group,
            exclude_service_accounts: provider.exclude_users_service_account,
            filter_group: provider.filter_group.map(|group| *group.pk()),
            group_filters: Vec::new(),
            page_size: size(provider.sync_page_size),
            page_timeout: span(&provider.sync_page_timeout),
            dry_run: provider.dry_run,
            discovery: provider.discovery_enabled,
            verify: true,
        })
    }

    async fn open<'a>(
        &'a self,
        engine: &'a Engine,
        number: i64,
        provider: &Stored,
        wire: &Wire<'_>,
    ) -> Result<Box<dyn Target + 'a>, Failure> {
        let settings: MicrosoftEntraProvider = read(provider)?;
        let now = engine.site.clock.now();
        let base = engine.services.microsoft_url.clone();
        let token = match self.tokens.find(number, now) {
            Some(token) => token,
            None => {
                let login = base.as_deref().unwrap_or(LOGIN);
                let url = format!("{login}/{}/oauth2/v2.0/token", encode(&settings.tenant_id));
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", &settings.client_id),
                    ("client_secret", &settings.client_secret.0),
                    ("scope", SCOPE),
                ];
                let form: Vec<(String, String)> =
                    form.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                self.tokens.keep(number, now, &wire.token(&url, &form, None).await?)
            }
        };
        let mut entra = Entra {
            base: format!("{}/v1.0", base.as_deref().unwrap_or(GRAPH)),
            authorization: format!("Bearer {token}"),
            user_action: settings.user_delete_action,
            group_action: settings.group_delete_action,
            domains: Vec::new(),
        };
        entra.domains = match self.tokens.domains(number, now) {
            Some(domains) => domains,
            None => self.tokens.keep_domains(number, now, entra.ask_domains(wire).await?),
        };
        Ok(Box::new(entra))
    }

    fn forget(&self, number: i64) {
        self.tokens.forget(number);
    }
}
