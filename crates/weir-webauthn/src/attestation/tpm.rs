//! Format `tpm` (WebAuthn Level 3, 8.3), with the structures of TPM 2.0, part 2.

use super::{Subject, Trust, algorithm, bytes};
use crate::{
    Algorithm, Refusal,
    cbor::Cbor,
    certificate,
    der::{self, CONSTRUCTED, CONTEXT, Element, SET},
};
use aws_lc_rs::digest::{self, digest};
use x509_parser::{
    certificate::X509Certificate,
    der_parser::{Oid, oid},
};

/// `TPM_GENERATED_VALUE`.
const GENERATED: [u8; 4] = [0xff, 0x54, 0x43, 0x47];
/// `TPM_ST_ATTEST_CERTIFY`.
const ATTEST_CERTIFY: [u8; 2] = [0x80, 0x17];
/// `TPM_ALG_RSA`, `_ECC`, `_NULL`, `_SHA1`, `_SHA256`, `_SHA384`, `_SHA512`.
const ALG_RSA: u16 = 0x0001;
const ALG_ECC: u16 = 0x0023;
const ALG_NULL: u16 = 0x0010;
const ALG_SHA1: u16 = 0x0004;
const ALG_SHA256: u16 = 0x000b;
const ALG_SHA384: u16 = 0x000c;
const ALG_SHA512: u16 = 0x000d;
/// `TPM_ECC_NIST_P256`, `_P384`, `_P521`.
const CURVES: [(u16, usize); 3] = [(3, 32), (4, 48), (5, 66)];

const SUBJECT_ALTERNATIVE_NAME: Oid<'static> = oid!(2.5.29.17);
/// `tcg-kp-AIKCertificate`.
const AIK_CERTIFICATE: Oid<'static> = oid!(2.23.133.8.3);
/// Manufacturer, model, version in the alternative name.
const TPM_NAMES: [&[u8]; 3] =
    [&[0x67, 0x81, 0x05, 0x02, 0x01], &[0x67, 0x81, 0x05, 0x02, 0x02], &[0x67, 0x81, 0x05, 0x02, 0x03]];

pub(super) fn verify(statement: &Cbor<'_>, subject: &Subject<'_>) -> Result<Trust, Refusal> {
    if statement.get("ver").and_then(Cbor::text) != Some("2.0") {
        return Err(Refusal::Attestation("the TPM has not version 2.0"));
    }
    let algorithm = algorithm(statement)?;
    let signature = bytes(statement, "sig", "there is no signature")?;
    let info = bytes(statement, "certInfo", "there is no certInfo")?;
    let area = bytes(statement, "pubArea", "there is no pubArea")?;

    let public = PublicArea::read(area).ok_or(Refusal::Attestation("pubArea cannot be read"))?;
    if public.raw_key != subject.key.raw {
        return Err(Refusal::Attestation("the TPM speaks of another key"));
    }
    let certified = Certified::read(info).ok_or(Refusal::Attestation("certInfo cannot be read"))?;
    let hash = hash_of(algorithm).ok_or(Refusal::Attestation("its algorithm is not known"))?;
    if certified.extra_data != digest(hash, &subject.signed()).as_ref() {
        return Err(Refusal::Attestation("the TPM speaks of another registration"));
    }
    let name_hash = name_hash(public.name_algorithm).ok_or(Refusal::Attestation("pubArea cannot be read"))?;
    let name = [public.name_algorithm.to_be_bytes().as_slice(), digest(name_hash, area).as_ref()].concat();
    if certified.name != name {
        return Err(Refusal::Attestation("the TPM speaks of another key"));
    }
    let chain = certificate::chain(statement)?;
    let leaf = certificate::parse(chain.first().map_or(&[], Vec::as_slice))?;
    certificate::check_signature(&leaf, algorithm, info, signature)?;
    check_certificate(&leaf)?;
    certificate::check_leaf(&leaf, subject.aaguid)?;
    Ok(Trust::Certificates(chain))
}

fn hash_of(algorithm: Algorithm) -> Option<&'static digest::Algorithm> {
    Some(match algorithm {
        Algorithm::Es256 | Algorithm::Ps256 | Algorithm::Rs256 => &digest::SHA256,
        Algorithm::Es384 | Algorithm::Ps384 | Algorithm::Rs384 => &digest::SHA384,
        Algorithm::Es512 | Algorithm::Ps512 | Algorithm::Rs512 => &digest::SHA512,
        Algorithm::Rs1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::EdDsa => return None,
    })
}

