//! Lists of authenticator models: the FIDO Alliance's metadata file (Metadata Service 3.1, a signed JWT), and the plain
//! JSON list that is passed around for passkey providers.

use crate::{certificate, encoding, limits};
use aws_lc_rs::signature::{self, VerificationAlgorithm};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, NaiveDate, Utc};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A model of authenticators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its number.
    pub aaguid: Uuid,
    /// What people call it.
    pub description: String,
    /// A picture as `data:` address.
    pub icon: Option<String>,
    /// Certificates that its attestations lead to, as DER; empty when unknown.
    pub roots: Vec<Vec<u8>>,
    /// Its maker or the FIDO Alliance say that it must no longer be relied on.
    pub is_revoked: bool,
}

/// A metadata file whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataFile {
    /// Number of the issue; grows.
    pub number: u64,
    /// When the next issue is due.
    pub next_update: NaiveDate,
    /// Models with a number; those of U2F and UAF have none.
    pub models: Vec<Model>,
}

/// Why a list is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Larger than any real one.
    #[error("the file is larger than {} MiB", limits::METADATA >> 20)]
    Large,
    /// Not of the form described.
    #[error("the file cannot be read: {0}")]
    Malformed(String),
    /// A signature that does not fit, or a signer that nobody vouches for.
    #[error("the file is not to be trusted: {0}")]
    Untrusted(&'static str),
}

fn malformed(what: impl ToString) -> MetadataError {
    MetadataError::Malformed(what.to_string())
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    x5c: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    no: u64,
    next_update: NaiveDate,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    aaguid: Option<Uuid>,
    metadata_statement: Option<Statement>,
    #[serde(default)]
    status_reports: Vec<StatusReport>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    description: String,
    icon: Option<String>,
    #[serde(default)]
    attestation_root_certificates: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusReport {
    status: String,
    #[serde(default)]
    effective_date: Option<NaiveDate>,
}

/// States in which an authenticator proves nothing any more, until a later report says otherwise (Metadata Service 3.1,
/// 3.1.4).
const COMPROMISED: [&str; 4] = [
    "ATTESTATION_KEY_COMPROMISE",
    "USER_KEY_PHYSICAL_COMPROMISE",
    "USER_KEY_REMOTE_COMPROMISE",
    "USER_VERIFICATION_BYPASS",
];
/// The state that is final.
const REVOKED: &str = "REVOKED";

fn is_revoked(reports: &[StatusReport]) -> bool {
    // Of several on one day the last in the file counts.
    let latest = reports.iter().max_by_key(|report| report.effective_date);
    reports.iter().any(|report| report.status == REVOKED)
        || latest.is_some_and(|report| COMPROMISED.contains(&report.status.as_str()))
}

/// The certificates of a file as DER, whether it is PEM (any number of them) or DER (one); none when it is neither.
pub fn read_roots(bytes: &[u8]) -> Vec<Vec<u8>> {
    let pem: Vec<Vec<u8>> =
        CertificateDer::pem_slice_iter(bytes).filter_map(|one| one.ok().map(|one| one.to_vec())).collect();
    let all = if pem.is_empty() { vec![bytes.to_vec()] } else { pem };
    all.into_iter().filter(|der| certificate::parse(der).is_ok()).collect()
}

/// Reads a metadata file. Its signature is checked, and its signer must lead to one of `roots` (DER).
///
/// # Errors
/// When it cannot be read or not be trusted.
pub fn read_signed(text: &str, roots: &[Vec<u8>], now: DateTime<Utc>) -> Result<MetadataFile, MetadataError> {
    if text.len() > limits::METADATA {
        return Err(MetadataError::Large);
    }
    let text = text.trim();
    let (signed, signature) = text.rsplit_once('.').ok_or_else(|| malformed("it is no signed token"))?;
    let (header, payload) = signed.split_once('.').ok_or_else(|| malformed("it is no signed token"))?;
    let decode = |part: &str| encoding::decode(part).ok_or_else(|| malformed("it is no base64url"));
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(malformed)?;
    let chain: Option<Vec<Vec<u8>>> = header.x5c.iter().map(|one| BASE64_STANDARD.decode(one).ok()).collect();
    let chain = chain.filter(|c| (1..=limits::CERTIFICATES).contains(&c.len()));
    let chain = chain.ok_or(MetadataError::Untrusted("it brings no certificate of its signer"))?;
    if !certificate::is_trusted(&chain, roots, now) {
        return Err(MetadataError::Untrusted("the signer's certificate does not lead to the root"));
    }
    check_signature(&header.alg, &chain, signed.as_bytes(), &decode(signature)?)?;
    let payload: Payload = serde_json::from_slice(&decode(payload)?).map_err(malformed)?;
    let models = payload.entries.into_iter().filter_map(model).collect();
    Ok(MetadataFile { number: payload.no, next_update: payload.next_update, models })
}

fn check_signature(name: &str, chain: &[Vec<u8>], message: &[u8], given: &[u8]) -> Result<(), MetadataError> {
    let bad = || MetadataError::Untrusted("its signature does not match");
    let leaf = certificate::parse(chain.first().map_or(&[], Vec::as_slice)).map_err(|_| bad())?;
    // JOSE puts the two numbers of ES256 one after the other; X.509 and WebAuthn write them as ASN.1.
    let algorithm: &dyn VerificationAlgorithm = match name {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
        _ => return Err(MetadataError::Untrusted("its algorithm is neither RS256 nor ES256")),
    };
    algorithm.verify_sig(certificate::raw_key(&leaf), message, given).map_err(|_| bad())
}

fn model(entry: Entry) -> Option<Model> {
    let (aaguid, statement) = (entry.aaguid?, entry.metadata_statement?);
    let clean = |text: &String| text.split_ascii_whitespace().collect::<String>();
    let roots = statement.attestation_root_certificates.iter();
    Some(Model {
        aaguid,
        description: statement.description,
        icon: statement.icon.filter(|icon| icon.starts_with("data:image/")),
        roots: roots.filter_map(|root| BASE64_STANDARD.decode(clean(root)).ok()).collect(),
        is_revoked: is_revoked(&entry.status_reports),
    })
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    icon_light: Option<String>,
}

/// Reads a plain list: an object of `{"name": …, "icon_light": …}` under each model's number.
///
/// # Errors
/// When it cannot be read.
pub fn read_plain(text: &str) -> Result<Vec<Model>, MetadataError> {
    if text.len() > limits::METADATA {
        return Err(MetadataError::Large);
    }
    let entries: BTreeMap<Uuid, Named> = serde_json::from_str(text).map_err(malformed)?;
    let models = entries.into_iter().map(|(aaguid, named)| Model {
        aaguid,
        description: named.name,
        icon: named.icon_light.filter(|icon| icon.starts_with("data:image/")),
        roots: Vec::new(),
        is_revoked: false,
    });
    Ok(models.collect())
}
