//! The certificates of the TLS listener: files of the administrator, certificates of brands, or one of our own making.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use weir_core::Random;
use weir_http::tls::{Authorities, ServerKey, Surroundings, Tls};
use weir_identity::{Brand, brand_for_host};
use weir_pki::{Algorithm, CertificateKeyPair, Facts, Wish, pem};
use weir_resource::{Site, Snapshot};
use weir_stages::mtls::MutualTLSStage;

use crate::config::{Config, ConfigError};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Name of our own certificate in the data folder.
const OWN_FILE: &str = "tls-self-signed.pem";
/// Life of our own certificate.
const OWN_LIFE: TimeDelta = TimeDelta::days(825);
/// How long before its end it is made anew at a start.
const OWN_MARGIN: TimeDelta = TimeDelta::days(30);

/// TLS as the settings want it. The returned future looks after the files until it is dropped.
///
/// # Errors
/// When the certificate or its key cannot be used.
pub async fn open(config: &Config, site: &Arc<Site>) -> Result<(Arc<Tls>, impl Future<Output = ()> + Send + use<>)> {
    let files = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Some(Files { certificate: certificate.clone(), key: key.clone() }),
        _ => None,
    };
    let key = match &files {
        Some(files) => files.load().map_err(|error| ConfigError(format!("tls.certificate, tls.key: {error:#}")))?,
        None => {
            let (path, random) = (config.data_dir.join(OWN_FILE), Arc::clone(&site.random));
            let (name, now) = (config.listen_tls.map(|address| address.ip().to_string()), site.clock.now());
            let own = tokio::task::spawn_blocking(move || own(&path, name, now, &*random));
            own.await?.context("the listener's own certificate")?
        }
    };
    let surroundings = Arc::new(Configuration { site: Arc::clone(site), known: ArcSwapOption::empty() });
    let tls = Arc::new(Tls::new(key, surroundings)?);
    let watched = Arc::clone(&tls);
    Ok((tls, async move {
        match files {
            Some(files) => files.follow(&watched).await,
            None => std::future::pending().await,
        }
    }))
}

/// The administrator's files.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn read(&self) -> Result<(String, String)> {
        let read = |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    fn load(&self) -> Result<ServerKey> {
        let (certificate, key) = self.read()?;
        ServerKey::read(&certificate, &key)
    }

    /// Takes over what changes. Two files cannot be replaced at once: as long as they do not fit together, the old ones
    /// stay in use.
    async fn follow(self, tls: &Tls) {
        let files = Arc::new(self);
        let read = |files: Arc<Self>| async move {
            tokio::task::spawn_blocking(move || files.read()).await.unwrap_or_else(|error| Err(anyhow!(error)))
        };
        let mut seen = read(Arc::clone(&files)).await.ok();
        loop {
            tokio::time::sleep(LOOK).await;
            let found = match read(Arc::clone(&files)).await {
                Ok(found) if seen.as_ref() == Some(&found) => continue,
                Ok(found) => found,
                // Perhaps just being replaced.
                Err(_) => continue,
            };
            match ServerKey::read(&found.0, &found.1) {
                Ok(key) => {
                    tls.replace(key);
                    tracing::info!("the TLS listener shows a new certificate");
                }
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the new files of the TLS listener cannot be used");
                }
            }
            seen = Some(found);
        }
    }
}

/// Our own certificate, made when there is none or it is about to end.
fn own(path: &Path, address: Option<String>, now: DateTime<Utc>, random: &dyn Random) -> Result<ServerKey> {
    if let Ok(text) = fs::read_to_string(path)
        && let Ok(chain) = pem::certificates(&text)
        && let Some(facts) = chain.first().and_then(|first| Facts::read(first).ok())
        && facts.not_after > now + OWN_MARGIN
    {
        return ServerKey::read(&text, &text).with_context(|| path.display().to_string());
    }
    let mut bytes = [0; 73];
    random.fill(&mut bytes);
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(address.filter(|address| !names.contains(address)));
    let made = weir_pki::self_signed(&Wish {
        common_name: "localhost",
        names,
        not_before: now - TimeDelta::hours(1),
        not_after: now + OWN_LIFE,
        algorithm: Algorithm::Ecdsa,
        is_server: true,
        random: bytes,
    })?;
    let text = made.certificate + &made.key;
    write_private(path, &text).with_context(|| path.display().to_string())?;
    tracing::info!(path = %path.display(), "made a self-signed certificate for the TLS listener");
    ServerKey::read(&text, &text)
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let _ = fs::remove_file(&new);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(fs::rename(&new, path)?)
}

