//! Certificates in attestations: what the formats demand of them, and whether a path leads to a root.

use crate::{Algorithm, Refusal, cbor::Cbor, limits};
use chrono::{DateTime, Utc};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::time::Duration;
use uuid::Uuid;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};
use x509_parser::{
    certificate::X509Certificate,
    der_parser::{Oid, oid},
    extensions::X509Extension,
    prelude::FromDer as _,
    x509::X509Version,
};

/// `id-fido-gen-ce-aaguid`.
const AAGUID: Oid<'static> = oid!(1.3.6.1.4.1.45724.1.1.4);

/// Reads a certificate.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Refusal> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Refusal::Attestation("a certificate cannot be read")),
    }
}

/// The certificates of `x5c`, leaf first; at least one.
pub(crate) fn chain(statement: &Cbor<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
    let items = statement.get("x5c").and_then(Cbor::array).unwrap_or_default();
    let all: Option<Vec<Vec<u8>>> = items.iter().map(|item| item.bytes().map(<[u8]>::to_vec)).collect();
    all.filter(|all| (1..=limits::CERTIFICATES).contains(&all.len()))
        .ok_or(Refusal::Attestation("there is no list of certificates"))
}

/// The key of a certificate as its bit string has it.
pub(crate) fn raw_key<'c>(certificate: &'c X509Certificate<'_>) -> &'c [u8] {
    &certificate.public_key().subject_public_key.data
}

/// Checks a signature by the key of a certificate.
pub(crate) fn check_signature(
    certificate: &X509Certificate<'_>,
    algorithm: Algorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Refusal> {
    algorithm
        .check(raw_key(certificate), message, signature)
        .map_err(|_| Refusal::Attestation("its signature does not match"))
}

/// An extension; twice the same is refused.
pub(crate) fn extension<'c, 'a>(
    certificate: &'c X509Certificate<'a>,
    id: &Oid<'_>,
) -> Result<Option<&'c X509Extension<'a>>, Refusal> {
    certificate.get_extension_unique(id).map_err(|_| Refusal::Attestation("a certificate has an extension twice"))
}

/// What packed and TPM attestations demand alike: version 3, no authority, and the model of the authenticator if the
/// certificate names one.
pub(crate) fn check_leaf(certificate: &X509Certificate<'_>, aaguid: Uuid) -> Result<(), Refusal> {
    if certificate.version() != X509Version::V3 {
        return Err(Refusal::Attestation("the certificate has not version 3"));
    }
    match certificate.basic_constraints() {
        Ok(Some(constraints)) if !constraints.value.ca => {}
        _ => return Err(Refusal::Attestation("the certificate does not deny to be an authority's")),
    }
    let Some(extension) = extension(certificate, &AAGUID)? else { return Ok(()) };
    let named = crate::der::only(extension.value).filter(crate::der::Element::is_octets).map(|e| e.content);
    if extension.critical || named != Some(aaguid.as_bytes().as_slice()) {
        return Err(Refusal::Attestation("the certificate is for another model of authenticator"));
    }
    Ok(())
}

// The formats have rules of their own about the use of keys; webpki's are those of servers and clients.
struct AnyUse;
impl ExtendedKeyUsageValidator for AnyUse {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// Whether a list of certificates, leaf first, leads to one of these roots at this time. A leaf that is itself among
/// the roots is trusted.
pub fn is_trusted(chain: &[Vec<u8>], roots: &[Vec<u8>], now: DateTime<Utc>) -> bool {
    let Some((leaf, intermediates)) = chain.split_first() else { return false };
    if roots.contains(leaf) {
        return true;
    }
    let roots: Vec<CertificateDer<'_>> = roots.iter().map(|root| CertificateDer::from(root.as_slice())).collect();
    let anchors: Vec<TrustAnchor<'_>> = roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    let intermediates: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|one| CertificateDer::from(one.as_slice())).collect();
    let leaf = CertificateDer::from(leaf.as_slice());
    let (Ok(leaf), Ok(seconds)) = (EndEntityCert::try_from(&leaf), u64::try_from(now.timestamp())) else {
        return false;
    };
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &intermediates, time, AnyUse, None, None).is_ok()
}

/// Whether a certificate is for this name of a server.
pub(crate) fn is_for_server(leaf: &[u8], name: &str) -> bool {
    let leaf = CertificateDer::from(leaf);
    let (Ok(leaf), Ok(name)) = (EndEntityCert::try_from(&leaf), rustls_pki_types::ServerName::try_from(name)) else {
        return false;
    };
    leaf.verify_is_valid_for_subject_name(&name).is_ok()
}
