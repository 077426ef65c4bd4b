//! Public keys as COSE (RFC 9052, 9053, 8230), and the algorithms that are offered.

use crate::{Refusal, cbor::Cbor, der};
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

/// An algorithm of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the registry's names")]
pub enum Algorithm {
    Es256,
    EdDsa,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
    Rs256,
    Rs384,
    Rs512,
    /// RSA with SHA-1: only in attestations of older TPMs, never for a credential.
    Rs1,
}

impl Algorithm {
    /// Those a credential may use, in the order in which they are offered.
    pub const OFFERED: [Self; 9] = [
        Self::Es256,
        Self::EdDsa,
        Self::Es512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// Number in the COSE registry.
    pub fn number(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
            Self::Es384 => -35,
            Self::Es512 => -36,
            Self::Ps256 => -37,
            Self::Ps384 => -38,
            Self::Ps512 => -39,
            Self::Rs256 => -257,
            Self::Rs384 => -258,
            Self::Rs512 => -259,
            Self::Rs1 => -65535,
        }
    }

    /// The algorithm of a number, offered or not.
    pub(crate) fn of(number: i64) -> Option<Self> {
        let all = Self::OFFERED.into_iter().chain([Self::Es384, Self::Rs1]);
        all.into_iter().find(|a| a.number() == number)
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::EdDsa => &signature::ED25519,
            Self::Es384 => &signature::ECDSA_P384_SHA384_ASN1,
            Self::Es512 => &signature::ECDSA_P521_SHA512_ASN1,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Rs1 => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        }
    }

    /// Checks a signature by a key in the form of [`PublicKey::raw`].
    pub(crate) fn check(self, raw_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let key = ParsedPublicKey::new(self.verification(), raw_key).map_err(|_| Refusal::Key)?;
        key.verify_sig(message, signature).map_err(|_| Refusal::Signature)
    }
}

/// A credential's key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PublicKey {
    pub(crate) algorithm: Algorithm,
    /// What X.509 has in its bit string: an uncompressed point, the bytes of an Ed25519 key, or an `RSAPublicKey`.
    pub(crate) raw: Vec<u8>,
}

impl PublicKey {
    /// Reads a key and checks that it is one: of an offered algorithm, on its curve, not too short.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let map = Cbor::whole(bytes).map_err(|_| Refusal::Key)?;
        let number = map.at(3).and_then(Cbor::int).ok_or(Refusal::Key)?;
        let algorithm = Algorithm::OFFERED.into_iter().find(|a| a.number() == number).ok_or(Refusal::Algorithm)?;
        let raw = match algorithm {
            Algorithm::Es256 => point(&map, 1, 32),
            Algorithm::Es512 => point(&map, 3, 66),
            Algorithm::EdDsa => edwards(&map),
            _ => rsa(&map),
        }
        .ok_or(Refusal::Key)?;
        ParsedPublicKey::new(algorithm.verification(), &raw).map_err(|_| Refusal::Key)?;
        Ok(Self { algorithm, raw })
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        self.algorithm.check(&self.raw, message, signature)
    }
}

fn is(map: &Cbor<'_>, key: i64, value: i64) -> Option<()> {
    (map.at(key)?.int()? == value).then_some(())
}

fn point(map: &Cbor<'_>, curve: i64, size: usize) -> Option<Vec<u8>> {
    is(map, 1, 2)?;
    is(map, -1, curve)?;
    let (x, y) = (map.at(-2)?.bytes()?, map.at(-3)?.bytes()?);
    (x.len() == size && y.len() == size).then(|| [&[4], x, y].concat())
}

fn edwards(map: &Cbor<'_>) -> Option<Vec<u8>> {
    is(map, 1, 1)?;
    is(map, -1, 6)?;
    map.at(-2)?.bytes().filter(|x| x.len() == 32).map(<[u8]>::to_vec)
}

fn rsa(map: &Cbor<'_>) -> Option<Vec<u8>> {
    is(map, 1, 3)?;
    let (modulus, exponent) = (map.at(-1)?.bytes()?, map.at(-2)?.bytes()?);
    // 2048 to 8192 bits, without zeros in front.
    let fits = (256..=1024).contains(&modulus.len()) && modulus.first()? & 0x80 != 0 && exponent.len() <= 4;
    fits.then(|| der::rsa_public_key(modulus, exponent))?
}