/// Which certificates the configuration has for hosts, and which it wants of clients.
struct Configuration {
    site: Arc<Site>,
    known: ArcSwapOption<Known>,
}

/// What was worked out of one revision of the configuration.
struct Known {
    revision: i64,
    asks_for: Option<Authorities>,
    /// Certificates of brands, by the brand's domain.
    keys: Vec<(String, ServerKey)>,
}

impl Configuration {
    fn known(&self) -> Arc<Known> {
        let snapshot = self.site.snapshot();
        let before = self.known.load_full();
        if let Some(known) = before.as_ref().filter(|known| known.revision == snapshot.revision) {
            return Arc::clone(known);
        }
        let asks_for = wanted(&snapshot, self.site.clock.now());
        // The same list stays the same allocation: the listener compares by address.
        let asks_for = match (asks_for, before.as_ref().and_then(|known| known.asks_for.clone())) {
            (Some(new), Some(old)) if new == *old => Some(old),
            (new, _) => new.map(Arc::new),
        };
        let known = Arc::new(Known { revision: snapshot.revision, asks_for, keys: keys(&snapshot) });
        self.known.store(Some(Arc::clone(&known)));
        known
    }
}

/// Names of all authorities that vouch for clients, or none when no stage asks for certificates.
fn wanted(snapshot: &Snapshot, now: DateTime<Utc>) -> Option<Vec<Vec<u8>>> {
    let stages: Vec<_> = snapshot.all::<MutualTLSStage>().into_iter().map(|(_, stage)| stage).collect();
    if stages.is_empty() {
        return None;
    }
    let brands: Vec<_> = snapshot.all::<Brand>().into_iter().map(|(_, brand)| brand).collect();
    let references = stages.iter().flat_map(|stage| &stage.certificate_authorities);
    let references = references.chain(brands.iter().flat_map(|brand| &brand.client_certificates));
    let pairs: Vec<_> = references.filter_map(|pair| snapshot.get::<CertificateKeyPair>(pair.uuid())).collect();
    let authorities = CertificateKeyPair::authorities(pairs.iter().map(|pair| &**pair), now);
    let mut names: Vec<Vec<u8>> = authorities.subjects().collect();
    names.sort();
    names.dedup();
    Some(names)
}

fn keys(snapshot: &Snapshot) -> Vec<(String, ServerKey)> {
    let of_brand = |brand: &Brand| {
        let pair = snapshot.get::<CertificateKeyPair>(brand.web_certificate.as_ref()?.uuid())?;
        match ServerKey::read(&pair.certificate_data.0, &pair.key_data.0) {
            Ok(key) => Some((brand.domain.clone(), key)),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(brand = brand.domain, error, "the certificate of a brand cannot be shown");
                None
            }
        }
    };
    snapshot.all::<Brand>().into_iter().filter_map(|(_, brand)| of_brand(&brand)).collect()
}

impl Surroundings for Configuration {
    fn find_key(&self, host: &str) -> Option<ServerKey> {
        let known = self.known();
        if known.keys.is_empty() {
            return None;
        }
        let (_, brand) = brand_for_host(&self.site.snapshot(), host);
        known.keys.iter().find(|(domain, _)| *domain == brand.domain).map(|(_, key)| key.clone())
    }

    fn asks_for(&self) -> Option<Authorities> {
        self.known().asks_for.clone()
    }
}
