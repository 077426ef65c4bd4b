//! Where an address is and whose network it belongs to, from database files that the administrator gives (MaxMind's
//! format; none are shipped). Knows no settings, no events and no network: it reads files and answers from memory.

#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
#[cfg(test)]
mod tests;

use arc_swap::{ArcSwap, ArcSwapOption};
use maxminddb::Reader;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// The largest file that is read into memory.
const LARGEST: u64 = 1024 * 1024 * 1024;

/// Where an address is, as policies, events and sessions name it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Place {
    /// Two letters of the continent.
    pub continent: Option<String>,
    /// ISO code of the country.
    pub country: Option<String>,
    /// Latitude.
    pub lat: Option<f64>,
    /// Longitude.
    pub long: Option<f64>,
    /// English name of the city; empty when unknown.
    pub city: String,
}

/// The network of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Who runs it.
    pub as_org: Option<String>,
    /// The network in the database.
    pub network: Option<String>,
}

#[derive(Deserialize)]
struct CityRecord {
    continent: Option<Continent>,
    country: Option<Country>,
    location: Option<Location>,
    city: Option<City>,
}

#[derive(Deserialize)]
struct Continent {
    code: Option<String>,
}

#[derive(Deserialize)]
struct Country {
    iso_code: Option<String>,
}

#[derive(Deserialize)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

#[derive(Deserialize)]
struct City {
    names: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct AsnRecord {
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<String>,
}

/// What a file looked like when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    changed: Option<SystemTime>,
    length: u64,
}

struct Loaded {
    reader: Reader<Vec<u8>>,
}

/// One file, watched.
#[derive(Default)]
struct Database {
    path: ArcSwapOption<PathBuf>,
    seen: ArcSwapOption<Seen>,
    loaded: ArcSwapOption<Loaded>,
}

impl Database {
    /// Reads the file if it is another one than last time. A file that is gone or broken leaves what was read before.
    fn refresh(&self) {
        let Some(path) = self.path.load_full() else { return };
        let Ok(facts) = fs::metadata(path.as_path()) else {
            if self.seen.swap(None).is_some() || self.loaded.load().is_none() {
                tracing::debug!(path = %path.display(), "a location database is not there");
            }
            return;
        };
        let seen = Seen { changed: facts.modified().ok(), length: facts.len() };
        if self.seen.load().as_deref() == Some(&seen) {
            return;
        }
        // Noted before reading: a broken file is complained about once, not every minute.
        self.seen.store(Some(Arc::new(seen)));
        match read(path.as_path(), facts.len()) {
            Ok(reader) => {
                let kind = reader.metadata().database_type.to_string();
                tracing::info!(path = %path.display(), kind, "read a location database");
                self.loaded.store(Some(Arc::new(Loaded { reader })));
            }
            Err(error) => tracing::error!(path = %path.display(), error, "a location database cannot be read"),
        }
    }

    fn find<T: DeserializeOwned>(&self, address: IpAddr) -> Option<(T, String)> {
        let loaded = self.loaded.load_full()?;
        let found = loaded.reader.lookup(address).ok()?;
        let record = found.decode::<T>().ok()??;
        let network = found.network().map(|network| network.to_string()).unwrap_or_default();
        Some((record, network))
    }
}

fn read(path: &Path, length: u64) -> Result<Reader<Vec<u8>>, String> {
    if length > LARGEST {
        return Err(format!("It is larger than {LARGEST} bytes."));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    Reader::from_source(bytes).map_err(|error| error.to_string())
}

/// Both databases. Without files it knows nothing, which is fine.
#[derive(Default)]
pub struct Geo {
    city: Database,
    asn: Database,
    paths: ArcSwap<(Option<PathBuf>, Option<PathBuf>)>,
}

impl Geo {
    /// Names the files and reads them. Reads from disk: not for the middle of a request.
    pub fn open(&self, city: Option<PathBuf>, asn: Option<PathBuf>) {
        self.paths.store(Arc::new((city.clone(), asn.clone())));
        for (database, path) in [(&self.city, city), (&self.asn, asn)] {
            database.seen.store(None);
            database.loaded.store(None);
            database.path.store(path.map(Arc::new));
        }
        self.refresh();
    }

    /// Reads files anew that have changed. Reads from disk: not for the middle of a request.
    pub fn refresh(&self) {
        self.city.refresh();
        self.asn.refresh();
    }

    /// Whether any file was named.
    pub fn is_configured(&self) -> bool {
        let paths = self.paths.load();
        paths.0.is_some() || paths.1.is_some()
    }

    /// Where an address is.
    pub fn place(&self, address: &str) -> Option<Place> {
        let (record, _) = self.city.find::<CityRecord>(address.parse().ok()?)?;
        let location = record.location;
        Some(Place {
            continent: record.continent.and_then(|c| c.code),
            country: record.country.and_then(|c| c.iso_code),
            lat: location.as_ref().and_then(|l| l.latitude),
            long: location.as_ref().and_then(|l| l.longitude),
            city: record.city.and_then(|c| c.names?.remove("en")).unwrap_or_default(),
        })
    }

    /// Whose network an address belongs to.
    pub fn network(&self, address: &str) -> Option<Network> {
        let (record, network) = self.asn.find::<AsnRecord>(address.parse().ok()?)?;
        Some(Network {
            asn: record.autonomous_system_number,
            as_org: record.autonomous_system_organization,
            network: Some(network).filter(|n| !n.is_empty()),
        })
    }

    /// [`Geo::place`] as JSON.
    pub fn place_json(&self, address: &str) -> Option<Value> {
        self.place(address).map(|place| json!(place))
    }

    /// [`Geo::network`] as JSON.
    pub fn network_json(&self, address: &str) -> Option<Value> {
        self.network(address).map(|network| json!(network))
    }
}
