use super::{CHALLENGE, ORIGIN, creation, enrol, now, registered, request, site};
use crate::{
    Assertion, Expected, Refusal, Requirement, StoredCredential, attestation,
    authenticator_data::AuthenticatorData,
    cbor::Cbor,
    certificate,
    cose::PublicKey,
    decode, der, encode, metadata,
    software::{Authenticator, der::write},
};
use proptest::{collection::vec, prelude::*};
use serde_json::json;

#[test]
fn cbor_that_authenticators_do_not_write_is_refused() {
    for bytes in [
        &b"\x9f\x01\xff"[..],
        b"\xbf\x01\x02\xff",
        b"\x5f\x41\x01\xff",
        b"\xc0\x01",
        b"\xa2\x01\x02\x01\x03",
        b"\xa1\x80\x01",
        b"\x01\x02",
        b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x82\x01",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"",
    ] {
        assert!(Cbor::whole(bytes).is_err(), "{bytes:x?}");
    }
    let deep = [vec![0x81; 8], vec![0x01]].concat();
    assert!(Cbor::whole(&deep).is_ok());
    assert!(Cbor::whole(&[&[0x81], deep.as_slice()].concat()).is_err(), "too deep");
    assert!(Cbor::whole(&vec![0x81; 1_000_000]).is_err());
}

#[test]
fn der_reads_lengths_and_tags_of_all_sizes() {
    for size in [0, 1, 127, 128, 255, 256, 70_000] {
        let content = vec![7; size];
        let element = write(4, &content);
        assert_eq!(der::only(&element).unwrap().content, content, "{size}");
        assert!(der::only(&element[..element.len() - 1]).is_none());
    }
    assert!(der::only(b"\xbf\xff\xff\xff\xff\xff\xff\x7f\x00").is_none(), "a tag without end");
    assert!(der::only(b"\x04\x80").is_none(), "no length");
    assert_eq!(der::only(b"\xbf\x85\x3e\x00").unwrap().tag, 702);
}

