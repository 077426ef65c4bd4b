use super::{CHALLENGE, HANDLE, ORIGIN, creation, enrol, now, registered, request, site};
use crate::{
    Algorithm, Asserted, Assertion, Attachment, CreationOptions, Expected, Hint, Refusal, Registered, RelyingParty,
    Requirement, StoredCredential, Trust,
    software::{Authenticator, Wrong},
};
use serde_json::{Map, Value, json};

#[test]
fn creation_options_say_exactly_what_is_wanted() {
    let options = CreationOptions {
        relying_party: &RelyingParty::of("http://localhost:9000/if/flow/x/").unwrap(),
        site_name: "Weir",
        user_handle: b"\xfb\xff",
        user_name: "maja",
        display_name: "Maja",
        challenge: &[0xff; 4],
        user_verification: Requirement::Discouraged,
        resident_key: Requirement::Required,
        attachment: None,
        hints: &[Hint::SecurityKey, Hint::Hybrid],
    };
    let algorithms = [-7, -8, -36, -37, -38, -39, -257, -258, -259].map(|a| json!({"type": "public-key", "alg": a}));
    let expected = json!({
        "rp": {"name": "Weir", "id": "localhost"},
        "user": {"id": "-_8", "name": "maja", "displayName": "Maja"},
        "challenge": "_____w",
        "pubKeyCredParams": algorithms,
        "timeout": 60000,
        "excludeCredentials": [],
        "authenticatorSelection": {
            "authenticatorAttachment": "cross-platform",
            "residentKey": "required",
            "requireResidentKey": true,
            "userVerification": "discouraged",
        },
        "attestation": "direct",
        "hints": ["security-key", "hybrid"],
    });
    assert_eq!(Value::Object(options.json()), expected);
    let plain = CreationOptions { hints: &[], resident_key: Requirement::Preferred, ..options }.json();
    assert!(!plain.contains_key("hints"));
    assert_eq!(plain["authenticatorSelection"]["requireResidentKey"], false);
    assert!(plain["authenticatorSelection"].get("authenticatorAttachment").is_none());
}

#[test]
fn hints_amount_to_an_attachment_only_when_they_agree() {
    use Hint::{ClientDevice, Hybrid, SecurityKey};
    assert_eq!(Hint::attachment(&[]), None);
    assert_eq!(Hint::attachment(&[ClientDevice]), Some(Attachment::Platform));
    assert_eq!(Hint::attachment(&[Hybrid]), Some(Attachment::CrossPlatform));
    assert_eq!(Hint::attachment(&[SecurityKey, Hybrid]), Some(Attachment::CrossPlatform));
    assert_eq!(Hint::attachment(&[ClientDevice, Hybrid]), None);
}

#[test]
fn request_options_name_the_credentials() {
    let options = request(&[vec![1, 2, 3]], Requirement::Required);
    let expected = json!({
        "challenge": crate::encode(&CHALLENGE),
        "timeout": 60000,
        "rpId": "id.example.org",
        "allowCredentials": [{"id": "AQID", "type": "public-key"}],
        "userVerification": "required",
    });
    assert_eq!(Value::Object(options), expected);
}

#[test]
fn a_relying_party_is_a_host_and_its_origin() {
    for (url, id, origin) in [
        ("https://ID.example.org/", "id.example.org", "https://id.example.org"),
        ("https://id.example.org:443", "id.example.org", "https://id.example.org"),
        ("http://id.example.org:443", "id.example.org", "http://id.example.org:443"),
        ("http://localhost:9000", "localhost", "http://localhost:9000"),
        ("http://127.0.0.1:80", "127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:9000", "[::1]", "http://[::1]:9000"),
    ] {
        assert_eq!(RelyingParty::of(url), Some(RelyingParty { id: id.to_owned(), origin: origin.to_owned() }));
    }
    for url in ["", "id.example.org", "ftp://id.example.org", "https://"] {
        assert_eq!(RelyingParty::of(url), None, "{url}");
    }
}

fn asserted(
    answer: &Map<String, Value>,
    stored: &Registered,
    sign_count: u32,
    user_verification: bool,
) -> Result<Asserted, Refusal> {
    let relying_party = site();
    let expected = Expected { challenge: &CHALLENGE, relying_party: &relying_party, user_verification };
    let stored = StoredCredential {
        public_key: &stored.public_key,
        sign_count,
        user_handle: HANDLE,
        backup_eligible: Some(stored.backup_eligible),
    };
    Assertion::parse(answer)?.verify(&expected, &stored)
}

