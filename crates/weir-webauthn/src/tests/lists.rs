use super::now;
use crate::{
    metadata::{MetadataError, read_plain, read_roots, read_signed},
    software::Maker,
};
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

const ONE: Uuid = Uuid::from_bytes([1; 16]);
const TWO: Uuid = Uuid::from_bytes([2; 16]);

#[test]
fn a_signed_list_gives_models_with_their_roots() {
    let alliance = Maker::new("Alliance");
    let u2f = json!({"attestationCertificateKeyIdentifiers": ["00"], "statusReports": []});
    let file = alliance.metadata(
        42,
        "2026-06-01",
        &[alliance.entry(ONE, "One", "FIDO_CERTIFIED_L1"), u2f, alliance.entry(TWO, "Two", "REVOKED")],
    );
    let read = read_signed(&format!("{file}\n"), &[alliance.root()], now()).unwrap();
    assert_eq!((read.number, read.next_update.to_string().as_str()), (42, "2026-06-01"));
    let seen: Vec<_> = read.models.iter().map(|m| (m.aaguid, m.description.as_str(), m.is_revoked)).collect();
    assert_eq!(seen, [(ONE, "One", false), (TWO, "Two", true)]);
    assert_eq!(read.models[0].roots, [alliance.root()]);
}

#[test]
fn the_latest_report_counts_unless_the_model_was_revoked() {
    let alliance = Maker::new("Alliance");
    let revoked = |reports: serde_json::Value| {
        let mut entry = alliance.entry(ONE, "One", "");
        entry["statusReports"] = reports;
        let file = alliance.metadata(1, "2026-06-01", &[entry]);
        read_signed(&file, &[alliance.root()], now()).unwrap().models[0].is_revoked
    };
    let report = |status: &str, date: &str| json!({"status": status, "effectiveDate": date});
    let broken = report("USER_VERIFICATION_BYPASS", "2025-01-01");
    assert!(revoked(json!([broken])));
    assert!(!revoked(json!([report("UPDATE_AVAILABLE", "2025-02-01"), broken])));
    assert!(revoked(json!([report("FIDO_CERTIFIED", "2024-02-01"), broken])));
    assert!(revoked(json!([report("REVOKED", "2024-02-01"), report("FIDO_CERTIFIED", "2025-02-01")])));
    assert!(!revoked(json!([])));
}

#[test]
fn a_list_that_nobody_vouches_for_is_refused() {
    let (alliance, other) = (Maker::new("Alliance"), Maker::new("Alliance"));
    let file = alliance.metadata(1, "2026-06-01", &[alliance.entry(ONE, "One", "")]);
    let untrusted =
        |text: &str, roots: &[Vec<u8>]| matches!(read_signed(text, roots, now()), Err(MetadataError::Untrusted(_)));
    assert!(!untrusted(&file, &[alliance.root()]));
    assert!(untrusted(&file, &[other.root()]));
    assert!(untrusted(&file, &[]));
    let late = read_signed(&file, &[alliance.root()], now() + TimeDelta::days(20_000));
    assert!(matches!(late, Err(MetadataError::Untrusted(_))));
    let parts: Vec<&str> = file.split('.').collect();
    let forged = other.metadata(9, "2027-06-01", &[]);
    let payload = forged.split('.').nth(1).unwrap();
    assert!(untrusted(&format!("{}.{payload}.{}", parts[0], parts[2]), &[alliance.root()]), "another payload");
    let header =
        |value: serde_json::Value| format!("{}.{}.{}", crate::encode(value.to_string().as_bytes()), parts[1], parts[2]);
    assert!(untrusted(&header(json!({"alg": "none"})), &[alliance.root()]));
    assert!(untrusted(&header(json!({"alg": "ES256", "x5u": "https://example.org"})), &[alliance.root()]));
    for text in ["", "a", "a.b", "a.b.c", "{}"] {
        assert!(read_signed(text, &[alliance.root()], now()).is_err(), "{text}");
    }
}

#[test]
fn a_plain_list_gives_names_only() {
    let text = json!({
        ONE.to_string(): {"name": "One", "icon_light": "data:image/svg+xml;base64,AAAA", "icon_dark": null},
        TWO.to_string(): {"name": "Two", "icon_light": "https://example.org/icon.svg"},
    });
    let models = read_plain(&text.to_string()).unwrap();
    assert_eq!(models.len(), 2);
    assert_eq!(models[0].description, "One");
    assert!(models[0].icon.is_some() && models[1].icon.is_none());
    assert!(models.iter().all(|m| m.roots.is_empty() && !m.is_revoked));
    for text in ["", "[]", "{\"x\": {\"name\": \"One\"}}", "{\"00000000-0000-0000-0000-000000000001\": 1}"] {
        assert!(read_plain(text).is_err(), "{text}");
    }
}

#[test]
fn roots_come_as_pem_or_as_der() {
    let (one, two) = (Maker::new("One"), Maker::new("Two"));
    assert_eq!(read_roots(&one.root()), [one.root()]);
    let both = format!("# first\n{}\n{}", one.root_pem(), two.root_pem());
    assert_eq!(read_roots(both.as_bytes()), [one.root(), two.root()]);
    for bytes in [&b""[..], b"none", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(read_roots(bytes).is_empty());
    }
}
