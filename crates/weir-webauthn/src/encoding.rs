//! base64url as WebAuthn writes it.

use crate::Refusal;
use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

// Some clients pad. Trailing bits are refused, so that one value has one text.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes as base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    ENGINE.encode(bytes)
}

/// The bytes of a base64url text, padded or not; none when it is none.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    ENGINE.decode(text).ok()
}

/// A field of bytes, at most `most` of them; none when absent or null.
pub(crate) fn find_bytes(
    map: &Map<String, Value>,
    field: &str,
    most: usize,
    name: &'static str,
) -> Result<Option<Vec<u8>>, Refusal> {
    let text = match map.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => return Err(Refusal::Malformed(name)),
    };
    // Four characters carry three bytes.
    if text.len() > most.div_ceil(3) * 4 {
        return Err(Refusal::Malformed(name));
    }
    let bytes = decode(text).filter(|bytes| bytes.len() <= most);
    bytes.map(Some).ok_or(Refusal::Malformed(name))
}

/// A field of bytes that must be there.
pub(crate) fn get_bytes(
    map: &Map<String, Value>,
    field: &str,
    most: usize,
    name: &'static str,
) -> Result<Vec<u8>, Refusal> {
    find_bytes(map, field, most, name)?.filter(|bytes| !bytes.is_empty()).ok_or(Refusal::Malformed(name))
}

/// The credential id and the inner response of a `PublicKeyCredential` as JSON.
pub(crate) fn credential(answer: &Map<String, Value>) -> Result<(Vec<u8>, &Map<String, Value>), Refusal> {
    if answer.get("type").and_then(Value::as_str) != Some("public-key") {
        return Err(Refusal::Malformed("type"));
    }
    let id = get_bytes(answer, "id", crate::limits::CREDENTIAL_ID, "id")?;
    if get_bytes(answer, "rawId", crate::limits::CREDENTIAL_ID, "rawId")? != id {
        return Err(Refusal::Malformed("rawId"));
    }
    let response = answer.get("response").and_then(Value::as_object).ok_or(Refusal::Malformed("response"))?;
    Ok((id, response))
}
