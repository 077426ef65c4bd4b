//! Google Workspace, by its directory interface.

mod target;

use crate::{
    connection::Tables,
    engine::Engine,
    target::{Common, DeleteAction, Kind, Target, Terms, read},
    tokens::Tokens,
    wire::{Failure, Wire},
};
use async_trait::async_trait;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use target::Google;
use weir_core::{Family, Map, Ref, Resource};
use weir_identity::Group;
use weir_resource::Stored;
use weir_store::StoreError;

/// Life of a statement by which a token is asked for, in seconds.
const STATEMENT: i64 = 600;
const API: &str = "https://admin.googleapis.com";
const TOKENS: &str = "https://oauth2.googleapis.com/token";

fn scopes() -> String {
    "https://www.googleapis.com/auth/admin.directory.user,https://www.googleapis.com/auth/admin.directory.group,\
     https://www.googleapis.com/auth/admin.directory.group.member,\
     https://www.googleapis.com/auth/admin.directory.domain.readonly"
        .to_owned()
}

/// Keeps the users and groups of a Google Workspace as they are here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GoogleWorkspaceProvider {
    /// Name for people.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The settings of all kinds.
    #[serde(flatten)]
    pub common: Common,
    /// The administrator of the workspace in whose name calls are made.
    #[schemars(length(min = 1, max = 254), extend("format" = "email"))]
    pub delegated_subject: String,
    /// The service account's key file. Its private key is not given back; without a new one it stays.
    pub credentials: Map,
    /// What the service account may do, separated by commas.
    #[serde(default = "scopes")]
    #[schemars(length(min = 1))]
    pub scopes: String,
    /// Only members of this group.
    #[serde(default)]
    pub filter_group: Option<Ref<Group>>,
    /// What happens there to users who are gone here.
    #[serde(default)]
    pub user_delete_action: DeleteAction,
    /// What happens there to groups that are gone here.
    #[serde(default)]
    pub group_delete_action: DeleteAction,
    /// Domain of the addresses of groups.
    #[schemars(length(min = 1))]
    pub default_group_email_domain: String,
}

impl weir_core::types::RefTarget for GoogleWorkspaceProvider {
    const MODEL: &'static str = <Self as Resource>::MODEL;
    const NUMBERED: bool = true;
    type Pk = i64;
}

impl Resource for GoogleWorkspaceProvider {
    const MODEL: &'static str = "authentik_providers_google_workspace.googleworkspaceprovider";
    const PATH: &'static str = "providers/google_workspace";
    const SCHEMA: &'static str = "GoogleWorkspaceProvider";
    const VERBOSE: &'static str = "Google Workspace Provider";
    const COMPONENT: &'static str = "ak-provider-google-workspace-form";
    const FAMILY: Option<Family> = Some(Family::Provider);
    const PARAM: &'static str = "id";
    const SECRET_PARTS: &'static [(&'static str, &'static str)] = &[("credentials", "private_key")];
}

/// The kind of provider.
#[derive(Default)]
pub struct GoogleKind {
    tokens: Tokens,
}

const TABLES: Tables = Tables { users: "sync_google_user", groups: "sync_google_group", id: "google_id" };

/// The statement by which the service account asks for a token in the name of an administrator (RFC 7523).
fn statement(settings: &GoogleWorkspaceProvider, audience: &str, now: i64) -> Result<String, Failure> {
    let text = |name: &str| settings.credentials.get(name).and_then(Value::as_str).unwrap_or_default();
    let key = EncodingKey::from_rsa_pem(text("private_key").as_bytes());
    let key = key.map_err(|_| Failure::Stop("The private key of the service account cannot be read.".to_owned()))?;
    let claims = json!({
        "iss": text("client_email"),
        "sub": settings.delegated_subject,
        "scope": settings.scopes.split(',').map(str::trim).collect::<Vec<_>>().join(" "),
        "aud": audience,
        "iat": now,
        "exp": now + STATEMENT,
    });
    let kid = Some(text("private_key_id").to_owned()).filter(|id| !id.is_empty());
    let header = Header { kid, ..Header::new(Algorithm::RS256) };
    let signed = jsonwebtoken::encode(&header, &claims, &key);
    signed.map_err(|_| Failure::Stop("The statement for a token cannot be signed.".to_owned()))
}

#[async_trait]
impl Kind for GoogleKind {
    fn model(&self) -> &'static str {
        GoogleWorkspaceProvider::MODEL
    }

    fn tables(&self) -> Tables {
        TABLES
    }

    fn terms(&self, provider: &Stored) -> Result<Terms, Failure> {
        let provider: GoogleWorkspaceProvider = read(provider)?;
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
        let settings: GoogleWorkspaceProvider = read(provider)?;
        let now = engine.site.clock.now();
        let base = engine.services.google_url.clone();
        let when = (number, now);
        let ask = async {
            let url = base.as_ref().map_or_else(|| TOKENS.to_owned(), |base| format!("{base}/token"));
            let form = vec![
                ("grant_type".to_owned(), "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()),
                ("assertion".to_owned(), statement(&settings, &url, now.timestamp())?),
            ];
            wire.token(&url, &form, None).await
        };
        let token = self.tokens.token(when, ask).await?;
        let mut google = Google {
            base: format!("{}/admin/directory/v1", base.as_deref().unwrap_or(API)),
            authorization: format!("Bearer {token}"),
            group_domain: settings.default_group_email_domain,
            user_action: settings.user_delete_action,
            group_action: settings.group_delete_action,
            domains: Vec::new(),
        };
        google.domains = self.tokens.domains(when, google.ask_domains(wire)).await?;
        Ok(Box::new(google))
    }

    fn forget(&self, number: i64) {
        self.tokens.forget(number);
    }

    async fn refused(&self, engine: &Engine, number: i64, sent: &str) -> Result<bool, StoreError> {
        Ok(self.tokens.refused((number, engine.site.clock.now()), sent))
    }
}
