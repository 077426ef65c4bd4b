use super::{ORIGIN, creation, now, registered};
use crate::{
    Algorithm, Refusal, Registered, Requirement, Trust,
    software::{Authenticator, Maker, Parts, SigningKey, Vouching, Wrong, cbor, certificates, der::write, packed},
};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::TimeDelta;
use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use uuid::Uuid;

const MODEL: Uuid = Uuid::from_bytes([0xab; 16]);

fn vouched(vouch: impl FnOnce(&Parts<'_>) -> (&'static str, Vec<u8>)) -> Result<Registered, Refusal> {
    vouched_by(&mut Authenticator { aaguid: MODEL, ..Authenticator::default() }, vouch)
}

fn vouched_by(
    authenticator: &mut Authenticator,
    vouch: impl FnOnce(&Parts<'_>) -> (&'static str, Vec<u8>),
) -> Result<Registered, Refusal> {
    registered(&authenticator.create_with(&creation(Requirement::Preferred), ORIGIN, vouch))
}

fn refused(result: Result<Registered, Refusal>, about: &str) {
    match result.unwrap_err() {
        Refusal::Attestation(text) => assert!(text.contains(about), "{text}"),
        other => panic!("{other:?} instead of {about}"),
    }
}

fn p256() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

#[test]
fn an_unknown_format_is_refused() {
    for format in ["", "None", "compound", "packed2"] {
        let answer = vouched(|_| {
            (
                Box::leak(format.to_owned().into_boxed_str()),
                cbor(|e| {
                    e.map(0).unwrap();
                }),
            )
        });
        assert_eq!(answer.unwrap_err(), Refusal::AttestationFormat, "{format}");
    }
}

#[test]
fn a_statement_where_there_should_be_none_is_refused() {
    refused(
        vouched(|_| {
            (
                "none",
                cbor(|e| {
                    e.map(1).unwrap().str("a").unwrap().i8(1).unwrap();
                }),
            )
        }),
        "should be none",
    );
}

#[test]
fn packed_by_the_own_key_claims_a_model() {
    let mut authenticator = Authenticator { aaguid: MODEL, vouching: Vouching::Own, ..Authenticator::default() };
    let made = registered(&authenticator.create(&creation(Requirement::Preferred), ORIGIN)).unwrap();
    assert_eq!(made.attestation.trust, Trust::Own);
    assert_eq!(made.aaguid, MODEL);
    assert!(!made.attestation.is_trusted(&[Maker::new("Root").root()], now()));
    refused(vouched(|p| ("packed", packed(Algorithm::Es256, &p.held.key.sign(b"else"), &[]))), "signature");
    refused(vouched(|p| ("packed", packed(Algorithm::EdDsa, &p.held.key.sign(&p.signed()), &[]))), "not the key's");
    refused(vouched(|p| ("packed", packed(Algorithm::Rs1, &p.held.key.sign(&p.signed()), &[]))), "not known");
}

#[test]
fn packed_by_a_maker_leads_to_its_root_only_and_only_while_it_is_valid() {
    let maker = Maker::new("Maker");
    let (root, other) = (maker.root(), Maker::new("Maker").root());
    let vouching = Vouching::Packed(Box::new(maker));
    let mut authenticator = Authenticator { aaguid: MODEL, vouching, ..Authenticator::default() };
    let made = registered(&authenticator.create(&creation(Requirement::Preferred), ORIGIN)).unwrap();
    let Trust::Certificates(chain) = &made.attestation.trust else { panic!("{:?}", made.attestation) };
    assert!(made.attestation.is_trusted(&[other.clone(), root.clone()], now()));
    assert!(made.attestation.is_trusted(&chain[..1], now()), "the leaf may be named itself");
    assert!(!made.attestation.is_trusted(&[other], now()), "same name, another key");
    assert!(!made.attestation.is_trusted(&[], now()));
    assert!(!made.attestation.is_trusted(&[vec![1, 2, 3]], now()));
    assert!(!made.attestation.is_trusted(&[root], now() + TimeDelta::days(20_000)));
}

