//! Files that are there, missing, broken, and replaced.

use crate::{
    Geo,
    test_support::{asn, city, database},
};
use serde_json::json;
use std::{fs, path::PathBuf};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("weir-geo-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn an_address_has_a_place_and_a_network() {
    let folder = folder("both");
    let (cities, networks) = (folder.join("city.mmdb"), folder.join("asn.mmdb"));
    let london = city("GB", "London", 51.5142, -0.0931);
    fs::write(&cities, database("GeoLite2-City", &[("81.2.69.0", 24, london), ("10.0.0.0", 8, json!({}))])).unwrap();
    fs::write(&networks, database("GeoLite2-ASN", &[("81.2.0.0", 16, asn(20712, "Andrews"))])).unwrap();
    let geo = Geo::default();
    assert!(!geo.is_configured() && geo.place("81.2.69.160").is_none());
    geo.open(Some(cities), Some(networks));
    let place = json!({"continent": "EU", "country": "GB", "lat": 51.5142, "long": -0.0931, "city": "London"});
    assert_eq!(geo.place_json("81.2.69.160"), Some(place));
    let network = json!({"asn": 20712, "as_org": "Andrews", "network": "81.2.0.0/16"});
    assert_eq!(geo.network_json("81.2.69.160"), Some(network));
    // A record that says nothing, an address outside, one of another family, and none at all.
    assert_eq!(geo.place("10.1.2.3").unwrap().country, None);
    for unknown in ["81.2.70.1", "2001:db8::1", "nonsense", ""] {
        assert!(geo.place(unknown).is_none(), "{unknown}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_may_come_later_and_a_broken_one_changes_nothing() {
    let folder = folder("later");
    let path = folder.join("city.mmdb");
    let geo = Geo::default();
    geo.open(Some(path.clone()), None);
    assert!(geo.is_configured() && geo.place("81.2.69.160").is_none());
    fs::write(&path, database("GeoLite2-City", &[("81.2.69.0", 24, city("GB", "London", 51.5, -0.1))])).unwrap();
    geo.refresh();
    assert_eq!(geo.place("81.2.69.160").unwrap().city, "London");
    fs::write(&path, b"this is no database").unwrap();
    geo.refresh();
    assert_eq!(geo.place("81.2.69.160").unwrap().city, "London");
    fs::remove_file(&path).unwrap();
    geo.refresh();
    assert_eq!(geo.place("81.2.69.160").unwrap().city, "London");
    fs::write(&path, database("GeoLite2-City", &[("81.2.69.0", 24, city("DE", "Bremen", 53.1, 8.8))])).unwrap();
    geo.refresh();
    assert_eq!(geo.place("81.2.69.160").unwrap().city, "Bremen");
    fs::remove_dir_all(folder).unwrap();
}
