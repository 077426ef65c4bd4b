//! Making self-signed certificates.

use crate::{ed448, pem};
use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, KeyPair, PublicKeyData, RsaKeySize,
    SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;

/// What kind of key is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// RSA of 4096 bits.
    #[default]
    Rsa,
    /// ECDSA on P-256.
    Ecdsa,
    /// EdDSA on Curve25519.
    Ed25519,
    /// EdDSA on Curve448.
    Ed448,
}

/// A certificate to make.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Common name of the subject.
    pub common_name: &'a str,
    /// Alternative names: addresses, mail addresses, URIs, host names.
    pub names: Vec<String>,
    /// Valid from here on.
    pub not_before: DateTime<Utc>,
    /// Valid until then.
    pub not_after: DateTime<Utc>,
    /// Kind of key.
    pub algorithm: Algorithm,
    /// Proves a server to its clients.
    pub is_server: bool,
    /// Random bytes: 16 for the serial number, the others for a key that the TLS library does not make.
    pub random: [u8; 16 + ed448::LENGTH],
}

/// A certificate and its key, both PEM.
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// Makes a key and a certificate signed by itself. An RSA key takes seconds: not for an async thread.
///
/// # Errors
/// When a name cannot stand in a certificate.
pub fn self_signed(wish: &Wish<'_>) -> Result<SelfSigned> {
    let params = params(wish)?;
    let key = match wish.algorithm {
        Algorithm::Ed448 => return ed448_signed(wish, &params),
        Algorithm::Rsa => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
        Algorithm::Ecdsa => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        Algorithm::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
    };
    let key = key.context("making a key")?;
    let certificate = params.self_signed(&key).context("signing a certificate")?;
    Ok(SelfSigned {
        certificate: pem::wrap("CERTIFICATE", certificate.der()),
        key: pem::wrap("PRIVATE KEY", key.serialized_der()),
    })
}

fn params(wish: &Wish<'_>) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    let time = |at: DateTime<Utc>| time::OffsetDateTime::from_unix_timestamp(at.timestamp()).context("a time");
    params.not_before = time(wish.not_before)?;
    params.not_after = time(wish.not_after)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, wish.common_name);
    params.distinguished_name.push(DnType::OrganizationName, "Weir");
    params.distinguished_name.push(DnType::OrganizationalUnitName, "Self-signed");
    params.subject_alt_names = wish.names.iter().map(|name| alternative_name(name)).collect::<Result<_>>()?;
    // Positive and not zero (RFC 5280 §4.1.2.2): the first bits are 01.
    let mut serial: Vec<u8> = wish.random.iter().take(16).copied().collect();
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    params.serial_number = Some(SerialNumber::from(serial));
    if wish.is_server {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    }
    Ok(params)
}

fn alternative_name(text: &str) -> Result<SanType> {
    let ascii = |text: &str| text.to_owned().try_into().context("a name with letters beyond ASCII");
    Ok(match text.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) if text.contains("://") => SanType::URI(ascii(text)?),
        Err(_) if text.contains('@') => SanType::Rfc822Name(ascii(text)?),
        Err(_) => SanType::DnsName(ascii(text)?),
    })
}

/// Passes for an Ed25519 key; what it signs already has the identifiers of Ed448.
struct Disguised {
    key: ed448_goldilocks::SigningKey,
    public_key: Vec<u8>,
}

impl PublicKeyData for Disguised {
    fn der_bytes(&self) -> &[u8] {
        &self.public_key
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl SigningKey for Disguised {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut message = message.to_vec();
        ed448::rename(&mut message, 2).ok_or(Error::RingUnspecified)?;
        Ok(self.key.sign_raw(&message).to_bytes().to_vec())
    }
}

fn ed448_signed(wish: &Wish<'_>, params: &CertificateParams) -> Result<SelfSigned> {
    let seed: Vec<u8> = wish.random.iter().skip(16).copied().collect();
    let key = ed448::from_seed(&seed)?;
    let public_key = key.verifying_key().to_bytes().to_vec();
    let certificate = params.self_signed(&Disguised { key, public_key }).context("signing a certificate")?;
    let mut der = certificate.der().to_vec();
    if ed448::rename(&mut der, 3).is_none() {
        bail!("a certificate came out wrong");
    }
    Ok(SelfSigned { certificate: pem::wrap("CERTIFICATE", &der), key: pem::wrap("PRIVATE KEY", &ed448::write(&seed)) })
}
