//! CBOR as CTAP2 writes it: definite lengths, no tags, no key twice. Bounded in depth.

use crate::limits::CBOR_DEPTH;
use minicbor::{Decoder, data::Type};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cbor<'b> {
    Int(i64),
    Bytes(&'b [u8]),
    Text(&'b str),
    Bool(bool),
    Array(Vec<Cbor<'b>>),
    Map(Vec<(Cbor<'b>, Cbor<'b>)>),
    /// Null and fractions: nothing here reads them.
    Other,
}

/// Not CBOR, or not the kind of CBOR that authenticators write.
#[derive(Debug, PartialEq)]
pub(crate) struct NotCbor;

impl From<minicbor::decode::Error> for NotCbor {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

impl<'b> Cbor<'b> {
    /// The value that is all of these bytes.
    pub(crate) fn whole(bytes: &'b [u8]) -> Result<Self, NotCbor> {
        match Self::first(bytes)? {
            (value, length) if length == bytes.len() => Ok(value),
            _ => Err(NotCbor),
        }
    }

    /// The value at the beginning, and how many bytes it takes.
    pub(crate) fn first(bytes: &'b [u8]) -> Result<(Self, usize), NotCbor> {
        let mut decoder = Decoder::new(bytes);
        let value = read(&mut decoder, CBOR_DEPTH)?;
        Ok((value, decoder.position()))
    }

    /// An entry of a map under a number.
    pub(crate) fn at(&self, key: i64) -> Option<&Self> {
        self.entry(|k| matches!(k, Self::Int(k) if *k == key))
    }

    /// An entry of a map under a name.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(|k| matches!(k, Self::Text(k) if *k == key))
    }

    fn entry(&self, is_it: impl Fn(&Self) -> bool) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&'b [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&'b str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self, Self::Map(_))
    }

    /// Whether this is the empty map.
    pub(crate) fn is_empty_map(&self) -> bool {
        matches!(self, Self::Map(entries) if entries.is_empty())
    }
}

fn read<'b>(decoder: &mut Decoder<'b>, depth: usize) -> Result<Cbor<'b>, NotCbor> {
    Ok(match decoder.datatype()? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            Cbor::Int(decoder.i64()?)
        }
        Type::Bytes => Cbor::Bytes(decoder.bytes()?),
        Type::String => Cbor::Text(decoder.str()?),
        Type::Bool => Cbor::Bool(decoder.bool()?),
        Type::Array => {
            let (count, depth) = (decoder.array()?.ok_or(NotCbor)?, deeper(depth)?);
            // Grows as entries come: the count is only a claim.
            let mut items = Vec::new();
            for _ in 0..count {
                items.push(read(decoder, depth)?);
            }
            Cbor::Array(items)
        }
        Type::Map => {
            let (count, depth) = (decoder.map()?.ok_or(NotCbor)?, deeper(depth)?);
            let mut entries: Vec<(Cbor<'b>, Cbor<'b>)> = Vec::new();
            for _ in 0..count {
                let key = read(decoder, depth)?;
                // Maps of authenticators have a dozen entries; many would make the search for twins slow.
                let fits = entries.len() < 64 && matches!(key, Cbor::Int(_) | Cbor::Text(_) | Cbor::Bytes(_));
                if !fits || entries.iter().any(|(known, _)| *known == key) {
                    return Err(NotCbor);
                }
                entries.push((key, read(decoder, depth)?));
            }
            Cbor::Map(entries)
        }
        Type::Null | Type::Undefined | Type::F16 | Type::F32 | Type::F64 => {
            decoder.skip()?;
            Cbor::Other
        }
        _ => return Err(NotCbor),
    })
}

fn deeper(depth: usize) -> Result<usize, NotCbor> {
    depth.checked_sub(1).ok_or(NotCbor)
}
