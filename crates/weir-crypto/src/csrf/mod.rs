//! Tokens against cross-site request forgery, bound to a session.
//!
//! `base64url(nonce ‖ HMAC-SHA256(key, nonce ‖ session))`: nothing is stored, a token dies with its session identifier
//! (which changes at log-in and log-out), and knowing one session's token says nothing about another's. Not masked
//! (OWASP's XOR pad): each token has a fresh nonce and so differs from every other as a whole, which is what
//! masking is for (BREACH).

#[cfg(test)]
mod tests;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::CryptoRng;

use crate::{
    cookie::SigningKey,
    token::{constant_time_eq, random_bytes},
};

const NONCE_LEN: usize = 16;
const MAC_LEN: usize = 32;
/// Characters of a token: 48 bytes in base64url.
pub const TOKEN_LEN: usize = (NONCE_LEN + MAC_LEN) / 3 * 4;

/// A token for the session with this identifier. `key` is derived with a label of its own.
pub fn make(key: &SigningKey, session_id: &str, rng: &mut dyn CryptoRng) -> String {
    let nonce = random_bytes::<NONCE_LEN>(rng);
    let mac = mac(key, session_id, &nonce);
    URL_SAFE_NO_PAD.encode([nonce.as_slice(), &mac].concat())
}

/// Whether `token` was made for this session with this key. The empty session has no valid token.
#[must_use]
pub fn verify(key: &SigningKey, session_id: &str, token: &str) -> bool {
    if token.len() != TOKEN_LEN || session_id.is_empty() {
        return false;
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
    let Some((nonce, sent)) = bytes.split_first_chunk::<NONCE_LEN>() else { return false };
    constant_time_eq(mac(key, session_id, nonce), sent)
}

fn mac(key: &SigningKey, session_id: &str, nonce: &[u8; NONCE_LEN]) -> [u8; 32] {
    // The nonce has one length, so the parts cannot be shifted against each other.
    key.mac(&[nonce, session_id.as_bytes()])
}
