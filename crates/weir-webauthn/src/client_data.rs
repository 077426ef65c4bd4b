//! What the browser says about the ceremony (WebAuthn Level 3, 5.8.1).

use crate::{Expected, Refusal, encoding, limits};
use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: Option<bool>,
    #[serde(default)]
    top_origin: Option<String>,
}

/// Kind of ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ceremony {
    Registration,
    Assertion,
}

impl Ceremony {
    fn kind(self) -> &'static str {
        match self {
            Self::Registration => "webauthn.create",
            Self::Assertion => "webauthn.get",
        }
    }
}

/// Checks client data; gives its hash, which is what authenticators sign.
pub(crate) fn verify(bytes: &[u8], ceremony: Ceremony, expected: &Expected<'_>) -> Result<[u8; 32], Refusal> {
    if bytes.len() > limits::CLIENT_DATA {
        return Err(Refusal::Malformed("clientDataJSON"));
    }
    // The standard has it decoded with a byte order mark taken off.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let data: ClientData = serde_json::from_slice(text).map_err(|_| Refusal::Malformed("clientDataJSON"))?;
    if data.kind != ceremony.kind() {
        return Err(Refusal::Type);
    }
    let challenge = encoding::decode(&data.challenge).ok_or(Refusal::Challenge)?;
    if expected.challenge.is_empty() || !bool::from(challenge.ct_eq(expected.challenge)) {
        return Err(Refusal::Challenge);
    }
    if data.origin != expected.relying_party.origin {
        return Err(Refusal::Origin);
    }
    // Pages of flows forbid to be framed, so an answer out of a frame of another site is none of ours.
    if data.cross_origin == Some(true) || data.top_origin.is_some() {
        return Err(Refusal::Origin);
    }
    Ok(sha256(bytes))
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    out
}
