//! Format `apple` (WebAuthn Level 3, 8.8).

use super::{Subject, Trust};
use crate::{
    Refusal,
    cbor::Cbor,
    certificate,
    client_data::sha256,
    der::{self, CONTEXT},
};
use x509_parser::der_parser::{Oid, oid};

const NONCE: Oid<'static> = oid!(1.2.840.113635.100.8.2);

pub(super) fn verify(statement: &Cbor<'_>, subject: &Subject<'_>) -> Result<Trust, Refusal> {
    let chain = certificate::chain(statement)?;
    let leaf = certificate::parse(chain.first().map_or(&[], Vec::as_slice))?;
    let extension =
        certificate::extension(&leaf, &NONCE)?.ok_or(Refusal::Attestation("the certificate has no nonce"))?;
    if nonce(extension.value) != Some(sha256(&subject.signed()).as_slice()) {
        return Err(Refusal::Attestation("the certificate is for another registration"));
    }
    if certificate::raw_key(&leaf) != subject.key.raw {
        return Err(Refusal::Attestation("the certificate is for another key"));
    }
    Ok(Trust::Certificates(chain))
}

/// `SEQUENCE { [1] EXPLICIT OCTET STRING }`.
fn nonce(value: &[u8]) -> Option<&[u8]> {
    let sequence = der::only(value).filter(der::Element::is_sequence)?;
    let tagged = der::only(sequence.content).filter(|e| e.class == CONTEXT && e.tag == 1)?;
    der::only(tagged.content).filter(der::Element::is_octets).map(|e| e.content)
}
