//! Format `android-safetynet` (WebAuthn Level 3, 8.5): of older phones; Google no longer issues it.

use super::{Subject, Trust, bytes};
use crate::{Algorithm, Refusal, cbor::Cbor, certificate, client_data::sha256, encoding, limits};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

/// Name in the certificate.
const SERVER: &str = "attest.android.com";
/// How far the statement's time may be from now, in milliseconds.
const AGE_MILLIS: i64 = 60_000;

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5c: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    nonce: String,
    timestamp_ms: i64,
    cts_profile_match: bool,
}

pub(super) fn verify(statement: &Cbor<'_>, subject: &Subject<'_>) -> Result<Trust, Refusal> {
    let malformed = || Refusal::Attestation("the response of SafetyNet cannot be read");
    if statement.get("ver").and_then(Cbor::text).is_none_or(str::is_empty) {
        return Err(malformed());
    }
    let response = bytes(statement, "response", "there is no response of SafetyNet")?;
    let text = std::str::from_utf8(response).map_err(|_| malformed())?;
    let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
    let decode = |part: &str| encoding::decode(part).ok_or_else(malformed);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed())?;
    let payload: Payload = serde_json::from_slice(&decode(payload)?).map_err(|_| malformed())?;
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::Rs256,
        _ => return Err(Refusal::Attestation("its algorithm is not known")),
    };
    let chain: Option<Vec<Vec<u8>>> = header.x5c.iter().map(|one| BASE64_STANDARD.decode(one).ok()).collect();
    let chain = chain.filter(|c| (1..=limits::CERTIFICATES).contains(&c.len())).ok_or_else(malformed)?;
    let leaf = chain.first().map_or(&[][..], Vec::as_slice);
    let certificate = certificate::parse(leaf)?;
    certificate::check_signature(&certificate, algorithm, signed.as_bytes(), &decode(signature)?)?;
    if !certificate::is_for_server(leaf, SERVER) {
        return Err(Refusal::Attestation("the certificate is not SafetyNet's"));
    }
    if payload.nonce != BASE64_STANDARD.encode(sha256(&subject.signed())) {
        return Err(Refusal::Attestation("SafetyNet speaks of another registration"));
    }
    if (subject.now.timestamp_millis() - payload.timestamp_ms).abs() > AGE_MILLIS {
        return Err(Refusal::Attestation("the response of SafetyNet is not of now"));
    }
    if !payload.cts_profile_match {
        return Err(Refusal::Attestation("SafetyNet does not vouch for the device"));
    }
    Ok(Trust::Certificates(chain))
}
