//! Time-based one-time passwords: RFC 6238 over HMAC-SHA-1 with steps of 30 seconds, and the base32 of their secrets.
//!
//! Pure functions; which steps are used up and how far a device's clock is ahead is for the caller to remember.

#[cfg(test)]
mod tests;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use std::ops::RangeInclusive;
use subtle::ConstantTimeEq as _;

/// Seconds of one step.
pub const PERIOD_SECS: i64 = 30;
/// Bytes of a new secret (RFC 4226 recommends the length of the hash).
pub const SECRET_BYTES: usize = 20;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step that this second lies in; seconds before 1970 lie in negative ones.
#[must_use]
pub fn step_at(unix_secs: i64) -> i64 {
    unix_secs.div_euclid(PERIOD_SECS)
}

/// The code of a step with this many digits (1 to 9), zeros in front.
#[must_use]
pub fn code(secret: &[u8], step: i64, digits: u32) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { return String::new() };
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash.last().copied().unwrap_or(0) & 15);
    let four = hash.iter().skip(offset).take(4).fold(0u32, |number, byte| (number << 8) | u32::from(*byte));
    let digits = digits.clamp(1, 9);
    let number = (four & 0x7fff_ffff) % 10u32.pow(digits);
    format!("{number:0width$}", width = digits as usize)
}

/// The first of these steps whose code this is. All are computed, so that time does not tell which it was; an empty
/// secret matches nothing.
#[must_use]
pub fn matching_step(secret: &[u8], digits: u32, given: &str, steps: RangeInclusive<i64>) -> Option<i64> {
    let mut found = None;
    for step in steps {
        let expected = code(secret, step, digits);
        let same = expected.len() == given.len() && bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
        if same && found.is_none() && !secret.is_empty() {
            found = Some(step);
        }
    }
    found
}

/// Base32 without padding (RFC 4648), as authenticator apps read it.
#[must_use]
pub fn to_base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut buffer, mut bits) = (0u32, 0u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(&mut out, buffer >> bits);
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        push(&mut out, buffer << (5 - bits));
    }
    out
}

fn push(out: &mut String, five: u32) {
    out.extend(ALPHABET.get((five & 31) as usize).map(|letter| char::from(*letter)));
}

/// The bytes of a base32 text; none when it is not one. Padding, spaces and small letters are taken.
#[must_use]
pub fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut buffer, mut bits) = (0u32, 0u32);
    for letter in text.trim_end_matches('=').bytes().filter(|b| *b != b' ') {
        let value = ALPHABET.iter().position(|a| *a == letter.to_ascii_uppercase())?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.extend(u8::try_from((buffer >> bits) & 0xff).ok());
        }
        buffer &= (1 << bits) - 1;
    }
    Some(out)
}
