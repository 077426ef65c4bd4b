//! What a certificate says.

use crate::{PkiError, name};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::FromDer as _,
    x509::{SubjectPublicKeyInfo, X509Name},
};

/// Algorithm of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum KeyType {
    Rsa,
    Ec,
    Dsa,
    Ed25519,
    Ed448,
}

impl KeyType {
    /// The algorithm of an object identifier.
    fn of(id: &str) -> Option<Self> {
        match id {
            "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => Some(Self::Rsa),
            "1.2.840.10045.2.1" => Some(Self::Ec),
            "1.2.840.10040.4.1" => Some(Self::Dsa),
            "1.3.101.112" => Some(Self::Ed25519),
            "1.3.101.113" => Some(Self::Ed448),
            _ => None,
        }
    }
}

/// What a certificate says. Nothing of it is worth more than the check of its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Serial number, decimal.
    pub serial_number: String,
    /// Whose it is, by RFC 4514.
    pub subject: String,
    /// Who signed it, by RFC 4514.
    pub issuer: String,
    /// SHA-256 of the whole, bytes in hexadecimal with colons between.
    pub fingerprint_sha256: String,
    /// SHA-1 of the whole, likewise.
    pub fingerprint_sha1: String,
    /// Valid from here on.
    pub not_before: DateTime<Utc>,
    /// Valid until then.
    pub not_after: DateTime<Utc>,
    /// Algorithm of the public key; none when it is an unusual one.
    pub key_type: Option<KeyType>,
    /// The public key's bits without the algorithm.
    pub public_key: Vec<u8>,
    /// First common name of the subject.
    pub common_name: Option<String>,
    /// Mail addresses among the alternative names.
    pub emails: Vec<String>,
    /// The certificate says that it is for proving oneself to a server.
    pub is_for_clients: bool,
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When these bytes are not exactly one X.509 certificate.
    pub fn read(der: &[u8]) -> Result<Self, PkiError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| PkiError::BadCertificate)?;
        if !rest.is_empty() {
            return Err(PkiError::BadCertificate);
        }
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(PkiError::BadCertificate);
        let validity = certificate.validity();
        let usage = certificate.extended_key_usage().map_err(|_| PkiError::BadCertificate)?;
        let (key_type, public_key) = public_key(certificate.public_key());
        Ok(Self {
            serial_number: certificate.tbs_certificate.serial.to_string(),
            subject: name::rfc4514(certificate.subject()),
            issuer: name::rfc4514(certificate.issuer()),
            fingerprint_sha256: fingerprint(&Sha256::digest(der)),
            fingerprint_sha1: fingerprint(&Sha1::digest(der)),
            not_before: time(validity.not_before.timestamp())?,
            not_after: time(validity.not_after.timestamp())?,
            key_type,
            public_key,
            common_name: common_name(certificate.subject()),
            emails: emails(&certificate)?,
            is_for_clients: usage.is_some_and(|usage| usage.value.client_auth),
        })
    }

    /// Whether the instant lies in the certificate's span.
    pub fn is_valid_at(&self, now: DateTime<Utc>) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// Algorithm and bits of a public key.
pub(crate) fn public_key(info: &SubjectPublicKeyInfo<'_>) -> (Option<KeyType>, Vec<u8>) {
    (KeyType::of(&info.algorithm.algorithm.to_id_string()), info.subject_public_key.data.to_vec())
}

fn common_name(subject: &X509Name<'_>) -> Option<String> {
    let found = subject.iter_common_name().next()?.as_str().ok()?;
    Some(found.to_owned()).filter(|name| !name.is_empty())
}

fn emails(certificate: &X509Certificate<'_>) -> Result<Vec<String>, PkiError> {
    let names = certificate.subject_alternative_name().map_err(|_| PkiError::BadCertificate)?;
    let names = names.into_iter().flat_map(|names| &names.value.general_names);
    Ok(names
        .filter_map(|name| match name {
            GeneralName::RFC822Name(address) if !address.is_empty() => Some((*address).to_owned()),
            _ => None,
        })
        .collect())
}

fn fingerprint(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
