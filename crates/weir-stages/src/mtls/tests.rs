use super::MutualTLSStage;
use crate::tests::{assert_denied, assert_end, component, site};
use chrono::TimeDelta;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Resource;
use weir_identity::{Brand, Role, User};
use weir_pki::{CertificateKeyPair, pem};
use weir_policy::request::{PresentedCertificate, Presenter};
use weir_testkit::{Browser, TestSite};

const NONE: &str = "Certificate required but no certificate was given.";
const NOBODY: &str = "No user found for certificate.";

/// An authority that the site keeps.
struct Authority {
    pair: Uuid,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate to be signed.
struct Leaf<'a> {
    name: &'a str,
    emails: &'a [&'a str],
    usage: Option<ExtendedKeyUsagePurpose>,
    days: i64,
}

impl<'a> Leaf<'a> {
    fn of(name: &'a str) -> Self {
        Self { name, emails: &[], usage: Some(ExtendedKeyUsagePurpose::ClientAuth), days: 1 }
    }
}

fn params(site: &TestSite, name: &str, days: i64) -> CertificateParams {
    let time = |days| {
        let at = site.now() + TimeDelta::days(days);
        time::OffsetDateTime::from_unix_timestamp(at.timestamp()).unwrap()
    };
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (time(days.min(0) - 10), time(days));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

async fn authority(site: &TestSite, name: &str) -> Authority {
    let mut params = params(site, name, 100);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let text = pem::wrap("CERTIFICATE", params.self_signed(&key).unwrap().der());
    let pair = site.make(CertificateKeyPair::MODEL, json!({"name": name, "certificate_data": text})).await;
    Authority { pair, issuer: Issuer::new(params, key) }
}

impl Authority {
    fn sign(&self, site: &TestSite, leaf: &Leaf<'_>) -> Vec<u8> {
        let mut params = params(site, leaf.name, leaf.days);
        params.extended_key_usages = leaf.usage.iter().cloned().collect();
        let emails = leaf.emails.iter().map(|email| SanType::Rfc822Name((*email).try_into().unwrap()));
        params.subject_alt_names = emails.collect();
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().to_vec()
    }
}

/// A flow `f` of this stage and a dummy.
async fn flow(site: &TestSite, designation: &str, fields: Value) -> (Uuid, Uuid) {
    let flow = site.flow("f", designation, json!({})).await;
    let mut all = json!({"mode": "required", "cert_attribute": "common_name", "user_attribute": "username"});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let (stage, _) = site.step(flow, 0, MutualTLSStage::MODEL, "certificate", all).await;
    site.step(flow, 1, "dummy", "behind", json!({})).await;
    (flow, stage)
}

fn showing<'s>(site: &'s TestSite, by: Presenter, certificates: &[&[u8]]) -> Browser<'s> {
    let mut browser = site.browser();
    let shown = certificates.iter().map(|der| PresentedCertificate { chain: vec![der.to_vec()], by });
    browser.request.certificates = shown.collect();
    browser
}

#[tokio::test]
async fn a_good_certificate_brings_its_user_into_the_plan() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let ca = authority(&site, "ca").await;
    flow(&site, "authentication", json!({"certificate_authorities": [ca.pair]})).await;
    for by in [Presenter::Connection, Presenter::Proxy] {
        let mut browser = showing(&site, by, &[&ca.sign(&site, &Leaf::of("ann"))]);
        let shown = browser.get("f", "").await;
        assert_eq!(shown["name"], "behind");
        let context = browser.context().await;
        assert_eq!(context["pending_user"]["pk"], ann);
        assert_eq!(context["auth_method"], "mtls");
        assert_eq!(context["auth_method_args"]["certificate"], context["certificate"]);
        let certificate = context["certificate"].as_object().unwrap();
        assert_eq!((&certificate["subject"], &certificate["issuer"]), (&json!("CN=ann"), &json!("CN=ca")));
        assert!(certificate["serial_number"].as_str().unwrap().chars().all(|c| c.is_ascii_digit()));
        assert_eq!(certificate["fingerprint_sha256"].as_str().map(str::len), Some(95));
        assert_eq!(certificate["fingerprint_sha1"].as_str().map(str::len), Some(59));
        assert_end(&browser.post("f", "", json!({})).await, "/");
    }
}

