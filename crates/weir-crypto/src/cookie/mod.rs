//! Values that Weir signs for itself: JSON Web Tokens with HS256 (RFC 7515, 7519).
//!
//! The session cookie is one, and so is everything else a browser keeps for us. The algorithm is part of the key, not of
//! the token: a header that names another is refused, and nothing is read before the signature holds. Keys are derived
//! from the installation's secret with a label for each use, so that a value of one kind is worthless as another.

#[cfg(test)]
mod tests;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use thiserror::Error;
use zeroize::ZeroizeOnDrop;

type HmacSha256 = Hmac<Sha256>;

/// The longest token in bytes; browsers keep cookies of about 4 KiB.
pub const MAX_TOKEN_LEN: usize = 4096;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// Separates our derivations from those of anything else that shares the secret.
const EXTRACT_SALT: &[u8] = b"weir.signing-key.v1";

/// A key for one purpose.
#[derive(Clone, ZeroizeOnDrop)]
pub struct SigningKey([u8; 32]);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Why a token is not accepted. Callers answer all of them alike; the difference is for logs.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_LEN`].
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of unpadded base64url.
    #[error("the token is malformed")]
    Malformed,
    /// Signed by another key, or changed.
    #[error("the signature does not match")]
    BadSignature,
    /// Another algorithm, or critical extensions.
    #[error("the header is not one of ours")]
    ForeignHeader,
    /// Expired, or not valid yet.
    #[error("the token is not valid at this time")]
    OutOfTime,
    /// The claims have another shape.
    #[error("the claims have another shape")]
    BadClaims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<serde_json::Value>,
}

/// Seconds since 1970; fractions are allowed by RFC 7519 §2.
#[derive(Deserialize)]
struct Times {
    exp: Option<f64>,
    nbf: Option<f64>,
}

impl SigningKey {
    /// The key for `label` (HKDF-SHA256, RFC 5869). `secret` is the installation's, of at least 32 random bytes.
    #[must_use]
    pub fn derive(secret: &[u8], label: &str) -> Self {
        let extracted = hmac(EXTRACT_SALT, &[secret]);
        Self(hmac(&extracted, &[label.as_bytes(), &[1]]))
    }

    /// Signs `claims`, which must serialise as a JSON object; `exp` and `nbf` are honoured by [`Self::verify`].
    ///
    /// # Errors
    /// [`TokenError::BadClaims`] or [`TokenError::TooLong`].
    pub fn encode<T: Serialize>(&self, claims: &T) -> Result<String, TokenError> {
        let claims = serde_json::to_vec(claims).map_err(|_| TokenError::BadClaims)?;
        if !claims.starts_with(b"{") {
            return Err(TokenError::BadClaims);
        }
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.mac(&[token.as_bytes()]);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        if token.len() > MAX_TOKEN_LEN { Err(TokenError::TooLong) } else { Ok(token) }
    }

    /// The claims of a token that this key has signed. `now_secs` is compared with `exp` and `nbf` without leeway: the
    /// clock that wrote them is our own.
    ///
    /// # Errors
    /// A [`TokenError`].
    pub fn verify<T: DeserializeOwned>(&self, token: &str, now_secs: i64) -> Result<T, TokenError> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let signature = decode(signature)?;
        if !crate::token::constant_time_eq(self.mac(&[signed.as_bytes()]), signature) {
            return Err(TokenError::BadSignature);
        }
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::ForeignHeader)?;
        if header.alg != "HS256" || header.crit.is_some() {
            return Err(TokenError::ForeignHeader);
        }
        let claims = decode(claims)?;
        let times: Times = serde_json::from_slice(&claims).map_err(|_| TokenError::BadClaims)?;
        let now = now_secs as f64;
        if times.exp.is_some_and(|exp| exp <= now) || times.nbf.is_some_and(|nbf| nbf > now) {
            return Err(TokenError::OutOfTime);
        }
        serde_json::from_slice(&claims).map_err(|_| TokenError::BadClaims)
    }

    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        hmac(&self.0, parts)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
    let mut mac = <HmacSha256 as KeyInit>::new_from_slice(key).expect("every length is a key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
