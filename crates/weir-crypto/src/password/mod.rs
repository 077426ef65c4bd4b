//! Password hashes in Django's text form.
//!
//! New hashes are Argon2id at [`HashCost::PRODUCTION`], written as Django writes them, so that an export stays usable
//! there. Imported ones may be any format that Django 1.10 to 6 has written by default or on offer; they are verified
//! as Django would and due for a rehash ([`PasswordHash::needs_rehash`]) after the next success.
//!
//! Passwords are bytes: no trimming, folding or Unicode normalisation. Two old constructions do not tell all byte
//! strings apart — HMAC pads its key with NULs (PBKDF2, scrypt), bcrypt ends its key with one — so a password that
//! contains a NUL never matches a hash of those formats. Plain `bcrypt` looks at 72 bytes, which the rehash mends.
//!
//! Source: the formats as observed from Django 5.2 (vectors in the tests); RFC 8018, 7914, 9106.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

pub use crate::argon2id::{HashCost, HashFault, Workspace};
use crate::token::random_alphanumeric;

/// The longest password that is hashed, in bytes.
pub const MAX_PASSWORD_LEN: usize = 4096;
/// The longest encoded hash that is read, in bytes.
pub const MAX_ENCODED_LEN: usize = 512;
/// Characters of a new salt: 131 bits, the length Django expects of a salt that needs no renewal.
const SALT_LEN: usize = 22;
/// Random characters after the `!` of an unusable password, as in Django.
const UNUSABLE_LEN: usize = 40;

/// A password in the clear, wiped when dropped and never printed.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

/// More than [`MAX_PASSWORD_LEN`] bytes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("The password may have at most {MAX_PASSWORD_LEN} bytes.")]
pub struct PasswordTooLong;

impl Password {
    /// Takes the password byte for byte; the empty one is allowed here.
    ///
    /// # Errors
    /// [`PasswordTooLong`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PasswordTooLong> {
        let bytes = Zeroizing::new(bytes.into());
        if bytes.len() > MAX_PASSWORD_LEN { Err(PasswordTooLong) } else { Ok(Self(bytes)) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The salt of a new hash: 22 ASCII letters and digits, used as they are, like Django's.
#[derive(Clone, Debug)]
pub struct Salt(String);

impl Salt {
    /// Draws a salt.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        Self(random_alphanumeric(rng, SALT_LEN))
    }
}

/// Why a text is no password hash that can be taken. Never repeats the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FormatError {
    /// More than [`MAX_ENCODED_LEN`] bytes.
    #[error("The hash is longer than {MAX_ENCODED_LEN} characters.")]
    TooLong,
    /// The part before the first `$` names nothing known.
    #[error(
        "Unknown password hash format; known are argon2, pbkdf2_sha256, pbkdf2_sha1, bcrypt_sha256, bcrypt and scrypt."
    )]
    UnknownAlgorithm,
    /// A part is missing, superfluous or not written the way Django writes it.
    #[error("The {algorithm} hash is malformed ({part}).")]
    Malformed {
        /// The format by its Django name.
        algorithm: &'static str,
        /// What is wrong.
        part: &'static str,
    },
    /// Verifying would cost too much.
    #[error("The {algorithm} hash exceeds a limit: {parameter} may be at most {limit}.")]
    Excessive {
        /// The format by its Django name.
        algorithm: &'static str,
        /// The parameter, with its unit.
        parameter: &'static str,
        /// Its greatest value.
        limit: u64,
    },
}

/// A hash that parsed within the limits.
#[derive(Clone, PartialEq)]
pub struct PasswordHash {
    encoded: String,
    scheme: Scheme,
}

#[derive(Clone, PartialEq)]
enum Scheme {
    Argon2 { variant: Algorithm, version: Version, params: Params, salt: Vec<u8>, tag: Vec<u8> },
    Pbkdf2Sha256 { rounds: u32, salt: String, tag: [u8; 32] },
    Pbkdf2Sha1 { rounds: u32, salt: String, tag: [u8; 20] },
    Bcrypt { prehashed: bool, cost: u32, salt: [u8; 16], tag: [u8; 23] },
    Scrypt { params: scrypt::Params, salt: String, tag: [u8; 64] },
    Unusable,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({}, …)", self.algorithm())
    }
}

impl PasswordHash {
    /// Reads a hash in Django's form; a text that starts with `!` is an unusable password.
    ///
    /// # Errors
    /// A [`FormatError`] fit to be shown to who submitted the hash.
    pub fn parse(encoded: &str) -> Result<Self, FormatError> {
        if encoded.len() > MAX_ENCODED_LEN {
            return Err(FormatError::TooLong);
        }
        Ok(Self { encoded: encoded.to_owned(), scheme: parse::scheme(encoded)? })
    }

    /// A mark that no password matches, different each time, so that an update is visible in audit and ETags.
    pub fn make_unusable(rng: &mut dyn CryptoRng) -> Self {
        Self { encoded: format!("!{}", random_alphanumeric(rng, UNUSABLE_LEN)), scheme: Scheme::Unusable }
    }

