//! TLS of the listener: which certificate it shows, and which it asks of clients.
//!
//! A client's certificate is taken whoever signed it: the handshake proves that the client has the key, and only that.
//! What the certificate is worth is for the stage that wants one; everybody else is served without.

use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{self, CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, UnixTime},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{
    fmt,
    sync::{Arc, LazyLock},
};
use weir_pki::pem;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// The certificates of the client at the other end of a TLS connection, its own first; put into each request of the
/// connection by the server. Empty for clients that showed none.
#[derive(Clone, Debug, Default)]
pub struct Secured(pub Arc<[Vec<u8>]>);

/// A certificate with its chain and private key, as the listener shows it.
#[derive(Clone, Debug)]
pub struct ServerKey(Arc<CertifiedKey>);

impl ServerKey {
    /// From PEM texts.
    ///
    /// # Errors
    /// When one cannot be read, or they do not belong together.
    pub fn read(certificates: &str, key: &str) -> Result<Self> {
        let (chain, key) = (pem::certificates(certificates)?, pem::private_key(key)?);
        let key = CertifiedKey::from_der(chain, key, &PROVIDER).context("the certificate and its key")?;
        Ok(Self(Arc::new(key)))
    }
}

/// Names of the authorities whose certificates are asked for, DER without the outer tag and length; without any, every
/// certificate is welcome.
pub type Authorities = Arc<Vec<Vec<u8>>>;

/// What the listener asks of the configuration at each handshake.
pub trait Surroundings: Send + Sync + 'static {
    /// The certificate of a host, when it has one of its own.
    fn find_key(&self, host: &str) -> Option<ServerKey>;
    /// What is asked of clients; none when nothing wants a certificate. The same `Arc` as long as nothing changes.
    fn asks_for(&self) -> Option<Authorities>;
}

/// TLS for a listener; its parts may be replaced while it runs.
pub struct Tls {
    keys: Arc<Keys>,
    current: ArcSwap<Current>,
}

struct Current {
    asks_for: Option<Authorities>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// A listener that shows this certificate to whoever names no host with one of its own.
    ///
    /// # Errors
    /// Never with a sound TLS library.
    pub fn new(key: ServerKey, surroundings: Arc<dyn Surroundings>) -> Result<Self> {
        let keys = Arc::new(Keys { usual: ArcSwap::new(key.0), surroundings });
        let current = Arc::new(Current { asks_for: None, config: config(&keys, None)? });
        Ok(Self { keys, current: ArcSwap::new(current) })
    }

    /// Shows another certificate from the next handshake on.
    pub fn replace(&self, key: ServerKey) {
        self.keys.usual.store(key.0);
    }

    /// The configuration for one handshake.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let current = self.current.load_full();
        let wanted = self.keys.surroundings.asks_for();
        let same = match (&wanted, &current.asks_for) {
            (None, None) => true,
            (Some(wanted), Some(current)) => Arc::ptr_eq(wanted, current),
            _ => false,
        };
        if same {
            return Arc::clone(&current.config);
        }
        match config(&self.keys, wanted.as_deref()) {
            Ok(config) => {
                let next = Current { asks_for: wanted, config: Arc::clone(&config) };
                self.current.store(Arc::new(next));
                config
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the TLS listener could not be changed");
                Arc::clone(&current.config)
            }
        }
    }
}

fn config(keys: &Arc<Keys>, asks_for: Option<&Vec<Vec<u8>>>) -> Result<Arc<ServerConfig>> {
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&PROVIDER)).with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match asks_for {
        None => builder.with_no_client_auth(),
        Some(names) => {
            // A list that does not fit into the message (RFC 8446 §4.2.4) is left out: clients then choose by themselves.
            let is_short = names.iter().map(|name| name.len() + 8).sum::<usize>() < 1 << 15;
            let names = if is_short { names.as_slice() } else { &[] };
            let hints = names.iter().map(|name| DistinguishedName::in_sequence(name)).collect();
            builder.with_client_cert_verifier(Arc::new(AnyClient { hints }))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::clone(keys) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

struct Keys {
    usual: ArcSwap<CertifiedKey>,
    surroundings: Arc<dyn Surroundings>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = hello.server_name().and_then(|host| self.surroundings.find_key(host));
        Some(own.map_or_else(|| self.usual.load_full(), |key| key.0))
    }
}

/// Asks for a certificate, demands none, and looks only at the proof that the client has its key.
#[derive(Debug)]
struct AnyClient {
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
