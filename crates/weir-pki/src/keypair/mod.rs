//! The kind of object that keeps a certificate and, perhaps, its private key.

mod hooks;

pub use hooks::{KeyPairHooks, Part, view};

use crate::{Authorities, Facts, KeyType, PkiError, PrivateKey, Signer, pem};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Resource, Secret, resource::UuidKeyed};

/// A certificate with or without its private key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CertificateKeyPair {
    /// Name of the pair.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The certificate in PEM form; others that complete its chain may follow.
    #[schemars(length(min = 1))]
    pub certificate_data: Secret,
    /// The private key in PEM form, without a passphrase. Needed to sign and to decrypt, not to verify.
    #[serde(default)]
    pub key_data: Secret,
    /// SHA-256 of the certificate.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub fingerprint_sha256: Option<String>,
    /// SHA-1 of the certificate.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub fingerprint_sha1: Option<String>,
    /// End of the certificate's validity.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub cert_expiry: Option<DateTime<Utc>>,
    /// Whose the certificate is, as an RFC 4514 name.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub cert_subject: Option<String>,
    /// Whether there is a private key.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub private_key_available: bool,
    /// Algorithm of the certificate's public key.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub key_type: Option<KeyType>,
    /// Mark of pairs that the server makes and keeps up.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub managed: Option<String>,
}

impl UuidKeyed for CertificateKeyPair {}
impl Resource for CertificateKeyPair {
    const MODEL: &'static str = "authentik_crypto.certificatekeypair";
    const PATH: &'static str = "crypto/certificatekeypairs";
    const SCHEMA: &'static str = "CertificateKeyPair";
    const VERBOSE: &'static str = "Certificate-Key Pair";
    const PARAM: &'static str = "kp_uuid";
    const COMPONENT: &'static str = "ak-crypto-certificate-form";
    const SEARCH: &'static [&'static str] = &["name", "cert_subject"];
    const PERMISSIONS: &'static [&'static str] =
        &["view_certificatekeypair_certificate", "view_certificatekeypair_key"];
}

impl CertificateKeyPair {
    /// What the certificate says.
    ///
    /// # Errors
    /// Never for what was stored through the hooks.
    pub fn facts(&self) -> Result<Facts, PkiError> {
        Self::read(&self.certificate_data.0, &self.key_data.0)
    }

    /// The pair as a signer of tokens.
    ///
    /// # Errors
    /// Without a private key, or with one that signs no tokens.
    pub fn signer(&self) -> Result<Signer, PkiError> {
        Signer::read(&self.certificate_data.0, &self.key_data.0)
    }

    /// Reads a certificate and the key that must belong to it, if there is one.
    fn read(certificate: &str, key: &str) -> Result<Facts, PkiError> {
        let chain = pem::certificates(certificate)?;
        for other in chain.iter().skip(1) {
            Facts::read(other)?;
        }
        let facts = Facts::read(chain.first().ok_or(PkiError::NoCertificate)?)?;
        if !key.trim().is_empty() {
            let key = PrivateKey::read(key)?;
            if key.public_key != facts.public_key || Some(key.kind) != facts.key_type {
                return Err(PkiError::Mismatch);
            }
        }
        Ok(facts)
    }

    /// The pairs' certificates as authorities.
    pub fn authorities<'p>(pairs: impl IntoIterator<Item = &'p Self>, now: DateTime<Utc>) -> Authorities {
        Authorities::read(pairs.into_iter().map(|pair| pair.certificate_data.0.as_str()), now)
    }
}
