//! Statements about the model of an authenticator (WebAuthn Level 3, 8.). A statement that is there must hold, whether
//! or not anybody asks for the model; whether its certificates lead to a maker's root is told by [`Trust`].

mod android_key;
mod apple;
mod fido_u2f;
mod packed;
mod safetynet;
mod tpm;

use crate::{Refusal, cbor::Cbor, certificate, cose::PublicKey};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What vouches for the model of an authenticator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Name of the format.
    pub format: String,
    /// What stands behind it.
    pub trust: Trust,
}

/// What stands behind a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: the model is only claimed.
    None,
    /// The credential's own key: the model is only claimed, too.
    Own,
    /// Certificates, leaf first. They prove the model if they lead to its maker's root.
    Certificates(Vec<Vec<u8>>),
}

impl Attestation {
    /// Whether certificates lead to one of these roots.
    pub fn is_trusted(&self, roots: &[Vec<u8>], now: DateTime<Utc>) -> bool {
        matches!(&self.trust, Trust::Certificates(chain) if certificate::is_trusted(chain, roots, now))
    }
}

/// What a statement is about.
pub(crate) struct Subject<'a> {
    pub(crate) auth_data: &'a [u8],
    pub(crate) client_data_hash: &'a [u8; 32],
    pub(crate) rp_id_hash: &'a [u8; 32],
    pub(crate) credential_id: &'a [u8],
    pub(crate) aaguid: Uuid,
    pub(crate) key: &'a PublicKey,
    pub(crate) now: DateTime<Utc>,
}

impl Subject<'_> {
    /// What most formats sign.
    fn signed(&self) -> Vec<u8> {
        [self.auth_data, self.client_data_hash].concat()
    }
}

/// Verifies a statement.
pub(crate) fn verify(format: &str, statement: &Cbor<'_>, subject: &Subject<'_>) -> Result<Attestation, Refusal> {
    let trust = match format {
        "none" if statement.is_empty_map() => Trust::None,
        "none" => return Err(Refusal::Attestation("there is a statement although there should be none")),
        "packed" => packed::verify(statement, subject)?,
        "fido-u2f" => fido_u2f::verify(statement, subject)?,
        "tpm" => tpm::verify(statement, subject)?,
        "android-key" => android_key::verify(statement, subject)?,
        "apple" => apple::verify(statement, subject)?,
        "android-safetynet" => safetynet::verify(statement, subject)?,
        _ => return Err(Refusal::AttestationFormat),
    };
    Ok(Attestation { format: format.to_owned(), trust })
}

fn algorithm(statement: &Cbor<'_>) -> Result<crate::Algorithm, Refusal> {
    let number = statement.get("alg").and_then(Cbor::int);
    number.and_then(crate::Algorithm::of).ok_or(Refusal::Attestation("its algorithm is not known"))
}

fn bytes<'b>(statement: &Cbor<'b>, field: &str, missing: &'static str) -> Result<&'b [u8], Refusal> {
    statement.get(field).and_then(Cbor::bytes).ok_or(Refusal::Attestation(missing))
}