#[test]
fn packed_by_a_certificate_that_is_no_authenticators_is_refused() {
    let maker = Maker::new("Maker");
    let with = |params: CertificateParams| {
        let key = p256();
        let leaf = maker.leaf(&params, &key);
        vouched(|p| ("packed", packed(Algorithm::Es256, &Maker::sign(&key, &p.signed()), std::slice::from_ref(&leaf))))
    };
    assert!(with(Maker::packed_params(MODEL)).is_ok());
    refused(with(Maker::packed_params(Uuid::nil())), "another model");
    let mut params = Maker::packed_params(MODEL);
    params.custom_extensions[0].set_criticality(true);
    refused(with(params), "another model");
    let mut params = Maker::packed_params(MODEL);
    params.distinguished_name.remove(rcgen::DnType::OrganizationalUnitName);
    refused(with(params), "not an authenticator's");
    let mut params = Maker::packed_params(MODEL);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    refused(with(params), "authority");
    let mut params = Maker::packed_params(MODEL);
    params.is_ca = rcgen::IsCa::NoCa;
    refused(with(params), "authority");
    // Without the extension the certificate is for any model.
    let mut params = Maker::packed_params(MODEL);
    params.custom_extensions.clear();
    assert!(with(params).is_ok());
}

#[test]
fn packed_with_a_foreign_signature_or_without_a_readable_certificate_is_refused() {
    let maker = Maker::new("Maker");
    let (leaf, key) = maker.packed_leaf(MODEL);
    refused(
        vouched(|p| ("packed", packed(Algorithm::Es256, &p.held.key.sign(&p.signed()), std::slice::from_ref(&leaf)))),
        "signature",
    );
    let by_key = |chain: Vec<Vec<u8>>| {
        vouched(|p| ("packed", packed(Algorithm::Es256, &Maker::sign(&key, &p.signed()), &chain)))
    };
    refused(by_key(vec![b"no certificate".to_vec()]), "cannot be read");
    refused(by_key(vec![[leaf.as_slice(), b"more"].concat()]), "cannot be read");
    refused(by_key(vec![leaf; 9]), "list of certificates");
    let empty = cbor(|e| {
        e.map(3).unwrap().str("alg").unwrap().i8(-7).unwrap().str("sig").unwrap().bytes(b"s").unwrap();
        e.str("x5c").unwrap().array(0).unwrap();
    });
    refused(vouched(|_| ("packed", empty)), "list of certificates");
}

fn u2f(
    maker: &Maker,
    count: usize,
    signed: impl FnOnce(&Parts<'_>) -> Vec<u8>,
    p: &Parts<'_>,
) -> (&'static str, Vec<u8>) {
    let key = p256();
    let leaf = maker.leaf(&Maker::params(), &key);
    let statement = cbor(|e| {
        e.map(2).unwrap().str("sig").unwrap().bytes(&Maker::sign(&key, &signed(p))).unwrap();
        certificates(e, &vec![leaf; count]);
    });
    ("fido-u2f", statement)
}

#[test]
fn a_u2f_key_is_vouched_for_in_its_own_way() {
    let maker = Maker::new("Maker");
    let good =
        |p: &Parts<'_>| [&[0], p.rp_id_hash.as_slice(), &p.client_data_hash, &p.held.id, &p.held.key.raw()].concat();
    let mut plain = Authenticator::default();
    let made = vouched_by(&mut plain, |p| u2f(&maker, 1, good, p)).unwrap();
    assert!(made.attestation.is_trusted(&[maker.root()], now()));
    refused(vouched_by(&mut plain, |p| u2f(&maker, 2, good, p)), "exactly one");
    refused(vouched_by(&mut plain, |p| u2f(&maker, 1, |p| p.signed(), p)), "signature");
    refused(vouched(|p| u2f(&maker, 1, good, p)), "names no model");
    let mut edwards = Authenticator { algorithms: vec![Algorithm::EdDsa], ..Authenticator::default() };
    refused(vouched_by(&mut edwards, |p| u2f(&maker, 1, good, p)), "no such keys");
}

/// What a TPM says; each part may be bent.
struct Tpm {
    version: &'static str,
    magic: [u8; 4],
    algorithm: Algorithm,
    extra: Option<Vec<u8>>,
    name_tail: &'static [u8],
    area_tail: &'static [u8],
    params: CertificateParams,
}

fn tpm_params() -> CertificateParams {
    let mut params = Maker::params();
    let named = |last: u8, text: &str| {
        let id = write(6, &[0x67, 0x81, 0x05, 0x02, last]);
        write(0x31, &write(0x30, &[id, write(12, text.as_bytes())].concat()))
    };
    let name = write(0x30, &[named(1, "id:FFFFF1D0"), named(2, "Software"), named(3, "id:13")].concat());
    let mut alternative = CustomExtension::from_oid_content(&[2, 5, 29, 17], write(0x30, &write(0xa4, &name)));
    alternative.set_criticality(true);
    params.custom_extensions.push(alternative);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![2, 23, 133, 8, 3])];
    params
}

