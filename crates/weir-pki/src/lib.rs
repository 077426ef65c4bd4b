//! Certificates and their private keys: reading, matching, making, verifying chains, signing with them; and the kind of
//! object that keeps them. Knows no HTTP and no flow.
//!
//! Start at [`CertificateKeyPair`]; what a certificate says is [`Facts`]; whether one may sign in is [`Authorities`].

mod certificate;
mod chain;
mod ed448;
mod generate;
mod jws;
mod key;
mod keypair;
mod name;
pub mod pem;
pub mod seal;
#[cfg(test)]
mod tests;

pub use certificate::{Facts, KeyType};
pub use chain::{Authorities, Refusal};
pub use generate::{Algorithm, SelfSigned, Wish, self_signed};
pub use jws::Signer;
pub use key::PrivateKey;
pub use keypair::{CertificateKeyPair, Part, view};
pub use seal::Seal;

use std::sync::Arc;
use weir_core::{Resource, ResourceType};
use weir_resource::HookSet;

/// The kinds of this crate.
pub fn resources() -> Vec<ResourceType> {
    vec![ResourceType::of::<CertificateKeyPair>()]
}

/// Their special behaviour.
pub fn hooks(set: &mut HookSet) {
    set.add(CertificateKeyPair::MODEL, Arc::new(keypair::KeyPairHooks));
}

/// Why something is no certificate or key of use. The text is fit for whoever sent it and repeats nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    /// No certificate in PEM form.
    #[error("This is no certificate in PEM form.")]
    NoCertificate,
    /// More certificates than a chain has.
    #[error("There are more than {} certificates.", pem::MAX_CERTIFICATES)]
    TooMany,
    /// PEM, but no X.509 inside.
    #[error("The certificate cannot be read.")]
    BadCertificate,
    /// No private key in PEM form.
    #[error("This is no private key in PEM form.")]
    NoKey,
    /// A key behind a passphrase.
    #[error("The private key is encrypted; it must be given without a passphrase.")]
    EncryptedKey,
    /// A key of an algorithm, size or form that nothing here can use.
    #[error(
        "The private key is not of a supported kind (RSA of 2048 bits and more, P-256, P-384, P-521, Ed25519, Ed448)."
    )]
    UnsupportedKey,
    /// Key and certificate do not belong together.
    #[error("The private key does not belong to the certificate.")]
    Mismatch,
}