#[tokio::test]
async fn a_method_that_was_noted_before_stays() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let ca = authority(&site, "ca").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "before", json!({})).await;
    let fields = json!({
        "mode": "required", "cert_attribute": "common_name", "user_attribute": "username",
        "certificate_authorities": [ca.pair],
    });
    site.step(flow, 1, MutualTLSStage::MODEL, "certificate", fields).await;
    site.step(flow, 2, "dummy", "behind", json!({})).await;
    let mut browser = showing(&site, Presenter::Connection, &[&ca.sign(&site, &Leaf::of("ann"))]);
    browser.get("f", "").await;
    let proven = json!({"auth_method": "password", "auth_method_args": {"x": 1}, "pending_user": {"pk": ann}});
    browser.set_context(proven).await;
    assert_eq!(browser.post("f", "", json!({})).await["name"], "behind");
    let context = browser.context().await;
    assert_eq!((&context["auth_method"], &context["auth_method_args"]["x"]), (&json!("password"), &json!(1)));
    assert_eq!(context["auth_method_args"]["certificate"]["subject"], "CN=ann");
}

#[tokio::test]
async fn a_certificate_does_not_replace_a_person_who_was_proven_in_another_way() {
    let site = site().await;
    site.user("ann", "").await;
    let bob = site.user("bob", "").await;
    let ca = authority(&site, "ca").await;
    let flow = site.flow("f", "authentication", json!({})).await;
    site.step(flow, 0, "dummy", "before", json!({})).await;
    let fields = json!({
        "mode": "optional", "cert_attribute": "common_name", "user_attribute": "username",
        "certificate_authorities": [ca.pair],
    });
    site.step(flow, 1, MutualTLSStage::MODEL, "certificate", fields).await;
    for pending in [json!({"pk": bob}), json!({"pk": null, "username": "nobody"})] {
        let mut browser = showing(&site, Presenter::Connection, &[&ca.sign(&site, &Leaf::of("ann"))]);
        browser.get("f", "").await;
        browser.set_context(json!({"pending_user": pending})).await;
        let shown = browser.post("f", "", json!({})).await;
        assert_denied(&shown, NOBODY);
        assert_eq!(browser.context().await["pending_user"]["username"].as_str(), pending["username"].as_str());
        assert!(!browser.context().await.contains_key("certificate"));
    }
}

#[tokio::test]
async fn nothing_but_a_verified_client_certificate_counts() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let (ca, other) = (authority(&site, "ca").await, authority(&site, "other").await);
    let (_, stage) = flow(&site, "authentication", json!({"certificate_authorities": [ca.pair]})).await;
    let bad = [
        other.sign(&site, &Leaf::of("ann")),
        ca.sign(&site, &Leaf { days: -1, ..Leaf::of("ann") }),
        ca.sign(&site, &Leaf { usage: Some(ExtendedKeyUsagePurpose::ServerAuth), ..Leaf::of("ann") }),
        ca.sign(&site, &Leaf { usage: None, ..Leaf::of("ann") }),
        b"nonsense".to_vec(),
    ];
    for mode in ["required", "optional"] {
        site.change(MutualTLSStage::MODEL, stage, json!({"mode": mode})).await;
        let mut browsers: Vec<Browser<'_>> =
            bad.iter().map(|der| showing(&site, Presenter::Connection, &[der])).collect();
        browsers.push(site.browser());
        // A header that could not be read.
        let mut unreadable = site.browser();
        unreadable.request.certificates = vec![PresentedCertificate { chain: Vec::new(), by: Presenter::Proxy }];
        browsers.push(unreadable);
        for browser in &mut browsers {
            let shown = browser.get("f", "").await;
            if mode == "required" {
                assert_denied(&shown, NONE);
            } else {
                assert_eq!(shown["name"], "behind");
                assert!(!browser.context().await.contains_key("pending_user"));
            }
        }
    }
    // One good certificate among bad ones is enough.
    let good = ca.sign(&site, &Leaf::of("ann"));
    let mut browser = showing(&site, Presenter::Proxy, &[&bad[0], &good]);
    assert_eq!(browser.get("f", "").await["name"], "behind");
    assert_eq!(browser.context().await["pending_user"]["pk"], ann);
}

