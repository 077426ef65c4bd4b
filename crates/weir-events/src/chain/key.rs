//! The key of an installation for its audit trail.

use super::hex;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Signs ends and gaps.
#[derive(Clone)]
pub struct ChainKey([u8; 32]);

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKey")
    }
}

impl ChainKey {
    /// The key that follows from an installation's secret.
    pub fn derive(secret: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"weir audit trail");
        digest.update(secret);
        Self(digest.finalize().into())
    }

    fn mac(&self, parts: &[String]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac)
    }

    pub(super) fn sign(&self, parts: &[String]) -> String {
        self.mac(parts).map(|mac| hex(&mac.finalize().into_bytes())).unwrap_or_default()
    }

    pub(super) fn verify(&self, parts: &[String], signature: &str) -> bool {
        let bytes: Option<Vec<u8>> = (0..signature.len())
            .step_by(2)
            .map(|at| signature.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect();
        match (bytes, self.mac(parts)) {
            (Some(bytes), Some(mac)) => mac.verify_slice(&bytes).is_ok(),
            _ => false,
        }
    }
}