fn name_hash(algorithm: u16) -> Option<&'static digest::Algorithm> {
    Some(match algorithm {
        ALG_SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        ALG_SHA256 => &digest::SHA256,
        ALG_SHA384 => &digest::SHA384,
        ALG_SHA512 => &digest::SHA512,
        _ => return None,
    })
}

/// Reads structures of TPMs: big-endian numbers, bytes behind their length.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    fn sized(&mut self) -> Option<&'b [u8]> {
        let count = self.u16()?;
        self.take(usize::from(count))
    }

    /// A scheme with its hash; none has only its name.
    fn scheme(&mut self) -> Option<()> {
        if self.u16()? != ALG_NULL {
            self.u16()?;
        }
        Some(())
    }

    fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// `TPMT_PUBLIC`.
struct PublicArea {
    name_algorithm: u16,
    raw_key: Vec<u8>,
}

impl PublicArea {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (kind, name_algorithm) = (reader.u16()?, reader.u16()?);
        reader.take(4)?;
        reader.sized()?;
        // Symmetric algorithm: keys that sign have none.
        (reader.u16()? == ALG_NULL).then_some(())?;
        reader.scheme()?;
        let raw_key = match kind {
            ALG_RSA => {
                reader.u16()?;
                let exponent = reader.take(4)?;
                // 0 stands for 65537.
                let exponent: &[u8] = if exponent == [0; 4] { &[1, 0, 1] } else { exponent };
                der::rsa_public_key(reader.sized()?, exponent)?
            }
            ALG_ECC => {
                let curve = reader.u16()?;
                let (_, size) = CURVES.into_iter().find(|(number, _)| *number == curve)?;
                // Key derivation scheme.
                reader.scheme()?;
                let (x, y) = (padded(reader.sized()?, size)?, padded(reader.sized()?, size)?);
                [&[4], x.as_slice(), &y].concat()
            }
            _ => return None,
        };
        reader.end()?;
        Some(Self { name_algorithm, raw_key })
    }
}

/// TPMs may leave out leading zeros of coordinates.
fn padded(number: &[u8], size: usize) -> Option<Vec<u8>> {
    let missing = size.checked_sub(number.len())?;
    Some([vec![0; missing].as_slice(), number].concat())
}

/// `TPMS_ATTEST` of kind certify.
struct Certified<'b> {
    extra_data: &'b [u8],
    name: &'b [u8],
}

impl<'b> Certified<'b> {
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        (reader.take(4)? == GENERATED && reader.take(2)? == ATTEST_CERTIFY).then_some(())?;
        // Qualified signer; what is signed; clock and firmware.
        reader.sized()?;
        let extra_data = reader.sized()?;
        reader.take(17 + 8)?;
        let name = reader.sized()?;
        // Qualified name.
        reader.sized()?;
        reader.end()?;
        Some(Self { extra_data, name })
    }
}

/// 8.3.1.
fn check_certificate(leaf: &X509Certificate<'_>) -> Result<(), Refusal> {
    if leaf.subject().iter().next().is_some() {
        return Err(Refusal::Attestation("the certificate is not a TPM's"));
    }
    let name = certificate::extension(leaf, &SUBJECT_ALTERNATIVE_NAME)?;
    let is_whole = name.and_then(|e| tpm_names(e.value)).is_some_and(|found| found == [true; 3]);
    if !is_whole {
        return Err(Refusal::Attestation("the certificate does not name the TPM"));
    }
    let usage = leaf.extended_key_usage().ok().flatten();
    if !usage.is_some_and(|usage| usage.value.other.contains(&AIK_CERTIFICATE)) {
        return Err(Refusal::Attestation("the certificate is not for attestations"));
    }
    Ok(())
}

/// Which of the names of a TPM stand in an alternative name: `[4] { Name }` among general names.
fn tpm_names(value: &[u8]) -> Option<[bool; 3]> {
    let names = der::all(der::only(value).filter(Element::is_sequence)?.content)?;
    let directory = names.iter().find(|e| e.class == CONTEXT && e.tag == 4)?;
    let name = der::only(directory.content).filter(Element::is_sequence)?;
    let mut found = [false; 3];
    for set in der::all(name.content)? {
        (set.class == CONSTRUCTED && set.tag == SET).then_some(())?;
        for attribute in der::all(set.content)? {
            let parts = der::all(attribute.content)?;
            let (id, text) = (parts.first()?.content, parts.get(1)?.content);
            for (is_there, wanted) in found.iter_mut().zip(TPM_NAMES) {
                *is_there |= id == wanted && !text.is_empty();
            }
        }
    }
    Some(found)
}
