//! Format `fido-u2f` (WebAuthn Level 3, 8.6).

use super::{Subject, Trust, bytes};
use crate::{Algorithm, Refusal, cbor::Cbor, certificate};

pub(super) fn verify(statement: &Cbor<'_>, subject: &Subject<'_>) -> Result<Trust, Refusal> {
    let signature = bytes(statement, "sig", "there is no signature")?;
    let chain = certificate::chain(statement)?;
    let [leaf] = chain.as_slice() else { return Err(Refusal::Attestation("there is not exactly one certificate")) };
    // U2F knows no models.
    if !subject.aaguid.is_nil() {
        return Err(Refusal::Attestation("U2F names no model of authenticator"));
    }
    if subject.key.algorithm != Algorithm::Es256 {
        return Err(Refusal::Attestation("U2F has no such keys"));
    }
    let certificate = certificate::parse(leaf)?;
    let signed =
        [&[0], subject.rp_id_hash.as_slice(), subject.client_data_hash, subject.credential_id, &subject.key.raw]
            .concat();
    certificate::check_signature(&certificate, Algorithm::Es256, &signed, signature)?;
    Ok(Trust::Certificates(chain))
}
