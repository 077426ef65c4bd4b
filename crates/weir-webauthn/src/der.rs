//! What attestations have in DER beyond certificates, read by the library that reads those.

use x509_parser::asn1_rs::{Any, FromDer as _, Integer, Sequence, ToDer as _};

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'b> {
    /// Class and constructed bit, as in the first byte without its number.
    pub(crate) class: u8,
    /// Number of the tag.
    pub(crate) tag: u32,
    /// What is inside.
    pub(crate) content: &'b [u8],
}

/// Class bits of a tag that is numbered by its place.
pub(crate) const CONTEXT: u8 = 0xa0;
/// Class bits of a sequence or set.
pub(crate) const CONSTRUCTED: u8 = 0x20;
pub(crate) const INTEGER: u32 = 2;
pub(crate) const OCTET_STRING: u32 = 4;
pub(crate) const SEQUENCE: u32 = 16;
pub(crate) const SET: u32 = 17;

/// The first element, and what comes after it.
fn first(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (rest, any) = Any::from_der(bytes).ok()?;
    let class = ((any.class() as u8) << 6) | (u8::from(any.header.is_constructed()) << 5);
    Some((Element { class, tag: any.tag().0, content: any.as_bytes() }, rest))
}

/// The single element that these bytes are.
pub(crate) fn only(bytes: &[u8]) -> Option<Element<'_>> {
    first(bytes).filter(|(_, rest)| rest.is_empty()).map(|(element, _)| element)
}

/// All elements in a row; none when something else is among them.
pub(crate) fn all(mut bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (element, rest) = first(bytes)?;
        found.push(element);
        bytes = rest;
    }
    Some(found)
}

impl Element<'_> {
    pub(crate) fn is_sequence(&self) -> bool {
        self.class == CONSTRUCTED && self.tag == SEQUENCE
    }

    pub(crate) fn is_octets(&self) -> bool {
        self.class == 0 && self.tag == OCTET_STRING
    }

    /// A small number.
    pub(crate) fn int(&self) -> Option<u64> {
        let fits = self.class == 0 && matches!(self.tag, INTEGER | 10) && (1..=8).contains(&self.content.len());
        fits.then(|| self.content.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }
}

/// An `RSAPublicKey` (RFC 8017, A.1.1).
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let numbers = [modulus, exponent].map(|number| {
        let mut digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        // The first bit is the sign.
        if digits.first().is_none_or(|first| first & 0x80 != 0) {
            digits.insert(0, 0);
        }
        digits
    });
    let numbers = numbers.iter().map(|digits| Integer::new(digits));
    Sequence::from_iter_to_der(numbers).ok()?.to_der_vec().ok()
}
