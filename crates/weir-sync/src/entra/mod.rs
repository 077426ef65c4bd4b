//! Microsoft Entra, by Microsoft Graph.

mod target;

use crate::{
    connection::Tables,
    engine::Engine,
    target::{Common, DeleteAction, Kind, Target, Terms, encode, read},
    tokens::Tokens,
    wire::{Failure, Wire},
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use target::Entra;
use weir_core::{Family, Ref, Resource, Secret};
use weir_identity::Group;
use weir_resource::Stored;
use weir_store::StoreError;

const GRAPH: &str = "https://graph.microsoft.com";
const LOGIN: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "https://graph.microsoft.com/.default";

/// Keeps the users and groups of a Microsoft Entra tenant as they are here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MicrosoftEntraProvider {
    /// Name for people.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The settings of all kinds.
    #[serde(flatten)]
    pub common: Common,
    /// Client id of this site's registration.
    #[schemars(length(min = 1))]
    pub client_id: String,
    /// Client secret of this site's registration.
    #[schemars(length(min = 1))]
    pub client_secret: Secret,
    /// The tenant.
    #[schemars(length(min = 1))]
    pub tenant_id: String,
    /// Only members of this group.
    #[serde(default)]
    pub filter_group: Option<Ref<Group>>,
    /// What happens there to users who are gone here.
    #[serde(default)]
    pub user_delete_action: DeleteAction,
    /// What happens there to groups that are gone here.
    #[serde(default)]
    pub group_delete_action: DeleteAction,
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
            filter_group: provider.filter_group.map(|group| *group.pk()),
            group_filters: Vec::new(),
            common: provider.common,
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
        let when = (number, now);
        let ask = async {
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
            wire.token(&url, &form, None).await
        };
        let token = self.tokens.token(when, ask).await?;
        let mut entra = Entra {
            base: format!("{}/v1.0", base.as_deref().unwrap_or(GRAPH)),
            authorization: format!("Bearer {token}"),
            user_action: settings.user_delete_action,
            group_action: settings.group_delete_action,
            domains: Vec::new(),
        };
        entra.domains = self.tokens.domains(when, entra.ask_domains(wire)).await?;
        Ok(Box::new(entra))
    }

    fn forget(&self, number: i64) {
        self.tokens.forget(number);
    }

    async fn refused(&self, engine: &Engine, number: i64, sent: &str) -> Result<bool, StoreError> {
        Ok(self.tokens.refused((number, engine.site.clock.now()), sent))
    }
}
