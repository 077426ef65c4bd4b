//! What a provider tells about a person: the verified statement, and the profile on top of it.

use super::{
    OAuthSource, apple,
    client::{self, Tokens},
    discovery::Discovery,
    id_token::{self, Expected},
    providers::Quirk,
};
use crate::remote::{self, Proof, Trouble};
use serde_json::{Value, json};
use url::Url;
use weir_core::Map;
use weir_policy::outbound::Outbound;

/// Longest identifier, bytes.
const LONGEST: usize = 1000;
/// Groups looked at; nobody is in more.
const GROUPS: usize = 1000;

/// A person at the provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// What never changes about them.
    pub identifier: String,
    /// Everything that was told.
    pub info: Map,
    /// Username, name and mail address as far as they were told, before any mapping.
    pub properties: Map,
    /// Groups, when the provider tells any: identifier and name.
    pub groups: Option<Vec<(String, String)>>,
    /// The provider says that it has not verified the mail address.
    pub is_mail_unverified: bool,
}

/// Asks about the person to whom the tokens belong.
///
/// # Errors
/// When the provider refuses, cannot be reached, or tells what cannot be right.
pub async fn person(
    outbound: &Outbound,
    discovery: &Discovery,
    tokens: &Tokens,
    expected: &Expected<'_>,
    posted_user: Option<&str>,
) -> Result<Person, Trouble> {
    let source = expected.source;
    let facts = source.provider_type.facts();
    let claims = match &tokens.statement {
        Some(token) => id_token::verify(outbound, discovery, token, expected).await?,
        None => None,
    };
    let has_keys = !source.oidc_jwks.is_empty() || source.keys_address().is_some();
    if claims.is_none() && has_keys && client::expects_statement(source) {
        return Err(Trouble::new("The provider gave no ID token."));
    }
    let profile = match source.profile_address() {
        Some(url) => Some(fetch_profile(outbound, source, url, tokens).await?),
        None => None,
    };
    if let (Some(claims), Some(profile)) = (&claims, &profile) {
        check_same(claims, profile, facts.quirk)?;
    }
    let mut info = claims.unwrap_or_default();
    // Of the protocol, not about the person.
    for key in ["nonce", "at_hash", "c_hash", "s_hash", "exp", "iat", "nbf", "jti"] {
        info.shift_remove(key);
    }
    info.extend(profile.unwrap_or_default());
    if facts.quirk == Quirk::Apple
        && !info.contains_key("name")
        && let Some(name) = apple::full_name(posted_user)
    {
        info.insert("name".to_owned(), name.into());
    }
    read(source, info)
}

async fn fetch_profile(outbound: &Outbound, source: &OAuthSource, url: &str, tokens: &Tokens) -> Result<Map, Trouble> {
    let facts = source.provider_type.facts();
    let proof = Proof::Bearer(&tokens.access);
    let value = if facts.quirk == Quirk::WeChat {
        let mut address = Url::parse(url).map_err(|_| Trouble::new("The address of the profile cannot be read."))?;
        let whose = tokens.answer.get("openid").and_then(Value::as_str).unwrap_or_default();
        address.query_pairs_mut().append_pair("access_token", &tokens.access).append_pair("openid", whose);
        remote::get(outbound, address.as_str(), &Proof::None).await?
    } else {
        remote::get(outbound, url, &proof).await?
    };
    let Value::Object(mut profile) = value else { return Err(Trouble::new("The profile is no object.")) };
    match facts.quirk {
        // Beside the profile; without them the rest still counts.
        Quirk::GitHub => {
            if let Ok(Value::Array(mails)) = remote::get(outbound, &format!("{url}/emails"), &proof).await {
                let is = |mail: &Value, key: &str| mail.get(key) == Some(&Value::Bool(true));
                let main = mails.iter().find(|mail| is(mail, "primary") && is(mail, "verified"));
                if let Some(mail) = main.and_then(|mail| mail.get("email")) {
                    profile.insert("email".to_owned(), mail.clone());
                    profile.insert("email_verified".to_owned(), true.into());
                }
            }
        }
        Quirk::Entra if source.scopes().to_lowercase().contains("groupmember.read.all") => {
            let address = format!("{url}/memberOf?$select=id,displayName&$top=999");
            let answer = remote::get(outbound, &address, &proof).await?;
            profile.insert("groups".to_owned(), answer.get("value").cloned().unwrap_or_else(|| json!([])));
        }
        _ => {}
    }
    Ok(profile)
}

/// Statement and profile must be about the same person (OpenID Connect Core 5.3.2).
fn check_same(claims: &Map, profile: &Map, quirk: Quirk) -> Result<(), Trouble> {
    let (in_claims, in_profile) = if quirk == Quirk::Entra { ("oid", "id") } else { ("sub", "sub") };
    match (claims.get(in_claims), profile.get(in_profile)) {
        (Some(one), Some(other)) if one != other => {
            Err(Trouble::new("ID token and profile are about different people."))
        }
        _ => Ok(()),
    }
}

fn text(info: &Value, pointers: &[&str]) -> Option<String> {
    pointers.iter().find_map(|pointer| match info.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

fn group(value: &Value) -> Option<(String, String)> {
    match value {
        Value::String(name) if !name.is_empty() => Some((name.clone(), name.clone())),
        Value::Object(map) => {
            let whole = Value::Object(map.clone());
            let id = text(&whole, &["/id", "/name", "/displayName"])?;
            let name = text(&whole, &["/displayName", "/name"]).unwrap_or_else(|| id.clone());
            Some((id, name))
        }
        _ => None,
    }
}

/// Finds in what was told what users are made of.
fn read(source: &OAuthSource, info: Map) -> Result<Person, Trouble> {
    let facts = source.provider_type.facts();
    let whole = Value::Object(info);
    let identifier = text(&whole, facts.claims.identifier).filter(|id| id.len() <= LONGEST);
    let identifier = identifier.ok_or_else(|| Trouble::new("The provider tells no identifier of the person."))?;
    let mut properties = Map::new();
    let fields = [("username", facts.claims.username), ("name", facts.claims.name), ("email", facts.claims.email)];
    for (field, pointers) in fields {
        if let Some(value) = text(&whole, pointers) {
            properties.insert(field.to_owned(), value.into());
        }
    }
    let told = Some(facts.claims.groups).filter(|pointer| !pointer.is_empty()).and_then(|p| whole.pointer(p));
    let groups = told.and_then(|value| match value {
        Value::Array(items) => Some(items.iter().filter_map(group).take(GROUPS).collect()),
        Value::String(_) => Some(group(value).into_iter().collect()),
        _ => None,
    });
    let unverified = |key: &str| match whole.get(key) {
        Some(Value::Bool(verified)) => !verified,
        Some(Value::String(verified)) => verified.eq_ignore_ascii_case("false"),
        _ => false,
    };
    let is_mail_unverified = unverified("email_verified") || unverified("verified");
    let info = match whole {
        Value::Object(info) => info,
        _ => Map::new(),
    };
    Ok(Person { identifier, info, properties, groups, is_mail_unverified })
}