impl Default for Tpm {
    fn default() -> Self {
        Self {
            version: "2.0",
            magic: [0xff, 0x54, 0x43, 0x47],
            algorithm: Algorithm::Rs256,
            extra: None,
            name_tail: &[],
            area_tail: &[],
            params: tpm_params(),
        }
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [u16::try_from(bytes.len()).unwrap().to_be_bytes().as_slice(), bytes].concat()
}

/// `TPMT_PUBLIC` of a key.
fn area(key: &SigningKey) -> Vec<u8> {
    let raw = key.raw();
    let head = |kind: u8| [&[0, kind, 0, 0x0b, 0, 6, 4, 0x72], sized(b"policy").as_slice(), &[0, 0x10]].concat();
    if key.algorithm == Algorithm::Es256 {
        let (x, y) = raw[1..].split_at(32);
        // Leading zeros may be left out.
        let short = |n: &[u8]| sized(&n.iter().copied().skip_while(|b| *b == 0).collect::<Vec<u8>>());
        return [head(0x23), vec![0, 0x10, 0, 3, 0, 0x10], short(x), short(y)].concat();
    }
    let numbers = crate::der::all(crate::der::only(&raw).unwrap().content).unwrap();
    let modulus = numbers[0].content.strip_prefix(&[0]).unwrap();
    [head(1), vec![0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0], sized(modulus)].concat()
}

impl Tpm {
    fn vouch(&self, maker: &Maker, key: &KeyPair, p: &Parts<'_>) -> (&'static str, Vec<u8>) {
        let hash = if self.algorithm == Algorithm::Rs1 { &SHA1_FOR_LEGACY_USE_ONLY } else { &SHA256 };
        let area = [area(&p.held.key).as_slice(), self.area_tail].concat();
        let extra = self.extra.clone().unwrap_or_else(|| digest(hash, &p.signed()).as_ref().to_vec());
        let name = [&[0, 0x0b], digest(&SHA256, &area).as_ref(), self.name_tail].concat();
        let info = [
            self.magic.as_slice(),
            &[0x80, 0x17],
            &sized(b"signer"),
            &sized(&extra),
            &[0; 17],
            &[0; 8],
            &sized(&name),
            &sized(b"qualified"),
        ]
        .concat();
        let signature = Maker::sign(key, &info);
        let leaf = maker.leaf(&self.params, key);
        let statement = cbor(|e| {
            e.map(6).unwrap().str("ver").unwrap().str(self.version).unwrap();
            e.str("alg").unwrap().i64(self.algorithm.number()).unwrap().str("sig").unwrap().bytes(&signature).unwrap();
            e.str("certInfo").unwrap().bytes(&info).unwrap().str("pubArea").unwrap().bytes(&area).unwrap();
            certificates(e, &[leaf]);
        });
        ("tpm", statement)
    }
}

#[test]
fn a_tpm_vouches_for_keys_of_both_kinds() {
    let (maker, key) = (Maker::new("Maker"), KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let mut authenticator =
            Authenticator { aaguid: MODEL, algorithms: vec![algorithm], ..Authenticator::default() };
        let made = vouched_by(&mut authenticator, |p| Tpm::default().vouch(&maker, &key, p)).unwrap();
        assert!(made.attestation.is_trusted(&[maker.root()], now()), "{algorithm:?}");
        assert_eq!(made.attestation.format, "tpm");
    }
}

#[test]
fn a_tpm_that_speaks_of_something_else_is_refused() {
    let (maker, key) = (Maker::new("Maker"), KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
    let with = |tpm: Tpm| vouched(|p| tpm.vouch(&maker, &key, p));
    assert!(with(Tpm::default()).is_ok());
    refused(with(Tpm { version: "1.2", ..Tpm::default() }), "version 2.0");
    refused(with(Tpm { magic: [0; 4], ..Tpm::default() }), "certInfo");
    refused(with(Tpm { extra: Some(vec![0; 32]), ..Tpm::default() }), "another registration");
    refused(with(Tpm { name_tail: b"x", ..Tpm::default() }), "another key");
    refused(with(Tpm { area_tail: b"x", ..Tpm::default() }), "pubArea");
    refused(with(Tpm { algorithm: Algorithm::Ps256, ..Tpm::default() }), "signature");
    // The hash goes with the algorithm, so a signature over SHA-256 is none over SHA-1.
    refused(with(Tpm { algorithm: Algorithm::Rs1, ..Tpm::default() }), "signature");
    let mut params = tpm_params();
    params.custom_extensions.clear();
    refused(with(Tpm { params, ..Tpm::default() }), "does not name the TPM");
    let mut params = tpm_params();
    params.extended_key_usages.clear();
    refused(with(Tpm { params, ..Tpm::default() }), "not for attestations");
    let mut params = tpm_params();
    params.distinguished_name.push(rcgen::DnType::CommonName, "somebody");
    refused(with(Tpm { params, ..Tpm::default() }), "not a TPM's");
    let other = SigningKey::generate(Algorithm::Es256);
    let swapped = vouched(|p| {
        let (format, statement) = Tpm::default().vouch(&maker, &key, p);
        let (is, was) = (area(&other), area(&p.held.key));
        let at = statement.windows(was.len()).position(|w| w == was).unwrap();
        if is.len() != was.len() {
            return (format, Vec::new());
        }
        (format, [&statement[..at], &is, &statement[at + was.len()..]].concat())
    });
    assert!(swapped.is_err());
}

/// A key pair for certificates that is the credential's own.
fn same_key(p: &Parts<'_>) -> KeyPair {
    let der = PrivatePkcs8KeyDer::from(p.held.key.pkcs8());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).unwrap()
}

#[test]
fn apple_puts_the_registration_into_the_certificate() {
    let maker = Maker::new("Apple of software");
    let vouch = |p: &Parts<'_>, nonce: &[u8], key: &KeyPair| {
        let mut params = Maker::params();
        let value = write(0x30, &write(0xa1, &write(4, nonce)));
        params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 840, 113_635, 100, 8, 2], value));
        let leaf = maker.leaf(&params, key);
        let _ = p;
        (
            "apple",
            cbor(|e| {
                e.map(1).unwrap();
                certificates(e, &[leaf]);
            }),
        )
    };
    let nonce = |p: &Parts<'_>| digest(&SHA256, &p.signed()).as_ref().to_vec();
    let made = vouched(|p| vouch(p, &nonce(p), &same_key(p))).unwrap();
    assert!(made.attestation.is_trusted(&[maker.root()], now()));
    refused(vouched(|p| vouch(p, &[0; 32], &same_key(p))), "another registration");
    refused(vouched(|p| vouch(p, &nonce(p), &p256())), "another key");
    refused(
        vouched(|p| {
            let leaf = maker.leaf(&Maker::params(), &same_key(p));
            (
                "apple",
                cbor(|e| {
                    e.map(1).unwrap();
                    certificates(e, &[leaf]);
                }),
            )
        }),
        "no nonce",
    );
}

