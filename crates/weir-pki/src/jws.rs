//! JSON Web Signatures (RFC 7515) by a stored key pair, and its public key as a JSON Web Key (RFC 7517).

use crate::{Facts, KeyType, PkiError, PrivateKey, pem};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::SignatureScheme;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _, public_key::PublicKey};

/// A key pair that signs tokens. The algorithm follows from the key.
#[derive(Debug)]
pub struct Signer {
    key: PrivateKey,
    kid: String,
    algorithm: Algorithm,
    jwk: Map<String, Value>,
}

#[derive(Clone, Copy, Debug)]
struct Algorithm {
    /// `alg` of a token (RFC 7518, RFC 8037).
    name: &'static str,
    scheme: SignatureScheme,
    /// Bytes of one coordinate of the curve; ECDSA only.
    coordinate: usize,
}

impl Algorithm {
    fn of(kind: KeyType, public_key: &[u8]) -> Option<Self> {
        let (name, scheme, coordinate) = match (kind, public_key.len()) {
            (KeyType::Rsa, _) => ("RS256", SignatureScheme::RSA_PKCS1_SHA256, 0),
            (KeyType::Ec, 65) => ("ES256", SignatureScheme::ECDSA_NISTP256_SHA256, 32),
            (KeyType::Ec, 97) => ("ES384", SignatureScheme::ECDSA_NISTP384_SHA384, 48),
            (KeyType::Ec, 133) => ("ES512", SignatureScheme::ECDSA_NISTP521_SHA512, 66),
            (KeyType::Ed25519, _) => ("EdDSA", SignatureScheme::ED25519, 0),
            (KeyType::Ed448, _) => ("EdDSA", SignatureScheme::ED448, 0),
            _ => return None,
        };
        Some(Self { name, scheme, coordinate })
    }
}

impl Signer {
    /// A signer from PEM texts.
    ///
    /// # Errors
    /// When one cannot be read, or they do not belong together.
    pub fn read(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let chain = pem::certificates(certificate)?;
        let der = chain.first().ok_or(PkiError::NoCertificate)?;
        let facts = Facts::read(der)?;
        let key = PrivateKey::read(key)?;
        if key.public_key != facts.public_key || Some(key.kind) != facts.key_type {
            return Err(PkiError::Mismatch);
        }
        let algorithm = Algorithm::of(key.kind, &key.public_key).ok_or(PkiError::UnsupportedKey)?;
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(der));
        let jwk = jwk(der, key.kind, algorithm.name, &kid)?;
        Ok(Self { key, kid, algorithm, jwk })
    }

    /// What tells this key from others: the digest of its certificate.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as a JSON Web Key.
    pub fn jwk(&self) -> Value {
        Value::Object(self.jwk.clone())
    }

    /// Claims as a signed token.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, claims: &Value) -> Result<String, PkiError> {
        let header = json!({"alg": self.algorithm.name, "kid": self.kid, "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let mut signature = self.key.sign(self.algorithm.scheme, message.as_bytes())?;
        if self.algorithm.coordinate > 0 {
            signature = fixed(&signature, self.algorithm.coordinate).ok_or(PkiError::UnsupportedKey)?;
        }
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// An ECDSA signature as two numbers of fixed length (RFC 7518 §3.4), from the sequence of two integers it comes as.
fn fixed(der: &[u8], length: usize) -> Option<Vec<u8>> {
    let (_, content) = element(der, 0x30)?;
    let (rest, first) = element(content, 0x02)?;
    let (_, second) = element(rest, 0x02)?;
    let mut out = Vec::with_capacity(2 * length);
    for number in [first, second] {
        let significant = number.iter().skip_while(|byte| **byte == 0).count();
        let digits = number.get(number.len() - significant..)?;
        out.resize(out.len() + length.checked_sub(significant)?, 0);
        out.extend_from_slice(digits);
    }
    Some(out)
}

/// The rest and the content of the first element, which must have this tag and be shorter than 256 bytes.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, start) = match der.get(..3)? {
        [found, 0x81, length] if *found == tag => (usize::from(*length), 3),
        [found, length, _] if *found == tag && *length < 0x80 => (usize::from(*length), 2),
        _ => return None,
    };
    let content = der.get(start..start + length)?;
    Some((der.get(start + length..)?, content))
}

fn jwk(der: &[u8], kind: KeyType, algorithm: &str, kid: &str) -> Result<Map<String, Value>, PkiError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| PkiError::BadCertificate)?;
    let info = certificate.public_key();
    let bits = &info.subject_public_key.data;
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let unsigned = |bytes: &[u8]| text(&bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>());
    let mut key = json!({"kid": kid, "use": "sig", "alg": algorithm});
    let more = match (kind, info.parsed()) {
        (KeyType::Rsa, Ok(PublicKey::RSA(key))) => {
            json!({"kty": "RSA", "n": unsigned(key.modulus), "e": unsigned(key.exponent)})
        }
        (KeyType::Ec, _) => {
            let (x, y) = bits.get(1..).map(|point| point.split_at(point.len() / 2)).ok_or(PkiError::BadCertificate)?;
            let curve = match x.len() {
                32 => "P-256",
                48 => "P-384",
                _ => "P-521",
            };
            json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
        }
        (KeyType::Ed25519, _) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(bits)}),
        (KeyType::Ed448, _) => json!({"kty": "OKP", "crv": "Ed448", "x": text(bits)}),
        _ => return Err(PkiError::UnsupportedKey),
    };
    match (key.as_object_mut(), more) {
        (Some(key), Value::Object(more)) => {
            key.extend(more);
            Ok(std::mem::take(key))
        }
        _ => Err(PkiError::UnsupportedKey),
    }
}
