//! PEM texts.

use crate::PkiError;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject as _},
};

/// Most certificates that are read from one text.
pub const MAX_CERTIFICATES: usize = 16;

/// All certificates of a text, in order; the first is the one that is meant, others complete its chain.
///
/// # Errors
/// When there is none, or something between the marks is no base64.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        if found.len() == MAX_CERTIFICATES {
            return Err(PkiError::TooMany);
        }
        found.push(certificate.map_err(|_| PkiError::NoCertificate)?);
    }
    if found.is_empty() { Err(PkiError::NoCertificate) } else { Ok(found) }
}

/// The private key of a text.
///
/// # Errors
/// When there is none, or it is encrypted.
pub fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        Error::NoItemsFound if text.contains("ENCRYPTED PRIVATE KEY") => PkiError::EncryptedKey,
        _ if text.contains("Proc-Type: 4,ENCRYPTED") => PkiError::EncryptedKey,
        _ => PkiError::NoKey,
    })
}

/// Wraps bytes in PEM with this label.
pub fn wrap(label: &str, bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(bytes);
    let mut lines: Vec<String> = vec![format!("-----BEGIN {label}-----")];
    lines.extend(text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()));
    lines.push(format!("-----END {label}-----\n"));
    lines.join("\n")
}
