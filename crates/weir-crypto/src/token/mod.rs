//! Random keys and what is stored of them.

#[cfg(test)]
mod tests;

use hmac::{Hmac, KeyInit, Mac as _};
use rand::CryptoRng;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Characters of an API key unless the settings say otherwise.
pub const DEFAULT_KEY_LEN: usize = 60;
/// The fewest characters a key gets: 131 bits.
pub const MIN_KEY_LEN: usize = 22;
/// The most characters a key gets.
pub const MAX_KEY_LEN: usize = 1024;

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A key of ASCII letters and digits. A length outside [`MIN_KEY_LEN`]..=[`MAX_KEY_LEN`] is moved to the nearer end: a
/// setting cannot make keys guessable.
pub fn random_key(rng: &mut dyn CryptoRng, length: usize) -> String {
    random_alphanumeric(rng, length.clamp(MIN_KEY_LEN, MAX_KEY_LEN))
}

/// `N` random bytes in lower-case hexadecimal; 16 and more are unguessable.
pub fn random_hex<const N: usize>(rng: &mut dyn CryptoRng) -> String {
    crate::hex::encode(&random_bytes::<N>(rng))
}

/// `N` random bytes.
pub fn random_bytes<const N: usize>(rng: &mut dyn CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

pub(crate) fn random_alphanumeric(rng: &mut dyn CryptoRng, length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // Six bits at a time; the two values beyond the alphabet are drawn again, so no character is favoured.
        let drawn = random_bytes::<32>(rng);
        let wanted = length - text.len();
        let letters = drawn.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        text.extend(letters.take(wanted).map(|letter| char::from(*letter)));
    }
    text
}

/// SHA-256 in lower-case hexadecimal, the stored form of a key. A plain digest is enough for keys of 128 random bits and
/// useless for anything people choose.
#[must_use]
pub fn digest_hex(key: &str) -> String {
    crate::hex::encode(&Sha256::digest(key))
}

/// Whether an HMAC with SHA-512 (RFC 2104) is this key's for the message; in a time that does not depend on where it
/// differs.
#[must_use]
pub fn verify_hs512(key: &[u8], message: &[u8], mac: &[u8]) -> bool {
    let Ok(mut own) = <Hmac<Sha512> as KeyInit>::new_from_slice(key) else { return false };
    own.update(message);
    own.verify_slice(mac).is_ok()
}

/// Equality in a time that depends on the lengths only.
#[must_use]
pub fn constant_time_eq(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> bool {
    a.as_ref().ct_eq(b.as_ref()).into()
}
