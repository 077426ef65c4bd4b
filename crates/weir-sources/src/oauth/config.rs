//! Definition of the OAuth source.

use super::providers::ProviderType;
use crate::base::{GroupMatchingMode, SourceBase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, FieldErrors, Map, Resource, Secret, resource::UuidKeyed};

/// Proof that whoever redeems the code is who asked for it (RFC 7636).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pkce {
    /// None.
    #[default]
    #[serde(rename = "none")]
    Off,
    /// The verifier itself.
    #[serde(rename = "plain")]
    Plain,
    /// A hash of the verifier.
    S256,
}

/// How this site proves who it is when it redeems the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// In the `Authorization` header.
    #[default]
    BasicAuth,
    /// In the body.
    PostBody,
}

/// People of an OAuth 2 or OpenID Connect provider.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OAuthSource {
    /// What every source has.
    #[serde(flatten)]
    pub base: SourceBase,
    /// How a group of the source becomes one here.
    #[serde(default)]
    pub group_matching_mode: GroupMatchingMode,
    /// Which provider this is; the addresses follow from it where they are fixed.
    pub provider_type: ProviderType,
    /// Address for request tokens; only OAuth 1 has one, and no provider here speaks it any more.
    #[serde(default)]
    pub request_token_url: Option<String>,
    /// Where people are sent to sign in.
    #[serde(default)]
    pub authorization_url: Option<String>,
    /// Where codes are redeemed.
    #[serde(default)]
    pub access_token_url: Option<String>,
    /// Where the provider tells about the person.
    #[serde(default)]
    pub profile_url: Option<String>,
    /// Proof of possession of the code.
    #[serde(default)]
    pub pkce: Pkce,
    /// Client id at the provider. Apple: client id, team id and key id, joined by `;`.
    #[schemars(length(min = 1))]
    pub consumer_key: String,
    /// Client secret at the provider. Apple: the private key as PEM.
    #[schemars(length(min = 1))]
    pub consumer_secret: Secret,
    /// Further scopes, separated by spaces; with a leading `*` they replace the usual ones.
    #[serde(default)]
    pub additional_scopes: String,
    /// Address of the provider's description of itself; it fills in the other addresses.
    #[serde(default)]
    pub oidc_well_known_url: String,
    /// Address of the provider's public keys.
    #[serde(default)]
    pub oidc_jwks_url: String,
    /// The provider's public keys; fetched when there is an address for them.
    #[serde(default)]
    pub oidc_jwks: Map,
    /// How this site proves who it is when it redeems a code.
    #[serde(default)]
    pub authorization_code_auth_method: AuthMethod,
    /// The issuer that the provider's description names. Kept by the server.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true))]
    pub issuer: String,
}

impl UuidKeyed for OAuthSource {}
impl Resource for OAuthSource {
    const MODEL: &'static str = "authentik_sources_oauth.oauthsource";
    const PATH: &'static str = "sources/oauth";
    const SCHEMA: &'static str = "OAuthSource";
    const VERBOSE: &'static str = "OAuth Source";
    const COMPONENT: &'static str = "ak-source-oauth-form";
    const FAMILY: Option<Family> = Some(Family::Source);
    const LOOKUP: &'static str = "slug";
    const PARAM: &'static str = "slug";
    const SEARCH: &'static [&'static str] = &["slug", "name"];
    const UNIQUE: &'static [&'static [&'static str]] = &[&["slug"]];
    const POLICY_TARGET: bool = true;

    fn check(&self) -> FieldErrors {
        let mut errors = self.base.check();
        let provider = self.provider_type.facts();
        let own = |url: &Option<String>| url.as_ref().is_some_and(|url| !url.is_empty());
        let elsewhere = self.runs_elsewhere();
        // Without a profile only a signed statement tells who somebody is, and that needs keys.
        let unsigned = elsewhere && self.oidc_jwks.is_empty() && self.oidc_jwks_url.is_empty();
        let urls = [
            ("authorization_url", own(&self.authorization_url), provider.authorization_url, true),
            ("access_token_url", own(&self.access_token_url), provider.access_token_url, true),
            ("profile_url", own(&self.profile_url), provider.profile_url, provider.profile_needed || unsigned),
        ];
        // What the provider tells of itself is fetched later when it could not be fetched now.
        let told = !self.oidc_well_known_url.is_empty();
        for (field, given, fixed, needed) in urls {
            if needed && !given && (fixed.is_none() || elsewhere) && !told {
                let text = format!("{} sources need this address.", provider.verbose);
                errors.add(field, text, "required");
            }
        }
        for (field, url) in self.urls() {
            if !url.is_empty() && !is_web_address(url) {
                errors.add(field, "Enter a valid URL.", "invalid");
            }
        }
        errors
    }
}

impl OAuthSource {
    fn urls(&self) -> [(&'static str, &str); 6] {
        [
            ("request_token_url", self.request_token_url.as_deref().unwrap_or_default()),
            ("authorization_url", self.authorization_url.as_deref().unwrap_or_default()),
            ("access_token_url", self.access_token_url.as_deref().unwrap_or_default()),
            ("profile_url", self.profile_url.as_deref().unwrap_or_default()),
            ("oidc_well_known_url", &self.oidc_well_known_url),
            ("oidc_jwks_url", &self.oidc_jwks_url),
        ]
    }

    /// Whether the provider's software runs on servers of somebody else: what is known of the provider's own servers
    /// (addresses, keys, issuers) does not hold there.
    pub fn runs_elsewhere(&self) -> bool {
        let host = |url: Option<&str>| url::Url::parse(url?).ok()?.host_str().map(str::to_owned);
        let facts = self.provider_type.facts();
        let own = host(self.access_token_url.as_deref());
        facts.customizable && own.is_some() && own != host(facts.access_token_url)
    }

    /// An address: the source's own where the provider allows that, else the provider's.
    fn address<'a>(&'a self, own: Option<&'a str>, fixed: Option<&'a str>) -> Option<&'a str> {
        let own = own.filter(|url| !url.is_empty());
        if !self.provider_type.facts().customizable {
            return fixed.or(own);
        }
        own.or(fixed.filter(|_| !self.runs_elsewhere()))
    }

    /// Where people are sent to.
    pub fn authorization_address(&self) -> Option<&str> {
        self.address(self.authorization_url.as_deref(), self.provider_type.facts().authorization_url)
    }

    /// Where codes are redeemed.
    pub fn token_address(&self) -> Option<&str> {
        self.address(self.access_token_url.as_deref(), self.provider_type.facts().access_token_url)
    }

    /// Where the provider tells about the person.
    pub fn profile_address(&self) -> Option<&str> {
        self.address(self.profile_url.as_deref(), self.provider_type.facts().profile_url)
    }

    /// Where the provider's keys are.
    pub fn keys_address(&self) -> Option<&str> {
        self.address(Some(self.oidc_jwks_url.as_str()), self.provider_type.facts().jwks_url)
    }

    /// The scopes to ask for.
    pub fn scopes(&self) -> String {
        let usual = self.provider_type.facts().scopes;
        let (own, replaces) = match self.additional_scopes.trim().strip_prefix('*') {
            Some(rest) => (rest, true),
            None => (self.additional_scopes.trim(), false),
        };
        let mut all: Vec<&str> = if replaces { Vec::new() } else { usual.to_vec() };
        for scope in own.split_whitespace() {
            if !all.contains(&scope) {
                all.push(scope);
            }
        }
        all.join(" ")
    }
}

/// Whether a text is an http(s) address.
pub fn is_web_address(text: &str) -> bool {
    let parsed = url::Url::parse(text);
    text.len() <= 2048 && parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