/// `KeyDescription` with these entries in its two lists.
fn description(challenge: &[u8], software: &[u8], device: &[u8]) -> Vec<u8> {
    let number = |tag: u8, n: u8| write(tag, &[n]);
    let parts = [
        number(2, 3),
        number(10, 1),
        number(2, 4),
        number(10, 1),
        write(4, challenge),
        write(4, b""),
        write(0x30, software),
        write(0x30, device),
    ];
    write(0x30, &parts.concat())
}

fn long_tag(tag: u16, content: &[u8]) -> Vec<u8> {
    let [high, low] = [(tag >> 7) as u8 | 0x80, (tag & 0x7f) as u8];
    let short = write(0xbf, content);
    [&[0xbf, high, low], &short[1..]].concat()
}

#[test]
fn android_describes_the_key_in_the_certificate() {
    let maker = Maker::new("Android of software");
    let purpose = |n: u8| write(0xa1, &write(0x31, &write(2, &[n])));
    let origin = |n: u8| long_tag(702, &write(2, &[n]));
    let with = |challenge: Option<&[u8]>, software: &[u8], device: &[u8], own: bool| {
        vouched(|p| {
            let mut params = Maker::params();
            let value = description(challenge.unwrap_or(&p.client_data_hash), software, device);
            let id = [1, 3, 6, 1, 4, 1, 11129, 2, 1, 17];
            params.custom_extensions.push(CustomExtension::from_oid_content(&id, value));
            let key = if own { same_key(p) } else { p256() };
            let leaf = maker.leaf(&params, &key);
            ("android-key", packed(Algorithm::Es256, &Maker::sign(&key, &p.signed()), &[leaf]))
        })
    };
    let device = [purpose(2), origin(0)].concat();
    let made = with(None, b"", &device, true).unwrap();
    assert!(made.attestation.is_trusted(&[maker.root()], now()));
    refused(with(Some(&[0; 32]), b"", &device, true), "another registration");
    refused(with(None, b"", &device, false), "another key");
    refused(with(None, b"", &[purpose(3), origin(0)].concat(), true), "not for signatures");
    refused(with(None, b"", &[purpose(2), origin(2)].concat(), true), "not made inside");
    refused(with(None, b"", &purpose(2), true), "not made inside");
    refused(with(None, &long_tag(600, &write(5, b"")), &device, true), "all applications");
    refused(with(None, b"\x30", &device, true), "cannot be read");
}

