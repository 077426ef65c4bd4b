//! Whether a certificate that a client shows leads to an authority that is trusted for it.

use crate::{Facts, PkiError, pem};
use chrono::{DateTime, Utc};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Most certificates that a client may send to complete its chain.
const MAX_INTERMEDIATES: usize = 8;

/// Why a certificate does not count; for logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] PkiError),
    /// It leads to no authority, or something on the way there is not valid.
    #[error("the chain does not hold: {0}")]
    Chain(String),
    /// It does not say that it is for clients.
    #[error("the certificate is not meant for clients")]
    NotForClients,
}

/// Certificates of authorities that may vouch for clients.
#[derive(Default)]
pub struct Authorities {
    anchors: Vec<TrustAnchor<'static>>,
    intermediates: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Reads the authorities' PEM texts. The first certificate of a text is trusted; further ones may complete a chain to
    /// one that is. Those that cannot be read or are not valid now vouch for nobody.
    pub fn read<'t>(texts: impl IntoIterator<Item = &'t str>, now: DateTime<Utc>) -> Self {
        let mut found = Self::default();
        for text in texts {
            let mut chain = pem::certificates(text).unwrap_or_default().into_iter();
            let Some(first) = chain.next() else { continue };
            if let Ok(anchor) = anchor_from_trusted_cert(&first)
                && Facts::read(&first).is_ok_and(|facts| facts.is_valid_at(now))
            {
                found.anchors.push(anchor.to_owned());
            }
            found.intermediates.extend(chain);
        }
        found
    }

    /// The names of the trusted certificates as they stand there: DER without the outer tag and length.
    pub fn subjects(&self) -> impl Iterator<Item = Vec<u8>> {
        self.anchors.iter().map(|anchor| anchor.subject.as_ref().to_vec())
    }

    /// Checks the first certificate of a chain: signatures up to an authority, validity of each, and that it is meant for
    /// clients. The others only help on the way. That the client has the key was proven elsewhere.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn verify(&self, chain: &[Vec<u8>], now: DateTime<Utc>) -> Result<Facts, Refusal> {
        let (leaf, rest) = chain.split_first().ok_or(PkiError::NoCertificate)?;
        let facts = Facts::read(leaf)?;
        let leaf = CertificateDer::from(leaf.as_slice());
        let sent = rest.iter().take(MAX_INTERMEDIATES).map(|der| CertificateDer::from(der.as_slice()));
        let intermediates: Vec<CertificateDer<'_>> = sent.chain(self.intermediates.iter().cloned()).collect();
        let refused = |error: webpki::Error| Refusal::Chain(error.to_string());
        let certificate = EndEntityCert::try_from(&leaf).map_err(refused)?;
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        certificate
            .verify_for_usage(
                ALL_VERIFICATION_ALGS,
                &self.anchors,
                &intermediates,
                UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                // Of authorities on the way; the leaf must say so itself.
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(refused)?;
        if facts.is_for_clients { Ok(facts) } else { Err(Refusal::NotForClients) }
    }
}