#[tokio::test]
async fn a_refusal_keeps_the_plan_for_another_try() {
    let site = site().await;
    site.user("ann", "").await;
    let ca = authority(&site, "ca").await;
    flow(&site, "authentication", json!({"certificate_authorities": [ca.pair]})).await;
    let mut browser = site.browser();
    assert_denied(&browser.get("f", "").await, NONE);
    assert_denied(&browser.post("f", "", json!({"component": "ak-stage-access-denied"})).await, NONE);
    assert!(browser.state().await.plan.is_some());
    let good = vec![ca.sign(&site, &Leaf::of("ann"))];
    browser.request.certificates = vec![PresentedCertificate { chain: good, by: Presenter::Connection }];
    assert_eq!(browser.get("f", "").await["name"], "behind");
}

#[tokio::test]
async fn each_part_of_a_certificate_can_name_the_user() {
    let site = site().await;
    let by_name = site.user("ann", "").await;
    let by_subject = site.user("x", "").await;
    site.change_user(by_subject, json!({"username": "CN=subject", "email": "SUBJECT@example.org"})).await;
    let ca = authority(&site, "ca").await;
    let (_, stage) = flow(&site, "authentication", json!({"certificate_authorities": [ca.pair]})).await;
    let ann = Leaf { emails: &["else@example.org", "ann@example.org"], ..Leaf::of("ann") };
    let mail = Leaf::of("ann@example.org");
    for (certificate, user, leaf, expected) in [
        ("common_name", "username", &ann, Some(by_name)),
        ("common_name", "email", &ann, None),
        ("common_name", "email", &mail, Some(by_name)),
        ("email", "email", &ann, Some(by_name)),
        ("email", "username", &ann, None),
        ("email", "email", &mail, None),
        ("subject", "username", &Leaf::of("subject"), Some(by_subject)),
        ("subject", "username", &ann, None),
        ("subject", "email", &Leaf::of("subject"), None),
    ] {
        site.change(MutualTLSStage::MODEL, stage, json!({"cert_attribute": certificate, "user_attribute": user})).await;
        let mut browser = showing(&site, Presenter::Connection, &[&ca.sign(&site, leaf)]);
        let shown = browser.get("f", "").await;
        match expected {
            Some(user) => assert_eq!(browser.context().await["pending_user"]["pk"], user, "{shown}"),
            None => assert_denied(&shown, NOBODY),
        }
    }
}

#[tokio::test]
async fn a_certificate_of_nobody_of_two_or_of_somebody_inactive_is_refused_even_when_it_is_optional() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let twin = site.user("twin", "").await;
    let ca = authority(&site, "ca").await;
    let fields = json!({
        "mode": "optional", "certificate_authorities": [ca.pair], "cert_attribute": "email", "user_attribute": "email",
    });
    flow(&site, "authentication", fields).await;
    let leaf = Leaf { emails: &["ann@example.org"], ..Leaf::of("x") };
    let certificate = ca.sign(&site, &leaf);
    let look = || async { showing(&site, Presenter::Connection, &[&certificate]).get("f", "").await };
    assert_eq!(look().await["name"], "behind");
    site.change_user(twin, json!({"email": "ann@example.org"})).await;
    assert_denied(&look().await, NOBODY);
    site.delete(User::MODEL, twin).await;
    assert_eq!(look().await["name"], "behind");
    site.change_user(ann, json!({"is_active": false})).await;
    assert_denied(&look().await, NOBODY);
    site.delete(User::MODEL, ann).await;
    assert_denied(&look().await, NOBODY);
}

