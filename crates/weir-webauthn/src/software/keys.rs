//! Keys of credentials.

use super::cbor;
use crate::Algorithm;
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair},
};

enum Pair {
    Curve(Box<EcdsaKeyPair>),
    Edwards(Box<Ed25519KeyPair>),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
}

/// A key that signs.
pub struct SigningKey {
    /// For this algorithm.
    pub algorithm: Algorithm,
    pair: Pair,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Panics
    /// For algorithms that no credential may use.
    pub fn generate(algorithm: Algorithm) -> Self {
        let curve = |how| Pair::Curve(Box::new(EcdsaKeyPair::generate(how).unwrap()));
        let rsa = |how| Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()), how);
        let pair = match algorithm {
            Algorithm::Es256 => curve(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
            Algorithm::Es512 => curve(&signature::ECDSA_P521_SHA512_ASN1_SIGNING),
            Algorithm::EdDsa => Pair::Edwards(Box::new(Ed25519KeyPair::generate().unwrap())),
            Algorithm::Ps256 => rsa(&signature::RSA_PSS_SHA256),
            Algorithm::Ps384 => rsa(&signature::RSA_PSS_SHA384),
            Algorithm::Ps512 => rsa(&signature::RSA_PSS_SHA512),
            Algorithm::Rs256 => rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::Rs384 => rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::Rs512 => rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::Es384 | Algorithm::Rs1 => panic!("{algorithm:?} is not offered"),
        };
        Self { algorithm, pair }
    }

    /// A signature.
    ///
    /// # Panics
    /// When the library refuses.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Curve(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair, how) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(*how, &random, message, &mut out).unwrap();
                out
            }
        }
    }

    /// The public key as X.509 has it in its bit string.
    pub fn raw(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Curve(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Edwards(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair, _) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// The private key as PKCS #8, to make certificates for it.
    ///
    /// # Panics
    /// For RSA.
    pub fn pkcs8(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Curve(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            _ => panic!("only for keys on curves"),
        }
    }

    /// The public key as COSE.
    ///
    /// # Panics
    /// Never.
    pub fn cose(&self) -> Vec<u8> {
        let raw = self.raw();
        let number = self.algorithm.number();
        cbor(|e| match &self.pair {
            Pair::Curve(_) => {
                let (x, y) = raw[1..].split_at(raw.len() / 2);
                let curve = if self.algorithm == Algorithm::Es256 { 1 } else { 3 };
                e.map(5).unwrap().i8(1).unwrap().i8(2).unwrap().i8(3).unwrap().i64(number).unwrap();
                e.i8(-1)
                    .unwrap()
                    .i8(curve)
                    .unwrap()
                    .i8(-2)
                    .unwrap()
                    .bytes(x)
                    .unwrap()
                    .i8(-3)
                    .unwrap()
                    .bytes(y)
                    .unwrap();
            }
            Pair::Edwards(_) => {
                e.map(4).unwrap().i8(1).unwrap().i8(1).unwrap().i8(3).unwrap().i64(number).unwrap();
                e.i8(-1).unwrap().i8(6).unwrap().i8(-2).unwrap().bytes(&raw).unwrap();
            }
            Pair::Rsa(..) => {
                let sequence = crate::der::only(&raw).unwrap();
                let numbers = crate::der::all(sequence.content).unwrap();
                let digits =
                    |n: usize| -> Vec<u8> { numbers[n].content.iter().copied().skip_while(|b| *b == 0).collect() };
                e.map(4).unwrap().i8(1).unwrap().i8(3).unwrap().i8(3).unwrap().i64(number).unwrap();
                e.i8(-1).unwrap().bytes(&digits(0)).unwrap().i8(-2).unwrap().bytes(&digits(1)).unwrap();
            }
        })
    }
}
