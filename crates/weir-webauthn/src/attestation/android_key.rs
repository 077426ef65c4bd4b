//! Format `android-key` (WebAuthn Level 3, 8.4).

use super::{Subject, Trust, algorithm, bytes};
use crate::{
    Refusal,
    cbor::Cbor,
    certificate,
    der::{self, CONSTRUCTED, CONTEXT, Element, SET},
};
use x509_parser::der_parser::{Oid, oid};

const KEY_DESCRIPTION: Oid<'static> = oid!(1.3.6.1.4.1.11129.2.1.17);

/// Numbers of entries in an authorization list (Android's key attestation schema).
const PURPOSE: u32 = 1;
const ALL_APPLICATIONS: u32 = 600;
const ORIGIN: u32 = 702;
/// Values of them.
const KM_PURPOSE_SIGN: u64 = 2;
const KM_ORIGIN_GENERATED: u64 = 0;

pub(super) fn verify(statement: &Cbor<'_>, subject: &Subject<'_>) -> Result<Trust, Refusal> {
    let (algorithm, signature) = (algorithm(statement)?, bytes(statement, "sig", "there is no signature")?);
    let chain = certificate::chain(statement)?;
    let leaf = certificate::parse(chain.first().map_or(&[], Vec::as_slice))?;
    certificate::check_signature(&leaf, algorithm, &subject.signed(), signature)?;
    if certificate::raw_key(&leaf) != subject.key.raw {
        return Err(Refusal::Attestation("the certificate is for another key"));
    }
    let extension = certificate::extension(&leaf, &KEY_DESCRIPTION)?
        .ok_or(Refusal::Attestation("the certificate does not describe its key"))?;
    let description =
        Description::read(extension.value).ok_or(Refusal::Attestation("the description of the key cannot be read"))?;
    if description.challenge != subject.client_data_hash {
        return Err(Refusal::Attestation("the certificate is for another registration"));
    }
    if description.has(ALL_APPLICATIONS) {
        return Err(Refusal::Attestation("the key is open to all applications"));
    }
    if !description.numbers(ORIGIN).contains(&KM_ORIGIN_GENERATED) {
        return Err(Refusal::Attestation("the key was not made inside the device"));
    }
    if !description.numbers(PURPOSE).contains(&KM_PURPOSE_SIGN) {
        return Err(Refusal::Attestation("the key is not for signatures"));
    }
    Ok(Trust::Certificates(chain))
}

/// The parts of a `KeyDescription` that matter here.
struct Description<'b> {
    challenge: &'b [u8],
    /// Entries enforced by software and by the device.
    entries: Vec<Element<'b>>,
}

impl<'b> Description<'b> {
    fn read(value: &'b [u8]) -> Option<Self> {
        let parts = der::all(der::only(value).filter(Element::is_sequence)?.content)?;
        let challenge = parts.get(4).filter(|e| e.is_octets())?.content;
        let lists = parts.get(6..8)?;
        let mut entries = Vec::new();
        for list in lists {
            entries.extend(der::all(Some(list).filter(|e| e.is_sequence())?.content)?);
        }
        Some(Self { challenge, entries })
    }

    fn under(&self, tag: u32) -> impl Iterator<Item = &Element<'b>> {
        self.entries.iter().filter(move |e| e.class == CONTEXT && e.tag == tag)
    }

    fn has(&self, tag: u32) -> bool {
        self.under(tag).next().is_some()
    }

    /// The numbers under a tag, alone or as a set.
    fn numbers(&self, tag: u32) -> Vec<u64> {
        let inner = self.under(tag).filter_map(|e| der::only(e.content));
        inner
            .flat_map(|e| match (e.class, e.tag) {
                (CONSTRUCTED, SET) => der::all(e.content).unwrap_or_default(),
                _ => vec![e],
            })
            .filter_map(|e| e.int())
            .collect()
    }
}
