//! Format `packed` (WebAuthn Level 3, 8.2).

use super::{Subject, Trust, algorithm, bytes};
use crate::{Algorithm, Refusal, cbor::Cbor, certificate};
use x509_parser::{certificate::X509Certificate, x509::AttributeTypeAndValue};

pub(super) fn verify(statement: &Cbor<'_>, subject: &Subject<'_>) -> Result<Trust, Refusal> {
    let algorithm = algorithm(statement)?;
    // SHA-1 is only for TPMs.
    if algorithm == Algorithm::Rs1 {
        return Err(Refusal::Attestation("its algorithm is not known"));
    }
    let signature = bytes(statement, "sig", "there is no signature")?;
    if statement.get("ecdaaKeyId").is_some() {
        return Err(Refusal::Attestation("ECDAA is not supported"));
    }
    if statement.get("x5c").is_none() {
        if algorithm != subject.key.algorithm {
            return Err(Refusal::Attestation("its algorithm is not the key's"));
        }
        let checked = subject.key.verify(&subject.signed(), signature);
        checked.map_err(|_| Refusal::Attestation("its signature does not match"))?;
        return Ok(Trust::Own);
    }
    let chain = certificate::chain(statement)?;
    let leaf = certificate::parse(chain.first().map_or(&[], Vec::as_slice))?;
    certificate::check_signature(&leaf, algorithm, &subject.signed(), signature)?;
    check_subject(&leaf)?;
    certificate::check_leaf(&leaf, subject.aaguid)?;
    Ok(Trust::Certificates(chain))
}

/// 8.2.1.
fn check_subject(leaf: &X509Certificate<'_>) -> Result<(), Refusal> {
    fn text<'c>(mut values: impl Iterator<Item = &'c AttributeTypeAndValue<'c>>) -> &'c str {
        values.next().and_then(|value| value.as_str().ok()).unwrap_or_default()
    }
    let name = leaf.subject();
    let is_whole = text(name.iter_country()).len() == 2
        && !text(name.iter_organization()).is_empty()
        && !text(name.iter_common_name()).is_empty()
        && text(name.iter_organizational_unit()) == "Authenticator Attestation";
    if is_whole { Ok(()) } else { Err(Refusal::Attestation("the certificate is not an authenticator's")) }
}
