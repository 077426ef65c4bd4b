//! An agent's answer: a JSON Web Token with HS512 (RFC 7518) by the key of its own token.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// Longest answer; it repeats the challenge.
const MAX_LENGTH: usize = 16 << 10;
/// Whom an answer is for.
pub const AUDIENCE: &str = "goauthentik.io/platform/endpoint";

#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<Value>,
}

/// What an answer claims.
#[derive(Debug, Deserialize)]
pub struct Claims {
    /// The device.
    pub iss: String,
    /// The challenge it answers.
    pub atc: String,
    aud: Value,
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// An answer whose signature has yet to be checked.
#[derive(Debug)]
pub struct Answer<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    /// What it claims.
    pub claims: Claims,
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

impl<'a> Answer<'a> {
    /// Reads an answer; none when it is no token with HS512.
    pub fn read(token: &'a str) -> Option<Self> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = part(header)?;
        if header.alg != "HS512" || header.crit.is_some() {
            return None;
        }
        Some(Self { signed, signature: URL_SAFE_NO_PAD.decode(signature).ok()?, claims: part(claims)? })
    }

    /// Whether this key signed it, for this challenge and now.
    pub fn holds(&self, key: &str, challenge: &str, now_secs: i64) -> bool {
        let now = now_secs as f64;
        let claims = &self.claims;
        let for_us = match &claims.aud {
            Value::String(one) => one == AUDIENCE,
            Value::Array(many) => many.iter().any(|one| one == AUDIENCE),
            _ => false,
        };
        weir_crypto::token::verify_hs512(key.as_bytes(), self.signed.as_bytes(), &self.signature)
            && for_us
            && claims.atc == challenge
            && claims.exp.is_none_or(|end| end > now)
            && claims.nbf.is_none_or(|begin| begin <= now)
    }
}

/// The end of a challenge of ours.
pub fn end_of(challenge: &str) -> Option<i64> {
    part::<Value>(challenge.split('.').nth(1)?)?.get("exp")?.as_i64()
}
