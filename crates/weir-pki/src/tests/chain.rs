use crate::{Authorities, Refusal, pem};
use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 5, 1, 12, 0, 0).unwrap()
}

/// An authority with its key.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str, days: std::ops::Range<i64>) -> CertificateParams {
    let mut params = CertificateParams::default();
    let time = |days| time::OffsetDateTime::from_unix_timestamp((now() + TimeDelta::days(days)).timestamp()).unwrap();
    (params.not_before, params.not_after) = (time(days.start), time(days.end));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str, days: std::ops::Range<i64>, by: Option<&Authority>) -> Authority {
    let mut params = params(name, days);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Authority { certificate, issuer: Issuer::new(params, key) }
}

fn leaf(by: &Authority, days: std::ops::Range<i64>, usages: &[ExtendedKeyUsagePurpose]) -> Vec<u8> {
    let mut params = params("ann", days);
    params.extended_key_usages = usages.to_vec();
    params.signed_by(&KeyPair::generate().unwrap(), &by.issuer).unwrap().der().to_vec()
}

fn trusting(authorities: &[&Authority]) -> Authorities {
    let texts: Vec<String> = authorities.iter().map(|a| pem::wrap("CERTIFICATE", a.certificate.der())).collect();
    Authorities::read(texts.iter().map(String::as_str), now())
}

const CLIENT: &[ExtendedKeyUsagePurpose] = &[ExtendedKeyUsagePurpose::ClientAuth];

#[test]
fn a_certificate_of_a_trusted_authority_counts() {
    let root = authority("root", -10..10, None);
    let good = leaf(&root, -1..1, CLIENT);
    let facts = trusting(&[&root]).verify(std::slice::from_ref(&good), now()).unwrap();
    assert_eq!((facts.subject.as_str(), facts.issuer.as_str()), ("CN=ann", "CN=root"));
    let both = leaf(&root, -1..1, &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]);
    assert!(trusting(&[&root]).verify(&[both], now()).is_ok());
    let other = authority("other", -10..10, None);
    assert!(trusting(&[&other, &root]).verify(&[good], now()).is_ok(), "one of several is enough");
}

#[test]
fn an_authority_between_helps_when_it_is_sent_or_kept() {
    let root = authority("root", -10..10, None);
    let between = authority("between", -10..10, Some(&root));
    let good = leaf(&between, -1..1, CLIENT);
    let trusted = trusting(&[&root]);
    assert!(matches!(trusted.verify(std::slice::from_ref(&good), now()), Err(Refusal::Chain(_))));
    assert!(trusted.verify(&[good.clone(), between.certificate.der().to_vec()], now()).is_ok());
    let bundle = [&root, &between].map(|a| pem::wrap("CERTIFICATE", a.certificate.der())).concat();
    assert!(Authorities::read([bundle.as_str()], now()).verify(std::slice::from_ref(&good), now()).is_ok());
    assert!(trusting(&[&between]).verify(&[good], now()).is_ok(), "it may be trusted itself");
}

#[test]
fn only_the_first_certificate_is_judged() {
    let root = authority("root", -10..10, None);
    let stranger = authority("root", -10..10, None);
    let chain = [leaf(&stranger, -1..1, CLIENT), leaf(&root, -1..1, CLIENT), root.certificate.der().to_vec()];
    assert!(matches!(trusting(&[&root]).verify(&chain, now()), Err(Refusal::Chain(_))));
}

#[test]
fn everything_else_is_refused() {
    let root = authority("root", -10..10, None);
    let trusted = trusting(&[&root]);
    let refused = |chain: &[Vec<u8>]| trusted.verify(chain, now()).unwrap_err();
    // Of the same name, but not the same.
    let impostor = authority("root", -10..10, None);
    assert!(matches!(refused(&[leaf(&impostor, -1..1, CLIENT)]), Refusal::Chain(_)));
    assert!(matches!(refused(&[leaf(&root, -2..-1, CLIENT)]), Refusal::Chain(_)), "expired");
    assert!(matches!(refused(&[leaf(&root, 1..2, CLIENT)]), Refusal::Chain(_)), "not yet valid");
    assert!(matches!(refused(&[leaf(&root, -1..1, &[ExtendedKeyUsagePurpose::ServerAuth])]), Refusal::Chain(_)));
    assert_eq!(refused(&[leaf(&root, -1..1, &[])]), Refusal::NotForClients);
    assert!(matches!(refused(&[leaf(&root, -1..1, &[ExtendedKeyUsagePurpose::Any])]), Refusal::Chain(_)));
    assert!(matches!(refused(&[root.certificate.der().to_vec()]), Refusal::Chain(_)), "an authority is no client");
    let mut changed = leaf(&root, -1..1, CLIENT);
    let at = changed.windows(3).position(|w| w == b"ann").unwrap();
    changed[at] = b'b';
    assert!(matches!(refused(&[changed]), Refusal::Chain(_)), "a changed name");
    let mut longer = leaf(&root, -1..1, CLIENT);
    longer.push(0);
    assert!(matches!(refused(&[longer]), Refusal::Unreadable(_)));
    assert!(matches!(refused(&[b"nonsense".to_vec()]), Refusal::Unreadable(_)));
    assert!(matches!(refused(&[]), Refusal::Unreadable(_)));
    // A leaf that plays the authority.
    let leaf_key = KeyPair::generate().unwrap();
    let leaf_params = params("leaf", -1..1);
    let not_an_authority = leaf_params.signed_by(&leaf_key, &root.issuer).unwrap();
    let by_leaf = Authority { certificate: not_an_authority, issuer: Issuer::new(leaf_params, leaf_key) };
    let forged = leaf(&by_leaf, -1..1, CLIENT);
    assert!(matches!(refused(&[forged, by_leaf.certificate.der().to_vec()]), Refusal::Chain(_)));
}

#[test]
fn an_authority_that_is_expired_or_unreadable_vouches_for_nobody() {
    let old = authority("old", -10..-1, None);
    let good = leaf(&old, -1..1, CLIENT);
    assert!(trusting(&[&old]).verify(std::slice::from_ref(&good), now()).is_err());
    assert!(Authorities::read(["nonsense"], now()).verify(&[good], now()).is_err());
    let root = authority("root", -10..10, None);
    let between = authority("between", -10..-1, Some(&root));
    let chain = [leaf(&between, -1..1, CLIENT), between.certificate.der().to_vec()];
    assert!(trusting(&[&root]).verify(&chain, now()).is_err());
}
