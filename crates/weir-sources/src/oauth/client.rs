//! The site as a client of a provider: the authorization request, and what a code is redeemed for.

use super::{
    OAuthSource, apple,
    config::{AuthMethod, Pkce},
    providers::{ClientAuth, Quirk},
};
use crate::remote::{self, Proof, Trouble};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;
use weir_core::Map;
use weir_policy::outbound::Outbound;

/// What one sign-in is tied together by.
pub struct Ties<'a> {
    /// Comes back with the answer.
    pub state: &'a str,
    /// Comes back inside the signed statement.
    pub nonce: &'a str,
    /// Shown when the code is redeemed.
    pub verifier: &'a str,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
}

/// The proof of possession in use: some providers insist on one.
fn pkce(source: &OAuthSource) -> Pkce {
    if source.provider_type.facts().needs_pkce { Pkce::S256 } else { source.pkce }
}

/// The client id alone.
pub fn client_id(source: &OAuthSource) -> &str {
    let key = source.consumer_key.as_str();
    match source.provider_type.facts().quirk {
        Quirk::Apple => key.split(';').next().unwrap_or(key),
        _ => key,
    }
}

/// The address that a browser is sent to.
///
/// # Errors
/// When the source has none.
pub fn authorization_request(source: &OAuthSource, ties: &Ties<'_>) -> Result<Url, Trouble> {
    let facts = source.provider_type.facts();
    let address = source.authorization_address().unwrap_or_default();
    let mut url = Url::parse(address).map_err(|_| Trouble::new("The source has no authorization address."))?;
    // Parameters of ours win over those of the address: a second `state` would be a matter of luck.
    const OURS: [&str; 9] = [
        "response_type",
        "client_id",
        "appid",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
    ];
    let own: Vec<(String, String)> =
        url.query_pairs().into_owned().filter(|(name, _)| !OURS.contains(&name.as_str())).collect();
    let scopes = source.scopes();
    let mut query = url.query_pairs_mut();
    query.clear().extend_pairs(own);
    let id_name = if facts.quirk == Quirk::WeChat { "appid" } else { "client_id" };
    query.append_pair("response_type", "code").append_pair(id_name, client_id(source));
    query.append_pair("redirect_uri", ties.redirect_uri);
    if !scopes.is_empty() {
        query.append_pair("scope", &scopes);
    }
    query.append_pair("state", ties.state);
    if expects_statement(source) {
        query.append_pair("nonce", ties.nonce);
    }
    match pkce(source) {
        Pkce::Off => {}
        Pkce::Plain => {
            query.append_pair("code_challenge", ties.verifier).append_pair("code_challenge_method", "plain");
        }
        Pkce::S256 => {
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(ties.verifier.as_bytes()));
            query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
        }
    }
    for (name, value) in facts.extra {
        query.append_pair(name, value);
    }
    drop(query);
    if facts.quirk == Quirk::WeChat {
        url.set_fragment(Some("wechat_redirect"));
    }
    Ok(url)
}

/// Whether the provider gives a signed statement about the person.
pub fn expects_statement(source: &OAuthSource) -> bool {
    source.provider_type.facts().quirk == Quirk::Apple || source.scopes().split(' ').any(|scope| scope == "openid")
}

/// What a code was redeemed for.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Opens the profile.
    pub access: String,
    /// Gets new ones.
    pub refresh: Option<String>,
    /// Signed statement about the person.
    pub statement: Option<String>,
    /// End of the access token.
    pub expires: Option<DateTime<Utc>>,
    /// The whole answer, for mappings.
    pub answer: Map,
}

impl Tokens {
    fn read(value: Value, now: DateTime<Utc>) -> Result<Self, Trouble> {
        let Value::Object(answer) = value else {
            return Err(Trouble::new("The provider's answer to the code is no object."));
        };
        let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
        let access = text("access_token").ok_or_else(|| Trouble::new("The provider gave no access token."))?;
        let life = answer.get("expires_in").and_then(|v| v.as_i64().or_else(|| v.as_str()?.parse().ok()));
        // Longer than a century is no promise anybody can keep.
        let life = life.filter(|secs| (0..3_200_000_000).contains(secs)).map(TimeDelta::seconds);
        Ok(Self {
            refresh: text("refresh_token"),
            statement: text("id_token"),
            expires: life.map(|life| now + life),
            access,
            answer,
        })
    }
}

/// Redeems a code.
///
/// # Errors
/// When the provider refuses or cannot be reached.
pub async fn redeem(
    outbound: &Outbound,
    now: DateTime<Utc>,
    source: &OAuthSource,
    code: &str,
    (verifier, redirect_uri): (&str, &str),
) -> Result<Tokens, Trouble> {
    let facts = source.provider_type.facts();
    let url = source.token_address().ok_or_else(|| Trouble::new("The source has no address to redeem codes."))?;
    let mut form: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: &str| form.push((name.to_owned(), value.to_owned()));
    add("grant_type", "authorization_code");
    add("code", code);
    if facts.quirk == Quirk::WeChat {
        add("appid", client_id(source));
        add("secret", &source.consumer_secret.0);
        let mut address = Url::parse(url).map_err(|_| Trouble::new("The address to redeem codes cannot be read."))?;
        address.query_pairs_mut().extend_pairs(&form);
        return Tokens::read(remote::get(outbound, address.as_str(), &Proof::None).await?, now);
    }
    add("redirect_uri", redirect_uri);
    if pkce(source) != Pkce::Off {
        add("code_verifier", verifier);
    }
    let secret = match facts.quirk {
        Quirk::Apple => apple::client_secret(source, now)?,
        _ => source.consumer_secret.0.clone(),
    };
    let in_header = match facts.client_auth {
        ClientAuth::Basic => true,
        ClientAuth::Body => false,
        ClientAuth::Configured => source.authorization_code_auth_method == AuthMethod::BasicAuth,
    };
    if !in_header {
        add("client_id", client_id(source));
        add("client_secret", &secret);
    }
    let proof = if in_header { Proof::Basic(client_id(source), &secret) } else { Proof::None };
    Tokens::read(remote::post(outbound, url, &proof, &form).await?, now)
}
