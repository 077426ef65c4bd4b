//! Signatures beside a document (RFC 7515, appendix F) by one Ed25519 key, for records that others check years later
//! without this server; and the one text that a JSON document has for that purpose (RFC 8785).

use crate::PkiError;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Bytes of the secret that a key is made of.
pub const SEED: usize = 32;

/// A key that seals documents.
#[derive(Debug)]
pub struct Seal {
    pair: Ed25519KeyPair,
    jwk: Value,
    kid: String,
}

/// Why a seal is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenSeal {
    /// The key is no Ed25519 key in the form of a JSON Web Key.
    #[error("the key is no Ed25519 key in the form of a JSON Web Key")]
    NoKey,
    /// The signature is none of the kind that is made here.
    #[error("the signature cannot be read")]
    Unreadable,
    /// Sealed by another key.
    #[error("the signature was made by another key")]
    OtherKey,
    /// The document could be read in more than one way.
    #[error("the document holds numbers that programs read differently")]
    Ambiguous,
    /// The document is not the one that was sealed.
    #[error("the signature does not fit the document: it was changed")]
    Changed,
}

impl Seal {
    /// The key of a secret.
    ///
    /// # Errors
    /// When the secret has not the right length.
    pub fn from_seed(seed: &[u8]) -> Result<Self, PkiError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| PkiError::UnsupportedKey)?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let kid = thumbprint(&x);
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA"});
        Ok(Self { pair, jwk, kid })
    }

    /// The public key as a JSON Web Key.
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// Name of the key: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The signature of a document, in compact form without the document. `kind` says what is signed, so that no
    /// signature of one kind of document counts for another.
    pub fn sign(&self, kind: &str, document: &Value) -> String {
        let header = URL_SAFE_NO_PAD.encode(canonical(&json!({"alg": "EdDSA", "kid": self.kid, "typ": kind})));
        let signature = self.pair.sign(message(&header, document).as_bytes());
        format!("{header}..{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// Checks the signature of a document against a public key.
///
/// # Errors
/// Why it does not hold.
pub fn verify(jwk: &Value, kind: &str, document: &Value, signature: &str) -> Result<(), BrokenSeal> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let x = text("x").filter(|_| text("kty") == Some("OKP") && text("crv") == Some("Ed25519"));
    let x = x.ok_or(BrokenSeal::NoKey)?;
    let key = URL_SAFE_NO_PAD.decode(x).map_err(|_| BrokenSeal::NoKey)?;
    let mut parts = signature.trim().split('.');
    let (Some(header), Some(""), Some(bits), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(BrokenSeal::Unreadable);
    };
    let bits = URL_SAFE_NO_PAD.decode(bits).map_err(|_| BrokenSeal::Unreadable)?;
    let decoded = URL_SAFE_NO_PAD.decode(header).map_err(|_| BrokenSeal::Unreadable)?;
    let said = std::str::from_utf8(&decoded).ok().and_then(|text| read(text).ok());
    let said = said.ok_or(BrokenSeal::Unreadable)?;
    let says = |name: &str| said.get(name).and_then(Value::as_str);
    // The algorithm is ours to choose, whatever the header says; what it says beyond may have a meaning we do not know.
    let known = said.as_object().is_some_and(|said| said.keys().all(|name| HEADER.contains(&name.as_str())));
    if !known || says("alg") != Some("EdDSA") || says("typ") != Some(kind) {
        return Err(BrokenSeal::Unreadable);
    }
    if !is_plain(document) {
        return Err(BrokenSeal::Ambiguous);
    }
    if says("kid") != Some(thumbprint(x).as_str()) {
        return Err(BrokenSeal::OtherKey);
    }
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(message(header, document).as_bytes(), &bits).map_err(|_| BrokenSeal::Changed)
}

/// What a header of ours says.
const HEADER: [&str; 3] = ["alg", "kid", "typ"];

/// Whether all numbers are whole and small enough to be the same number to everybody (RFC 7493).
fn is_plain(value: &Value) -> bool {
    const MOST: u64 = (1 << 53) - 1;
    match value {
        Value::Number(number) => {
            let size = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
            size.is_some_and(|size| size <= MOST)
        }
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(map) => map.values().all(is_plain),
        _ => true,
    }
}

/// Reads a sealed document that came from elsewhere. A name that stands there twice is refused: one program would read
/// the first, another the last, and only one of them is sealed.
///
/// # Errors
/// What is wrong with the text.
pub fn read(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str::<Strict>(text).map(|Strict(value)| value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Value, A::Error> {
        let mut all = serde_json::Map::new();
        while let Some((name, Strict(value))) = pairs.next_entry::<String, Strict>()? {
            if all.contains_key(&name) {
                return Err(A::Error::custom(format!("the name {name:?} stands there twice")));
            }
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

fn message(header: &str, document: &Value) -> String {
    format!("{header}.{}", URL_SAFE_NO_PAD.encode(canonical(document)))
}

fn thumbprint(x: &str) -> String {
    let text = canonical(&json!({"crv": "Ed25519", "kty": "OKP", "x": x}));
    URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()))
}

/// The one text of a JSON document: names in order, no space between. Numbers must be whole, which all of ours are;
/// others would need a form of their own.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            // The order of RFC 8785 is that of UTF-16.
            names.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            let part = |name: &String| {
                let value = map.get(name).map(canonical).unwrap_or_default();
                format!("{}:{value}", Value::from(name.clone()))
            };
            format!("{{{}}}", names.into_iter().map(part).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}
