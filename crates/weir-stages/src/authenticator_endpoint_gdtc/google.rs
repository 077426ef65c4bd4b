//! Google's Verified Access API, called in the name of a service account.

use super::tokens::Tokens;
use crate::remote;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::time::Duration;
use weir_core::Map;
use weir_flow::App;
use weir_policy::outbound::{OutboundRequest, OutboundResponse};

const API: &str = "https://verifiedaccess.googleapis.com";
const TOKENS: &str = "https://oauth2.googleapis.com/token";
const SCOPE: &str = "https://www.googleapis.com/auth/verifiedaccess";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A service that takes longer counts as away.
const PATIENCE: Duration = Duration::from_secs(10);
/// Life of the statement an access token is asked for with, seconds.
const LIFE: i64 = 300;
/// Longest challenge that is passed on, bytes.
const LONGEST: usize = 8 * 1024;

/// The API under one service account.
pub struct Google<'a> {
    /// The engine.
    pub app: &'a App,
    /// The account's key file.
    pub credentials: &'a Map,
    /// What it was given.
    pub tokens: &'a Tokens,
}

impl Google<'_> {
    /// A new challenge: Base64.
    ///
    /// # Errors
    /// In words, without secrets.
    pub async fn generate(&self) -> Result<String, String> {
        let answer = object(&self.call("generate", &json!({})).await?)?;
        let challenge = answer.get("challenge").and_then(Value::as_str).unwrap_or_default();
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
        if challenge.is_empty() || challenge.len() > LONGEST || !challenge.chars().all(is_base64) {
            return Err("Google gave no challenge.".to_owned());
        }
        Ok(challenge.to_owned())
    }

    /// What Google knows of the browser that gave this response; none when it does not vouch for it.
    ///
    /// # Errors
    /// In words, without secrets, when Google cannot be asked.
    pub async fn verify(&self, response: &str) -> Result<Option<Map>, String> {
        let answer = self.call("verify", &json!({"challengeResponse": response})).await?;
        // So Google says that a response is invalid, late or of another's domain.
        if answer.status == 400 { Ok(None) } else { object(&answer).map(Some) }
    }

    async fn call(&self, verb: &str, body: &Value) -> Result<OutboundResponse, String> {
        let now = self.app.site.clock.now();
        let base = self.app.services.google_url.as_deref().unwrap_or(API);
        let request = || remote::json(&format!("{base}/v2/challenge:{verb}"), body);
        if let Some(token) = self.tokens.find(self.credentials, now) {
            let answer = self.send(remote::with_bearer(request()?, &token)?).await?;
            if answer.status != 401 {
                return Ok(answer);
            }
            // Taken back before its time.
            self.tokens.forget(self.credentials);
        }
        let answer = self.token().await?;
        let token = self.tokens.keep(self.credentials, now, &answer);
        let token = token.ok_or_else(|| "Google gave no access token.".to_owned())?;
        self.send(remote::with_bearer(request()?, &token)?).await
    }

    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, String> {
        let sent = self.app.outbound.send(remote::within(request, PATIENCE)).await;
        sent.map_err(|error| error.to_string())
    }

    fn text(&self, name: &str) -> Result<&str, String> {
        let text = self.credentials.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("The credentials lack {name}."))
    }

    /// An access token for the service account (RFC 7523).
    async fn token(&self) -> Result<Map, String> {
        let audience = self.text("token_uri").unwrap_or(TOKENS);
        let key = EncodingKey::from_rsa_pem(self.text("private_key")?.as_bytes())
            .map_err(|_| "The private key of the credentials is no RSA key.".to_owned())?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid = self.text("private_key_id").ok().map(str::to_owned);
        let now = self.app.site.clock.now().timestamp();
        let claims = json!({
            "iss": self.text("client_email")?, "scope": SCOPE, "aud": audience, "iat": now, "exp": now + LIFE,
        });
        let statement = jsonwebtoken::encode(&header, &claims, &key)
            .map_err(|_| "The private key of the credentials cannot sign.".to_owned())?;
        let url = self.app.services.google_url.as_ref().map_or_else(|| audience.to_owned(), |u| format!("{u}/token"));
        let request = remote::form(&url, &[("grant_type", GRANT), ("assertion", &statement)])?;
        object(&self.send(request).await?)
    }
}

fn object(answer: &OutboundResponse) -> Result<Map, String> {
    if !(200..300).contains(&answer.status) {
        return Err(format!("Google answered with status {}.", answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|_| "Google gave no usable answer.".to_owned())
}
