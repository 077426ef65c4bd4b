use super::fixture;
use crate::{Algorithm, CertificateKeyPair, Facts, KeyType, PkiError, PrivateKey, Wish, pem, self_signed};
use chrono::{TimeDelta, TimeZone as _, Utc};
use weir_core::Secret;

fn facts(text: &str) -> Facts {
    Facts::read(&pem::certificates(text).unwrap()[0]).unwrap()
}

fn pair(certificate: &str, key: &str) -> Result<Facts, PkiError> {
    let read = |text: &str| Secret(text.to_owned());
    let pair = CertificateKeyPair {
        name: "x".to_owned(),
        certificate_data: read(certificate),
        key_data: read(key),
        fingerprint_sha256: None,
        fingerprint_sha1: None,
        cert_expiry: None,
        cert_subject: None,
        private_key_available: false,
        key_type: None,
        managed: None,
    };
    pair.facts()
}

#[test]
fn a_certificate_tells_what_openssl_tells() {
    let facts = facts(fixture!("name.crt"));
    assert_eq!(
        facts.subject,
        "1.2.840.113549.1.9.1=#160f616e6e406578616d706c652e6f7267,UID=ann+CN=\\ ann \\+ bob\\ ,OU=\\#A\\;B,\
         O=Grün\\, \\\"Inc\\\",C=DE"
    );
    assert_eq!(facts.issuer, facts.subject);
    assert_eq!(facts.serial_number, "12345678901234567890");
    assert_eq!(facts.common_name.as_deref(), Some(" ann + bob "));
    assert_eq!(facts.emails, ["ann@example.org", "ann@example.net"]);
    assert_eq!(facts.key_type, Some(KeyType::Ec));
    assert!(facts.is_for_clients);
    assert_eq!(
        facts.fingerprint_sha256,
        "39:57:d6:a8:95:a3:3f:d3:80:89:8b:9f:d1:12:b3:dc:81:5f:96:14:af:87:3e:ad:d5:ee:5e:63:00:5b:ed:29"
    );
    assert_eq!(facts.fingerprint_sha1, "60:d7:ed:35:22:4f:10:f1:1d:b5:0f:75:97:26:cb:2c:d4:4a:f2:ce");
}

#[test]
fn every_kind_of_key_matches_its_certificate_and_no_other() {
    let pairs = [
        (KeyType::Rsa, fixture!("rsa.crt"), fixture!("rsa.key")),
        (KeyType::Rsa, fixture!("rsa.crt"), fixture!("rsa-old.key")),
        (KeyType::Ec, fixture!("ec-prime256v1.crt"), fixture!("ec-prime256v1.key")),
        (KeyType::Ec, fixture!("ec-secp384r1.crt"), fixture!("ec-secp384r1.key")),
        (KeyType::Ec, fixture!("ec-secp521r1.crt"), fixture!("ec-secp521r1.key")),
        (KeyType::Ed25519, fixture!("ed25519.crt"), fixture!("ed25519.key")),
        (KeyType::Ed448, fixture!("ed448.crt"), fixture!("ed448.key")),
    ];
    for (index, (kind, certificate, key)) in pairs.iter().enumerate() {
        let read = pair(certificate, key).unwrap();
        assert_eq!(read.key_type, Some(*kind), "{}", read.subject);
        let (_, other, _) = pairs[(index + 2) % pairs.len()];
        assert_eq!(pair(other, key), Err(PkiError::Mismatch));
    }
    assert_eq!(facts(fixture!("dsa.crt")).key_type, Some(KeyType::Dsa));
    assert!(pair(fixture!("dsa.crt"), "").is_ok(), "to verify with, it needs no key");
}

#[test]
fn what_is_no_certificate_or_key_is_refused_with_a_reason() {
    let rsa = fixture!("rsa.crt");
    let junk = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let cut = rsa.replace("-----END CERTIFICATE-----", "");
    let many = rsa.repeat(17);
    let behind = format!("{rsa}{junk}");
    for (certificate, expected) in [
        ("", PkiError::NoCertificate),
        ("certificate", PkiError::NoCertificate),
        (fixture!("rsa.key"), PkiError::NoCertificate),
        (cut.as_str(), PkiError::NoCertificate),
        ("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", PkiError::NoCertificate),
        (junk, PkiError::BadCertificate),
        (behind.as_str(), PkiError::BadCertificate),
        (many.as_str(), PkiError::TooMany),
    ] {
        assert_eq!(pair(certificate, ""), Err(expected), "{certificate}");
    }
    for (key, expected) in [
        ("key", PkiError::NoKey),
        (rsa, PkiError::NoKey),
        (fixture!("rsa-encrypted.key"), PkiError::EncryptedKey),
        (fixture!("rsa-encrypted-old.key"), PkiError::EncryptedKey),
        (fixture!("dsa.key"), PkiError::UnsupportedKey),
    ] {
        assert_eq!(pair(rsa, key), Err(expected), "{key}");
    }
}

#[test]
fn a_key_does_not_show_in_debug_output() {
    let key = PrivateKey::read(fixture!("ed25519.key")).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(Ed25519)");
}

#[test]
fn certificates_are_made_for_every_kind_of_key() {
    let now = Utc.with_ymd_and_hms(2026, 5, 1, 12, 0, 0).unwrap();
    for (algorithm, kind) in [
        (Algorithm::Rsa, KeyType::Rsa),
        (Algorithm::Ecdsa, KeyType::Ec),
        (Algorithm::Ed25519, KeyType::Ed25519),
        (Algorithm::Ed448, KeyType::Ed448),
    ] {
        let made = self_signed(&Wish {
            common_name: "Grün, \"x\"",
            names: ["a.example.org", "192.0.2.1", "2001:db8::1", "ann@example.org", "spiffe://x/y"]
                .map(str::to_owned)
                .to_vec(),
            not_before: now,
            not_after: now + TimeDelta::days(30),
            algorithm,
            is_server: true,
            random: [255; 73],
        });
        let made = made.unwrap();
        let facts = pair(&made.certificate, &made.key).unwrap();
        assert_eq!(facts.key_type, Some(kind));
        assert_eq!(facts.subject, "OU=Self-signed,O=Weir,CN=Grün\\, \\\"x\\\"");
        assert_eq!((facts.not_before, facts.not_after), (now, now + TimeDelta::days(30)));
        assert_eq!(
            facts.serial_number,
            u128::from_be_bytes([[0x7f].as_slice(), &[255; 15]].concat().try_into().unwrap()).to_string()
        );
        assert_eq!(facts.emails, ["ann@example.org"]);
        assert!(!facts.is_for_clients);
        verify_with_openssl(&made.certificate);
    }
}

/// Another implementation believes the signature, where there is one.
fn verify_with_openssl(certificate: &str) {
    let folder = std::env::temp_dir().join(format!("weir-pki-{}-{}", std::process::id(), certificate.len()));
    std::fs::write(&folder, certificate).unwrap();
    let run = std::process::Command::new("openssl")
        .args(["verify", "-no_check_time", "-check_ss_sig", "-CAfile"])
        .args([&folder, &folder])
        .output();
    std::fs::remove_file(&folder).unwrap();
    if let Ok(output) = run {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
