//! Signed statements about a person (ID tokens): accepted only when signature, issuer, audience, time and nonce are right.

use super::{OAuthSource, client, discovery::Discovery};
use crate::remote::Trouble;
use chrono::{DateTime, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse},
};
use serde_json::Value;
use weir_core::Map;
use weir_policy::outbound::Outbound;

/// How much clocks may differ, seconds.
const SKEW: i64 = 60;
/// Longest statement read, bytes.
const LONGEST: usize = 64 * 1024;

/// What can be verified with public keys. The token's own word for its algorithm only chooses among these, and the key
/// must be of its kind.
const ASYMMETRIC: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// What can be verified with the client secret.
const SYMMETRIC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// What is expected of a statement.
pub struct Expected<'a> {
    /// The source.
    pub source: &'a OAuthSource,
    /// The nonce of the request.
    pub nonce: &'a str,
    /// The instant.
    pub now: DateTime<Utc>,
}

/// The claims of a good statement; none when the source has no means to verify one, and it does not count then.
///
/// # Errors
/// When it is no good.
pub async fn verify(
    outbound: &Outbound,
    discovery: &Discovery,
    token: &str,
    expected: &Expected<'_>,
) -> Result<Option<Map>, Trouble> {
    if token.len() > LONGEST {
        return Err(Trouble::new("The ID token is too long."));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Trouble::new("The ID token cannot be read."))?;
    let source = expected.source;
    let address = source.keys_address();
    if source.oidc_jwks.is_empty() && address.is_none() {
        // Without public keys only the shared secret can have signed it.
        if !SYMMETRIC.contains(&header.alg) {
            return Ok(None);
        }
        let key = DecodingKey::from_secret(source.consumer_secret.0.as_bytes());
        return check(token, header.alg, &key, expected).map(Some);
    }
    if !ASYMMETRIC.contains(&header.alg) {
        return Err(Trouble::new("The ID token is signed by an algorithm that is not accepted."));
    }
    let stored = Value::Object(source.oidc_jwks.clone());
    let mut found = find_key(&stored, header.kid.as_deref(), header.alg);
    if found.is_none()
        && let Some(address) = address
    {
        // Providers change their keys: look once whether this one is new.
        for anew in [false, true] {
            let keys = discovery.keys(outbound, expected.now, address, anew).await?;
            found = find_key(&Value::Object(keys), header.kid.as_deref(), header.alg);
            if found.is_some() {
                break;
            }
        }
    }
    let jwk =
        found.ok_or_else(|| Trouble::new("The ID token is signed with a key that the provider does not list."))?;
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| Trouble::new("A key of the provider cannot be used."))?;
    check(token, header.alg, &key, expected).map(Some)
}

/// The key that a statement names; without a name, the only one of its kind.
fn find_key(keys: &Value, kid: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    // Sets may hold kinds of keys that nobody here knows; they must not hide the others.
    let all = keys.get("keys").and_then(Value::as_array).into_iter().flatten();
    let known = all.filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    let set = JwkSet { keys: known.filter(|key| fits(key, algorithm)).collect() };
    match kid {
        Some(kid) => set.keys.into_iter().find(|key| key.common.key_id.as_deref() == Some(kid)),
        None if set.keys.len() == 1 => set.keys.into_iter().next(),
        None => None,
    }
}

fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let right_kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
        ),
        AlgorithmParameters::EllipticCurve(_) => matches!(algorithm, Algorithm::ES256 | Algorithm::ES384),
        AlgorithmParameters::OctetKeyPair(_) => algorithm == Algorithm::EdDSA,
        _ => false,
    };
    let right_name = key.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
    let for_signing = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    right_kind && right_name && for_signing
}

fn check(token: &str, algorithm: Algorithm, key: &DecodingKey, expected: &Expected<'_>) -> Result<Map, Trouble> {
    let mut validation = Validation::new(algorithm);
    // Time and audience are checked below, with the clock of the site.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = jsonwebtoken::decode::<Map>(token, key, &validation)
        .map_err(|_| Trouble::new("The signature of the ID token is wrong."))?;
    check_claims(&decoded.claims, expected)?;
    Ok(decoded.claims)
}

fn check_claims(claims: &Map, expected: &Expected<'_>) -> Result<(), Trouble> {
    let refuse = |text: &str| Err(Trouble::new(text));
    let text = |key: &str| claims.get(key).and_then(Value::as_str).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "instants with fractions are rounded on purpose")]
    let time = |key: &str| claims.get(key).and_then(|v| v.as_i64().or_else(|| v.as_f64().map(|f| f as i64)));
    let source = expected.source;
    if !is_issuer(source, text("iss"), claims) {
        return refuse("The ID token is from another issuer.");
    }
    let client = client::client_id(source);
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let party = claims.get("azp").and_then(Value::as_str);
    if !audiences.contains(&client) || (audiences.len() > 1 && party.is_none()) || party.is_some_and(|p| p != client) {
        return refuse("The ID token is for another client.");
    }
    let now = expected.now.timestamp();
    if time("exp").is_none_or(|end| end.saturating_add(SKEW) <= now) {
        return refuse("The ID token has expired.");
    }
    if time("iat").is_none_or(|made| made > now + SKEW) || time("nbf").is_some_and(|from| from > now + SKEW) {
        return refuse("The ID token is from the future.");
    }
    if text("nonce") != expected.nonce {
        return refuse("The ID token belongs to another sign-in.");
    }
    if text("sub").is_empty() {
        return refuse("The ID token names nobody.");
    }
    Ok(())
}

/// Whether statements of this issuer count. A source that nobody told an issuer takes any that its keys signed.
pub fn is_issuer(source: &OAuthSource, issuer: &str, claims: &Map) -> bool {
    let tenant = claims.get("tid").and_then(Value::as_str).unwrap_or_default();
    let plain = !tenant.is_empty() && tenant.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let matches = |known: &str| match known.contains("{tid}") || known.contains("{tenantid}") {
        true => plain && known.replace("{tid}", tenant).replace("{tenantid}", tenant) == issuer,
        false => known == issuer,
    };
    if !source.issuer.is_empty() {
        return matches(&source.issuer);
    }
    let facts = source.provider_type.facts();
    let own = facts.customizable && (!source.oidc_jwks_url.is_empty() || source.runs_elsewhere());
    if facts.issuers.is_empty() || own {
        return !issuer.is_empty();
    }
    facts.issuers.iter().any(|known| matches(known))
}
