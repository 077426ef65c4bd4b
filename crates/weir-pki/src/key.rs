//! Private keys.

use crate::{KeyType, PkiError, certificate, ed448, pem};
use rustls::{
    SignatureScheme, crypto::aws_lc_rs::sign::any_supported_type, pki_types::PrivateKeyDer, sign::SigningKey,
};
use std::{fmt, sync::Arc};
use x509_parser::{prelude::FromDer as _, x509::SubjectPublicKeyInfo};

enum Inner {
    Tls(Arc<dyn SigningKey>),
    Ed448(Box<ed448_goldilocks::SigningKey>),
}

/// A private key that can sign.
pub struct PrivateKey {
    inner: Inner,
    /// Its algorithm.
    pub kind: KeyType,
    /// The bits of the public key that belongs to it.
    pub public_key: Vec<u8>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?})", self.kind)
    }
}

impl PrivateKey {
    /// Reads a key: PKCS #8, or the older forms of RSA and elliptic curves.
    ///
    /// # Errors
    /// When this is no key, an encrypted one, or one that nothing here can use.
    pub fn read(text: &str) -> Result<Self, PkiError> {
        let der = pem::private_key(text)?;
        if let PrivateKeyDer::Pkcs8(pkcs8) = &der
            && let Some(key) = ed448::read(pkcs8.secret_pkcs8_der())?
        {
            let public_key = key.verifying_key().to_bytes().to_vec();
            return Ok(Self { inner: Inner::Ed448(Box::new(key)), kind: KeyType::Ed448, public_key });
        }
        let key = any_supported_type(&der).map_err(|_| PkiError::UnsupportedKey)?;
        let info = key.public_key().ok_or(PkiError::UnsupportedKey)?;
        let (_, info) = SubjectPublicKeyInfo::from_der(&info).map_err(|_| PkiError::UnsupportedKey)?;
        let (kind, public_key) = certificate::public_key(&info);
        let kind = kind.ok_or(PkiError::UnsupportedKey)?;
        Ok(Self { inner: Inner::Tls(key), kind, public_key })
    }

    /// The signature of a message by the first of these schemes that fits the key; Ed448 has only one.
    ///
    /// # Errors
    /// When none fits.
    pub(crate) fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        match &self.inner {
            Inner::Ed448(key) => Ok(key.sign_raw(message).to_bytes().to_vec()),
            Inner::Tls(key) => {
                let signer = key.choose_scheme(&[scheme]).ok_or(PkiError::UnsupportedKey)?;
                signer.sign(message).map_err(|_| PkiError::UnsupportedKey)
            }
        }
    }
}