    /// Hashes a password: Argon2id, version 0x13, one lane.
    ///
    /// # Errors
    /// [`HashFault`] when the memory cannot be had.
    pub fn create(
        password: &Password,
        salt: &Salt,
        cost: HashCost,
        workspace: &mut Workspace,
    ) -> Result<Self, HashFault> {
        let tag = workspace.argon2id(password.as_bytes(), salt.0.as_bytes(), cost)?;
        let encoded = format!(
            "argon2$argon2id$v=19$m={},t={},p=1${}${}",
            cost.memory_kib(),
            cost.passes(),
            STANDARD_NO_PAD.encode(&salt.0),
            STANDARD_NO_PAD.encode(tag)
        );
        Self::parse(&encoded).map_err(|_| HashFault)
    }

    /// The text to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.encoded
    }

    /// The text to store.
    #[must_use]
    pub fn into_string(self) -> String {
        self.encoded
    }

    /// Whether some password can match.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.scheme != Scheme::Unusable
    }

    /// The format by its Django name, `unusable` for the mark.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match &self.scheme {
            Scheme::Argon2 { .. } => "argon2",
            Scheme::Pbkdf2Sha256 { .. } => "pbkdf2_sha256",
            Scheme::Pbkdf2Sha1 { .. } => "pbkdf2_sha1",
            Scheme::Bcrypt { prehashed: true, .. } => "bcrypt_sha256",
            Scheme::Bcrypt { prehashed: false, .. } => "bcrypt",
            Scheme::Scrypt { .. } => "scrypt",
            Scheme::Unusable => "unusable",
        }
    }

    /// Whether a fresh hash of the same password would be of another kind or cost. False for unusable passwords: there
    /// is nothing to hash again.
    #[must_use]
    pub fn needs_rehash(&self, cost: HashCost) -> bool {
        match &self.scheme {
            Scheme::Unusable => false,
            Scheme::Argon2 { variant, version, params, salt, tag } => {
                (*variant, *version) != (Algorithm::Argon2id, Version::V0x13)
                    || (params.m_cost(), params.t_cost(), params.p_cost()) != (cost.memory_kib(), cost.passes(), 1)
                    || salt.len() < 16
                    || tag.len() != crate::argon2id::TAG_LEN
            }
            _ => true,
        }
    }

    /// Whether `password` is the one. Costs what the hash says; an unusable password costs nothing here
    /// ([`HashPool::verify`](crate::pool::HashPool::verify) evens that out).
    ///
    /// # Errors
    /// [`HashFault`] when the memory cannot be had.
    pub fn verify(&self, password: &Password, workspace: &mut Workspace) -> Result<bool, HashFault> {
        let password = password.as_bytes();
        // Computed before and combined after the hash, so that it takes the same time.
        let has_nul = password.contains(&0);
        match &self.scheme {
            Scheme::Unusable => Ok(false),
            Scheme::Argon2 { variant, version, params, salt, tag } => {
                let computed = argon2_tag(*variant, *version, params, password, salt, tag.len(), workspace)?;
                Ok(computed.ct_eq(tag).into())
            }
            Scheme::Pbkdf2Sha256 { rounds, salt, tag } => {
                let mut computed = [0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt.as_bytes(), *rounds, &mut computed);
                Ok(bool::from(computed.ct_eq(tag)) && !has_nul)
            }
            Scheme::Pbkdf2Sha1 { rounds, salt, tag } => {
                let mut computed = [0; 20];
                pbkdf2::pbkdf2_hmac::<sha1::Sha1>(password, salt.as_bytes(), *rounds, &mut computed);
                Ok(bool::from(computed.ct_eq(tag)) && !has_nul)
            }
            Scheme::Scrypt { params, salt, tag } => {
                let mut computed = [0; 64];
                scrypt::scrypt(password, salt.as_bytes(), params, &mut computed).map_err(|_| HashFault)?;
                Ok(bool::from(computed.ct_eq(tag)) && !has_nul)
            }
            Scheme::Bcrypt { prehashed, cost, salt, tag } => {
                let matches = if *prehashed {
                    let digest = Zeroizing::new(crate::hex::encode(&Sha256::digest(password)));
                    bcrypt_matches(digest.as_bytes(), *cost, *salt, tag)
                } else {
                    bcrypt_matches(password, *cost, *salt, tag)
                };
                Ok(matches && (*prehashed || !has_nul))
            }
        }
    }
}

fn argon2_tag(
    variant: Algorithm,
    version: Version,
    params: &Params,
    password: &[u8],
    salt: &[u8],
    tag_len: usize,
    workspace: &mut Workspace,
) -> Result<Vec<u8>, HashFault> {
    let current = (variant, version, params.p_cost(), tag_len)
        == (Algorithm::Argon2id, Version::V0x13, 1, crate::argon2id::TAG_LEN);
    if current && let Some(cost) = HashCost::within_kept_memory(params.m_cost(), params.t_cost()) {
        return workspace.argon2id(password, salt, cost).map(Vec::from);
    }
    let mut tag = vec![0; tag_len];
    Argon2::new(variant, version, params.clone())
        .hash_password_into(password, salt, &mut tag)
        .map_err(|_| HashFault)?;
    Ok(tag)
}

/// bcrypt keys are C strings of at most 72 bytes, the terminator included where there is room.
fn bcrypt_matches(password: &[u8], cost: u32, salt: [u8; 16], tag: &[u8; 23]) -> bool {
    let key: Zeroizing<Vec<u8>> = Zeroizing::new(password.iter().copied().chain([0]).take(72).collect());
    let computed = bcrypt::bcrypt(cost, salt, &key);
    computed.iter().zip(tag).fold(0, |difference, (a, b)| difference | (a ^ b)).ct_eq(&0).into()
}