#[test]
fn safetynet_speaks_of_this_registration_and_of_now() {
    let maker = Maker::new("Android of software");
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let with = |server: &str, alg: &str, age: i64, profile: bool, nonce: Option<&str>| {
        let mut params = CertificateParams::new(vec![server.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (Maker::params().not_before, Maker::params().not_after);
        let leaf = BASE64_STANDARD.encode(maker.leaf(&params, &key));
        vouched(|p| {
            let header = serde_json::json!({"alg": alg, "x5c": [leaf]});
            let own = BASE64_STANDARD.encode(digest(&SHA256, &p.signed()));
            let payload = serde_json::json!({
                "nonce": nonce.unwrap_or(&own),
                "timestampMs": now().timestamp_millis() - age,
                "ctsProfileMatch": profile,
            });
            let part = |value: serde_json::Value| crate::encode(value.to_string().as_bytes());
            let signed = format!("{}.{}", part(header), part(payload));
            let response = format!("{signed}.{}", crate::encode(&Maker::sign(&key, signed.as_bytes())));
            (
                "android-safetynet",
                cbor(|e| {
                    e.map(2).unwrap().str("ver").unwrap().str("14366018").unwrap();
                    e.str("response").unwrap().bytes(response.as_bytes()).unwrap();
                }),
            )
        })
    };
    let server = "attest.android.com";
    let made = with(server, "RS256", 1000, true, None).unwrap();
    assert!(made.attestation.is_trusted(&[maker.root()], now()));
    refused(with("evil.example.org", "RS256", 1000, true, None), "not SafetyNet's");
    refused(with(server, "none", 1000, true, None), "algorithm");
    refused(with(server, "RS256", 61_000, true, None), "not of now");
    refused(with(server, "RS256", -61_000, true, None), "not of now");
    refused(with(server, "RS256", 1000, false, None), "does not vouch");
    refused(with(server, "RS256", 1000, true, Some("AAAA")), "another registration");
}

#[test]
fn a_wrong_flag_shows_in_every_signed_statement() {
    // What is signed includes the flags, so that nobody can turn them afterwards.
    let maker = Maker::new("Maker");
    let (leaf, key) = maker.packed_leaf(MODEL);
    let mut authenticator =
        Authenticator { aaguid: MODEL, wrong: Wrong { flags: 4, ..Wrong::default() }, ..Authenticator::default() };
    let result = vouched_by(&mut authenticator, |p| {
        let mut signed = p.signed();
        signed[32] ^= 4;
        ("packed", packed(Algorithm::Es256, &Maker::sign(&key, &signed), &[leaf]))
    });
    refused(result, "signature");
}
