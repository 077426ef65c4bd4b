//! As much of DER as attestations need beyond certificates.

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
pub(crate) fn first(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&head, mut rest) = bytes.split_first()?;
    let mut tag = u32::from(head & 0x1f);
    if tag == 0x1f {
        tag = 0;
        loop {
            let (&part, after) = rest.split_first()?;
            rest = after;
            // No tag that is read here has more than 14 bits.
            if tag > 0x7f {
                return None;
            }
            tag = (tag << 7) | u32::from(part & 0x7f);
            if part & 0x80 == 0 {
                break;
            }
        }
    }
    let (&short, mut rest) = rest.split_first()?;
    let length = if short < 0x80 {
        usize::from(short)
    } else {
        let count = usize::from(short & 0x7f);
        if count == 0 || count > 3 {
            return None;
        }
        let (long, after) = rest.split_at_checked(count)?;
        rest = after;
        long.iter().fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte))
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((Element { class: head & 0xe0, tag, content }, after))
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

impl<'b> Element<'b> {
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

/// An element in bytes.
pub(crate) fn write(head: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![head];
    if length < 0x80 {
        out.push(u8::try_from(length).unwrap_or_default());
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
        out.extend(bytes);
    }
    out.extend(content);
    out
}

fn unsigned(number: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    if digits.first().is_none_or(|first| first & 0x80 != 0) {
        digits.insert(0, 0);
    }
    write(2, &digits)
}

/// An `RSAPublicKey` (RFC 8017, A.1.1).
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    write(0x30, &[unsigned(modulus), unsigned(exponent)].concat())
}

/// An ECDSA signature (RFC 3279, 2.2.3) of its two numbers.
pub(crate) fn pair(r: &[u8], s: &[u8]) -> Vec<u8> {
    write(0x30, &[unsigned(r), unsigned(s)].concat())
}