#[tokio::test]
async fn without_authorities_of_its_own_the_stage_asks_those_of_the_brand() {
    let site = site().await;
    site.user("ann", "").await;
    let (ca, own) = (authority(&site, "ca").await, authority(&site, "own").await);
    let (_, stage) = flow(&site, "authentication", json!({})).await;
    let certificate = ca.sign(&site, &Leaf::of("ann"));
    let brand = site.make(Brand::MODEL, json!({"domain": "id.example.org"})).await;
    let look = || async {
        let mut browser = showing(&site, Presenter::Connection, &[&certificate]);
        browser.request.brand = Some(brand);
        browser.get("f", "").await
    };
    assert_denied(&look().await, "Unknown error");
    site.change(MutualTLSStage::MODEL, stage, json!({"mode": "optional"})).await;
    assert_eq!(look().await["name"], "behind");
    site.change(MutualTLSStage::MODEL, stage, json!({"mode": "required"})).await;
    site.change(Brand::MODEL, brand, json!({"client_certificates": [ca.pair]})).await;
    assert_eq!(look().await["name"], "behind");
    site.change(MutualTLSStage::MODEL, stage, json!({"certificate_authorities": [own.pair]})).await;
    assert_denied(&look().await, NONE);
}

#[tokio::test]
async fn an_enrolment_takes_name_and_address_from_the_certificate() {
    let site = site().await;
    let ca = authority(&site, "ca").await;
    flow(&site, "enrollment", json!({"certificate_authorities": [ca.pair]})).await;
    let leaf = Leaf { emails: &["new@example.org"], ..Leaf::of("New Person") };
    let mut browser = showing(&site, Presenter::Connection, &[&ca.sign(&site, &leaf)]);
    assert_eq!(browser.get("f", "").await["name"], "behind");
    let context = browser.context().await;
    assert_eq!(context["prompt_data"], json!({"email": "new@example.org", "name": "New Person"}));
    assert_eq!(context["certificate"]["subject"], "CN=New Person");
    assert!(!context.contains_key("pending_user") && !context.contains_key("auth_method"));
    let mut bare = showing(&site, Presenter::Connection, &[&ca.sign(&site, &Leaf::of("bare"))]);
    bare.get("f", "").await;
    assert_eq!(bare.context().await["prompt_data"], json!({"name": "bare"}));
}

#[tokio::test]
async fn an_outpost_vouches_only_with_the_permission_for_it() {
    let site = site().await;
    site.user("ann", "").await;
    let outpost = site.user("outpost", "").await;
    let ca = authority(&site, "ca").await;
    let (_, stage) = flow(&site, "authentication", json!({"certificate_authorities": [ca.pair]})).await;
    let certificate = ca.sign(&site, &Leaf::of("ann"));
    let look = |sender: Option<i64>| {
        let mut browser = showing(&site, Presenter::Outpost, &[&certificate]);
        browser.request.outpost = sender.map(|pk| json!({"pk": pk, "username": "outpost"}));
        async move { browser.get("f", "").await }
    };
    assert_denied(&look(Some(outpost)).await, NONE);
    let role = site.make(Role::MODEL, json!({"name": "outposts"})).await;
    let mut unit = site.unit();
    let wish = weir_identity::permission::Assignment {
        permissions: vec!["authentik_stages_mtls.pass_outpost_certificate".to_owned()],
        model: Some(MutualTLSStage::MODEL.to_owned()),
        object_pk: Some(stage.to_string()),
    };
    weir_identity::permission::assign(&mut unit, &role.to_string(), &wish).await.unwrap();
    weir_identity::role::set_user(&mut unit, &role.to_string(), outpost, true).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(look(Some(outpost)).await["name"], "behind");
    assert_denied(&look(None).await, NONE);
    assert_eq!(component(&look(Some(outpost + 1000)).await), "ak-stage-access-denied");
}
