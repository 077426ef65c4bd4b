//! Signatures beside a document (RFC 7515, appendix F) by one Ed25519 key, for records that others check years later
//! without this server; and the one text that a JSON document has for that purpose (RFC 8785).

use crate::PkiError;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

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
    let said: Value = serde_json::from_slice(&decoded).map_err(|_| BrokenSeal::Unreadable)?;
    let says = |name: &str| said.get(name).and_then(Value::as_str);
    // The algorithm is ours to choose, whatever the header says.
    if says("alg") != Some("EdDSA") || says("typ") != Some(kind) {
        return Err(BrokenSeal::Unreadable);
    }
    if says("kid") != Some(thumbprint(x).as_str()) {
        return Err(BrokenSeal::OtherKey);
    }
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(message(header, document).as_bytes(), &bits).map_err(|_| BrokenSeal::Changed)
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