#[test]
fn every_offered_algorithm_registers_and_signs_in() {
    for algorithm in Algorithm::OFFERED {
        let mut authenticator = Authenticator { algorithms: vec![algorithm], ..Authenticator::default() };
        let made = enrol(&mut authenticator);
        assert_eq!(made.algorithm, algorithm.number());
        assert_eq!(made.attestation.trust, Trust::None);
        let options = request(std::slice::from_ref(&made.credential_id), Requirement::Preferred);
        let answer = authenticator.get(&options, ORIGIN);
        let seen = asserted(&answer, &made, made.sign_count, true).unwrap();
        let expected = Asserted { sign_count: 2, user_verified: true, backup_eligible: false, backed_up: false };
        assert_eq!(seen, expected, "{algorithm:?}");
    }
}

#[test]
fn a_key_of_another_kind_than_offered_is_refused() {
    let mut options = creation(Requirement::Preferred);
    // The authenticator is told so by a page that was tampered with.
    options.insert("pubKeyCredParams".to_owned(), json!([{"type": "public-key", "alg": -7}]));
    let mut authenticator = Authenticator::default();
    let mut answer = authenticator.create(&options, ORIGIN);
    let mut object = crate::decode(answer["response"]["attestationObject"].as_str().unwrap()).unwrap();
    // alg -7 is 0x26 after key 3; -35 is 0x38 0x22, which needs a byte more, so ES256 becomes -6.
    let at = object.windows(4).position(|w| w == [0x03, 0x26, 0x20, 0x01]).unwrap();
    object[at + 1] = 0x25;
    answer["response"]["attestationObject"] = crate::encode(&object).into();
    assert_eq!(registered(&answer).unwrap_err(), Refusal::Algorithm);
}

#[test]
fn what_a_registration_tells_is_kept() {
    let mut synced = Authenticator { is_synced: true, counts: false, verifies_user: false, ..Authenticator::default() };
    let made = enrol(&mut synced);
    assert!(made.backup_eligible && made.backed_up && !made.user_verified);
    assert_eq!(made.sign_count, 0);
    let made = enrol(&mut Authenticator::default());
    assert!(!made.backup_eligible && !made.backed_up && made.user_verified);
    assert_eq!(made.sign_count, 1);
    assert_eq!(made.attestation.format, "none");
}

const EACH: fn() -> Vec<(Wrong, Refusal)> = || {
    let wrong = Wrong::default;
    vec![
        (Wrong { origin: Some("https://evil.example.org".to_owned()), ..wrong() }, Refusal::Origin),
        (Wrong { origin: Some("http://id.example.org".to_owned()), ..wrong() }, Refusal::Origin),
        (Wrong { origin: Some("https://id.example.org:8443".to_owned()), ..wrong() }, Refusal::Origin),
        (Wrong { origin: Some("https://a.id.example.org".to_owned()), ..wrong() }, Refusal::Origin),
        (Wrong { cross_origin: true, ..wrong() }, Refusal::Origin),
        (Wrong { rp_id: Some("example.org".to_owned()), ..wrong() }, Refusal::RelyingParty),
        (Wrong { challenge: Some(vec![8; 64]), ..wrong() }, Refusal::Challenge),
        (Wrong { challenge: Some(CHALLENGE[..63].to_vec()), ..wrong() }, Refusal::Challenge),
        (Wrong { challenge: Some(Vec::new()), ..wrong() }, Refusal::Challenge),
        (Wrong { kind: Some("payment.get"), ..wrong() }, Refusal::Type),
        (Wrong { flags: 0x01, ..wrong() }, Refusal::UserPresence),
        (Wrong { flags: 0x10, ..wrong() }, Refusal::Flags),
        (Wrong { flags: 0x80, ..wrong() }, Refusal::Malformed("authenticator data")),
    ]
};

#[test]
fn each_wrong_registration_is_refused_for_its_reason() {
    for (wrong, refusal) in EACH() {
        let mut authenticator = Authenticator { wrong: wrong.clone(), ..Authenticator::default() };
        let answer = authenticator.create(&creation(Requirement::Preferred), ORIGIN);
        assert_eq!(registered(&answer).unwrap_err(), refusal, "{wrong:?}");
    }
    // An assertion is no registration, whatever it is put into.
    let wrong = Wrong { kind: Some("webauthn.get"), ..Wrong::default() };
    let mut authenticator = Authenticator { wrong, ..Authenticator::default() };
    let answer = authenticator.create(&creation(Requirement::Preferred), ORIGIN);
    assert_eq!(registered(&answer).unwrap_err(), Refusal::Type);
}

