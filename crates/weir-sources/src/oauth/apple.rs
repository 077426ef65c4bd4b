//! Apple: the client secret is a statement signed with a key of one's own, and the name comes once, beside the code.

use super::OAuthSource;
use crate::remote::Trouble;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use weir_core::Map;

/// Life of a client secret, seconds. Apple takes half a year; one is made for each call.
const LIFE: i64 = 300;

/// The client secret of this instant.
///
/// # Errors
/// When client, team and key id or the key are not what Apple gives.
pub fn client_secret(source: &OAuthSource, now: DateTime<Utc>) -> Result<String, Trouble> {
    let mut parts = source.consumer_key.split(';');
    let (Some(client), Some(team), Some(key_id), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Trouble::new("The consumer key must be client id, team id and key id, joined by semicolons."));
    };
    let key = EncodingKey::from_ec_pem(source.consumer_secret.0.as_bytes())
        .map_err(|_| Trouble::new("The consumer secret must be the private key from Apple as PEM."))?;
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(key_id.to_owned());
    let claims = json!({
        "iss": team,
        "iat": now.timestamp(),
        "exp": now.timestamp() + LIFE,
        "aud": "https://appleid.apple.com",
        "sub": client,
    });
    jsonwebtoken::encode(&header, &claims, &key).map_err(|_| Trouble::new("The client secret cannot be signed."))
}

/// The full name in the form field `user`, which only the first answer has. A browser carries it: it is a wish, never a
/// proof.
pub fn full_name(parameter: Option<&str>) -> Option<String> {
    let user: Map = serde_json::from_str(parameter?).ok()?;
    let name = user.get("name")?;
    let part = |key: &str| name.get(key).and_then(Value::as_str).map(str::trim).unwrap_or_default().to_owned();
    let whole = format!("{} {}", part("firstName"), part("lastName")).trim().chars().take(200).collect::<String>();
    (!whole.is_empty()).then_some(whole)
}
