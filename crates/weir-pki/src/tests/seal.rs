//! Signatures beside documents.

use crate::seal::{BrokenSeal, Seal, canonical, verify};
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
    let header = json!({"alg": "none", "kid": seal.kid(), "typ": KIND}).to_string();
    let forged = format!("{}..{bits}", URL_SAFE_NO_PAD.encode(header));
    assert_eq!(verify(seal.jwk(), KIND, &document, &forged), Err(BrokenSeal::Unreadable));
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