#[test]
fn base64url_has_one_text_for_each_value() {
    assert_eq!(decode("AQID").as_deref(), Some(&[1, 2, 3][..]));
    assert_eq!(decode("AQ==").as_deref(), Some(&[1][..]));
    assert_eq!(decode("AQ").as_deref(), Some(&[1][..]));
    for text in ["AR", "A", "A+==", "A Q"] {
        assert_eq!(decode(text), None, "{text}");
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    let key = |x: &[u8], y: &[u8]| {
        crate::software::cbor(|e| {
            e.map(5)
                .unwrap()
                .i8(1)
                .unwrap()
                .i8(2)
                .unwrap()
                .i8(3)
                .unwrap()
                .i8(-7)
                .unwrap()
                .i8(-1)
                .unwrap()
                .i8(1)
                .unwrap();
            e.i8(-2).unwrap().bytes(x).unwrap().i8(-3).unwrap().bytes(y).unwrap();
        })
    };
    assert_eq!(PublicKey::parse(&key(&[1; 32], &[1; 32])).unwrap_err(), Refusal::Key, "not on the curve");
    assert_eq!(PublicKey::parse(&key(&[0; 32], &[0; 32])).unwrap_err(), Refusal::Key);
    assert_eq!(PublicKey::parse(&key(&[1; 31], &[1; 32])).unwrap_err(), Refusal::Key);
    let rsa = |bytes: usize| {
        crate::software::cbor(|e| {
            e.map(4).unwrap().i8(1).unwrap().i8(3).unwrap().i8(3).unwrap().i16(-257).unwrap();
            e.i8(-1).unwrap().bytes(&vec![0xff; bytes]).unwrap().i8(-2).unwrap().bytes(&[1, 0, 1]).unwrap();
        })
    };
    for bytes in [0, 128, 255, 1025, 5000] {
        assert_eq!(PublicKey::parse(&rsa(bytes)).unwrap_err(), Refusal::Key, "{bytes} bytes");
    }
    assert!(PublicKey::parse(&rsa(256)).is_ok());
    let signing = crate::software::SigningKey::generate(crate::Algorithm::Es256);
    assert!(PublicKey::parse(&signing.cose()).is_ok());
    assert!(PublicKey::parse(&[signing.cose(), vec![0]].concat()).is_err(), "more behind it");
}

/// Feeds bytes to everything that reads bytes.
fn read_all(bytes: &[u8]) {
    let relying_party = site();
    let expected = Expected { challenge: &CHALLENGE, relying_party: &relying_party, user_verification: false };
    let _ = Cbor::whole(bytes);
    let _ = der::all(bytes);
    let _ = AuthenticatorData::parse(bytes);
    let _ = PublicKey::parse(bytes);
    let _ = certificate::parse(bytes);
    let _ = crate::is_trusted(&[bytes.to_vec()], &[bytes.to_vec(), vec![]], now());
    let _ = crate::is_trusted(&[bytes.to_vec()], &[vec![1]], now());
    let _ = crate::client_data::verify(bytes, crate::client_data::Ceremony::Assertion, &expected);
    let text = String::from_utf8_lossy(bytes);
    let _ = metadata::read_plain(&text);
    let _ = metadata::read_signed(&text, &[], now());
    let key = PublicKey::parse(&crate::software::SigningKey::generate(crate::Algorithm::EdDsa).cose()).unwrap();
    if let Ok(statement) = Cbor::whole(bytes) {
        for format in ["none", "packed", "fido-u2f", "tpm", "android-key", "apple", "android-safetynet"] {
            let subject = attestation::Subject {
                auth_data: bytes,
                client_data_hash: &[0; 32],
                rp_id_hash: &[0; 32],
                credential_id: bytes,
                aaguid: uuid::Uuid::nil(),
                key: &key,
                now: now(),
            };
            let _ = attestation::verify(format, &statement, &subject);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
    }

    #[test]
    fn no_change_of_a_registration_makes_it_panic_or_pass(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let mut authenticator = Authenticator { vouching: crate::software::Vouching::Own, ..Authenticator::default() };
        let mut answer = authenticator.create(&creation(Requirement::Preferred), ORIGIN);
        prop_assert!(registered(&answer).is_ok());
        let mut object = decode(answer["response"]["attestationObject"].as_str().unwrap()).unwrap();
        let at = at.index(object.len());
        if cut {
            object.truncate(at);
        } else {
            object[at] ^= 1 << bit;
        }
        answer["response"]["attestationObject"] = encode(&object).into();
        // Everything but the frame is signed, and the frame has no room for anything else.
        prop_assert!(registered(&answer).is_err());
        read_all(&object);
    }

    #[test]
    fn no_change_of_an_assertion_passes(field in 0usize..3, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut authenticator = Authenticator::default();
        let made = enrol(&mut authenticator);
        let mut answer = authenticator.get(&request(&[], Requirement::Preferred), ORIGIN);
        let name = ["clientDataJSON", "authenticatorData", "signature"][field];
        let mut bytes = decode(answer["response"][name].as_str().unwrap()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        answer["response"][name] = encode(&bytes).into();
        let relying_party = site();
        let expected = Expected { challenge: &CHALLENGE, relying_party: &relying_party, user_verification: false };
        let stored = StoredCredential {
            public_key: &made.public_key,
            sign_count: 0,
            user_handle: super::HANDLE,
            backup_eligible: None,
        };
        prop_assert!(Assertion::parse(&answer).and_then(|a| a.verify(&expected, &stored)).is_err());
    }

    #[test]
    fn no_json_makes_a_ceremony_panic(text in "\\PC{0,80}", number in any::<i64>()) {
        for value in [json!(text), json!(number), json!([text]), json!({"a": [number, text]}), json!(null)] {
            let inner = json!({"clientDataJSON": value, "attestationObject": value, "authenticatorData": value, "signature": value, "userHandle": value});
            for answer in [json!({"id": value, "rawId": value, "type": "public-key", "response": inner}), json!({"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": inner})] {
                let answer = answer.as_object().unwrap();
                prop_assert!(registered(answer).is_err());
                let _ = Assertion::parse(answer);
            }
        }
    }
}