#[test]
fn each_wrong_assertion_is_refused_for_its_reason() {
    let mut authenticator = Authenticator::default();
    let made = enrol(&mut authenticator);
    let more = [
        (Wrong { signature: true, ..Wrong::default() }, Refusal::Signature),
        (Wrong { user_handle: Some(b"handle of nora".to_vec()), ..Wrong::default() }, Refusal::UserHandle),
        (Wrong { sign_count: Some(1), ..Wrong::default() }, Refusal::Counter),
        (Wrong { sign_count: Some(0), ..Wrong::default() }, Refusal::Counter),
        (Wrong { kind: Some("webauthn.create"), ..Wrong::default() }, Refusal::Type),
        // What was not to be copied cannot become so.
        (Wrong { flags: 0x08, ..Wrong::default() }, Refusal::Flags),
    ];
    for (wrong, refusal) in EACH().into_iter().chain(more) {
        authenticator.wrong = wrong.clone();
        let answer = authenticator.get(&request(&[], Requirement::Preferred), ORIGIN);
        assert_eq!(asserted(&answer, &made, 1, false).unwrap_err(), refusal, "{wrong:?}");
    }
    authenticator.wrong = Wrong::default();
    let answer = authenticator.get(&request(&[], Requirement::Preferred), ORIGIN);
    assert!(asserted(&answer, &made, 1, false).is_ok());
}

#[test]
fn verification_of_the_person_counts_only_when_required() {
    let mut authenticator = Authenticator { verifies_user: false, ..Authenticator::default() };
    let answer = authenticator.create(&creation(Requirement::Required), ORIGIN);
    let relying_party = site();
    let expected = Expected { challenge: &CHALLENGE, relying_party: &relying_party, user_verification: true };
    assert_eq!(crate::registration::verify(&answer, &expected, now()).unwrap_err(), Refusal::UserVerification);
    let made = registered(&answer).unwrap();
    let answer = authenticator.get(&request(&[], Requirement::Preferred), ORIGIN);
    assert_eq!(asserted(&answer, &made, 1, true).unwrap_err(), Refusal::UserVerification);
    assert!(!asserted(&answer, &made, 1, false).unwrap().user_verified);
}

#[test]
fn a_counter_that_stays_at_zero_is_no_counter() {
    let mut authenticator = Authenticator { counts: false, ..Authenticator::default() };
    let made = enrol(&mut authenticator);
    let answer = authenticator.get(&request(&[], Requirement::Preferred), ORIGIN);
    assert_eq!(asserted(&answer, &made, 0, false).unwrap().sign_count, 0);
    // One that counted before and does not now is suspicious.
    assert_eq!(asserted(&answer, &made, 5, false).unwrap_err(), Refusal::Counter);
}

#[test]
fn the_key_of_another_credential_does_not_fit() {
    let (mut one, mut other) = (Authenticator::default(), Authenticator::default());
    enrol(&mut one);
    let foreign = enrol(&mut other);
    let answer = one.get(&request(&[], Requirement::Preferred), ORIGIN);
    assert_eq!(asserted(&answer, &foreign, 0, false).unwrap_err(), Refusal::Signature);
}

#[test]
fn answers_of_browsers_that_pad_or_leave_out_what_is_empty_are_understood() {
    let mut authenticator = Authenticator { keeps_residents: false, ..Authenticator::default() };
    let made = enrol(&mut authenticator);
    let options = request(std::slice::from_ref(&made.credential_id), Requirement::Preferred);
    for handle in [None, Some(Value::Null), Some(json!(""))] {
        let mut answer = authenticator.get(&options, ORIGIN);
        let response = answer["response"].as_object_mut().unwrap();
        match handle {
            None => drop(response.remove("userHandle")),
            Some(value) => drop(response.insert("userHandle".to_owned(), value)),
        }
        let padded = format!("{}=", response["authenticatorData"].as_str().unwrap());
        if padded.len() % 4 == 0 {
            response.insert("authenticatorData".to_owned(), padded.into());
        }
        assert!(asserted(&answer, &made, 1, false).is_ok());
        assert!(!Assertion::parse(&answer).unwrap().has_user_handle());
    }
}

#[test]
fn answers_that_are_none_are_refused_with_the_name_of_what_is_wrong() {
    let good = Authenticator::default().create(&creation(Requirement::Preferred), ORIGIN);
    for (field, value, named) in [
        ("type", Value::Null, "type"),
        ("type", json!("password"), "type"),
        ("id", Value::Null, "id"),
        ("id", json!("!"), "id"),
        ("id", json!("A".repeat(1400)), "id"),
        ("rawId", json!("AAAA"), "rawId"),
        ("response", json!([]), "response"),
        ("response", json!({}), "clientDataJSON"),
        ("response", json!({"clientDataJSON": "e30"}), "attestationObject"),
        ("response", json!({"clientDataJSON": "e30", "attestationObject": "oA"}), "clientDataJSON"),
        ("response", json!({"clientDataJSON": "A".repeat(30_000)}), "clientDataJSON"),
    ] {
        let mut answer = good.clone();
        answer.insert(field.to_owned(), value);
        assert_eq!(registered(&answer).unwrap_err(), Refusal::Malformed(named), "{field}");
    }
    let mut other = good;
    for field in ["id", "rawId"] {
        other.insert(field.to_owned(), "AAAA".into());
    }
    assert_eq!(registered(&other).unwrap_err(), Refusal::Malformed("id"), "not the id that was signed");
}
