//! Signatures beside documents.

use crate::seal::{BrokenSeal, Seal, canonical, read, verify};
use serde_json::json;

const KIND: &str = "test+json";

#[test]
fn a_sealed_document_verifies_and_no_other() {
    let seal = Seal::from_seed(&[7; 32]).unwrap();
    let document = json!({"b": [1, true, null], "a": "é \u{1} \"x\""});
    let signature = seal.sign(KIND, &document);
    assert!(signature.contains(".."), "{signature}");
    assert_eq!(verify(seal.jwk(), KIND, &document, &signature), Ok(()));
    // The order of names is no part of the document.
    let turned = json!({"a": "é \u{1} \"x\"", "b": [1, true, null]});
    assert_eq!(verify(seal.jwk(), KIND, &turned, &signature), Ok(()));
    let changed = json!({"a": "é", "b": [1, true, null]});
    assert_eq!(verify(seal.jwk(), KIND, &changed, &signature), Err(BrokenSeal::Changed));
    assert_eq!(verify(seal.jwk(), "other+json", &document, &signature), Err(BrokenSeal::Unreadable));
    let other = Seal::from_seed(&[8; 32]).unwrap();
    assert_eq!(verify(other.jwk(), KIND, &document, &signature), Err(BrokenSeal::OtherKey));
    assert_eq!(verify(&json!({"kty": "RSA"}), KIND, &document, &signature), Err(BrokenSeal::NoKey));
    for bad in ["", "..", "a.b.c", &signature.replace("..", ".e30."), &format!("{signature}.x")] {
        assert!(verify(seal.jwk(), KIND, &document, bad).is_err(), "{bad}");
    }
    assert!(Seal::from_seed(&[1; 31]).is_err());
}

#[test]
fn the_header_cannot_choose_another_algorithm() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let seal = Seal::from_seed(&[7; 32]).unwrap();
    let document = json!({"a": 1});
    let signature = seal.sign(KIND, &document);
    let bits = signature.rsplit('.').next().unwrap();
    let kid = seal.kid();
    for header in [
        json!({"alg": "none", "kid": kid, "typ": KIND}).to_string(),
        // The public key as the secret of a keyed hash.
        json!({"alg": "HS256", "kid": kid, "typ": KIND}).to_string(),
        json!({"alg": "ES256", "kid": kid, "typ": KIND}).to_string(),
        // A key of one's own brought along, and an option that changes what is signed.
        json!({"alg": "EdDSA", "kid": kid, "typ": KIND, "jwk": Seal::from_seed(&[8; 32]).unwrap().jwk()}).to_string(),
        json!({"alg": "EdDSA", "kid": kid, "typ": KIND, "crit": ["b64"], "b64": false}).to_string(),
        format!("{{\"alg\":\"none\",\"alg\":\"EdDSA\",\"kid\":\"{kid}\",\"typ\":\"{KIND}\"}}"),
    ] {
        let forged = format!("{}..{bits}", URL_SAFE_NO_PAD.encode(&header));
        assert_eq!(verify(seal.jwk(), KIND, &document, &forged), Err(BrokenSeal::Unreadable), "{header}");
    }
}

#[test]
fn a_signature_has_one_form() {
    let seal = Seal::from_seed(&[7; 32]).unwrap();
    let document = json!({"a": 1});
    let signature = seal.sign(KIND, &document);
    let (header, bits) = signature.split_once("..").unwrap();
    let doubled = format!("{header}..{bits}{bits}");
    for other in [format!("{signature}="), format!("{header}..{}", &bits[..bits.len() - 1]), doubled] {
        assert!(verify(seal.jwk(), KIND, &document, &other).is_err(), "{other}");
    }
    // Bits that no byte needs.
    let last = bits.chars().last().unwrap();
    let next = char::from(u8::try_from(u32::from(last)).unwrap() + 1);
    let loose = format!("{header}..{}{next}", &bits[..bits.len() - 1]);
    assert!(verify(seal.jwk(), KIND, &document, &loose).is_err(), "{loose}");
}

#[test]
fn what_can_be_read_in_two_ways_is_no_document() {
    let seal = Seal::from_seed(&[7; 32]).unwrap();
    for number in ["1.0", "1e0", "-0", "9007199254740993", "18446744073709551615", "1e400"] {
        let Ok(document) = read(&format!("{{\"a\": {number}}}")) else { continue };
        let signature = seal.sign(KIND, &document);
        assert_eq!(verify(seal.jwk(), KIND, &document, &signature), Err(BrokenSeal::Ambiguous), "{number}");
    }
    let good = json!({"reason": "phone stolen", "n": 9_007_199_254_740_991_i64});
    let signature = seal.sign(KIND, &good);
    assert_eq!(verify(seal.jwk(), KIND, &good, &signature), Ok(()));
    for text in [
        "{\"reason\": \"none\", \"reason\": \"phone stolen\", \"n\": 9007199254740991}",
        // The same name in other letters of the text.
        "{\"r\\u0065ason\": \"none\", \"reason\": \"phone stolen\", \"n\": 9007199254740991}",
        "{\"a\": [{\"b\": 1, \"b\": 1}]}",
        "{\"a\": 1} {}",
        "{\"a\": \"\\ud800\"}",
        "{\"a\": NaN}",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    // Letters that look alike are other letters.
    let composed = json!({"name": "\u{e9}"});
    let signature = seal.sign(KIND, &composed);
    assert_eq!(verify(seal.jwk(), KIND, &json!({"name": "e\u{301}"}), &signature), Err(BrokenSeal::Changed));
}

/// The key and thumbprint of RFC 8037, appendix A.
#[test]
fn the_published_key_has_the_published_name() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let seal = Seal::from_seed(&seed).unwrap();
    assert_eq!(seal.jwk()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(seal.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn a_document_has_one_text() {
    let document = json!({"b": {"z": 1, "a": [2, {"y": "\n\u{7f}", "x": null}]}, "a": "\u{1f600}"});
    assert_eq!(
        canonical(&document),
        "{\"a\":\"\u{1f600}\",\"b\":{\"a\":[2,{\"x\":null,\"y\":\"\\n\u{7f}\"}],\"z\":1}}"
    );
}
