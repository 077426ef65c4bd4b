use super::fixture;
use crate::{PkiError, Signer};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

fn part(token: &str, index: usize) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()
}

#[test]
fn tokens_name_their_algorithm_and_key() {
    let cases = [
        ("RS256", "RSA", fixture!("rsa.crt"), fixture!("rsa.key"), 256),
        ("ES256", "EC", fixture!("ec-prime256v1.crt"), fixture!("ec-prime256v1.key"), 64),
        ("ES384", "EC", fixture!("ec-secp384r1.crt"), fixture!("ec-secp384r1.key"), 96),
        ("ES512", "EC", fixture!("ec-secp521r1.crt"), fixture!("ec-secp521r1.key"), 132),
        ("EdDSA", "OKP", fixture!("ed25519.crt"), fixture!("ed25519.key"), 64),
        ("EdDSA", "OKP", fixture!("ed448.crt"), fixture!("ed448.key"), 114),
    ];
    for (algorithm, kind, certificate, key, length) in cases {
        let signer = Signer::read(certificate, key).unwrap();
        // Numbers of a signature may begin with zeros; sixteen runs see some.
        for round in 0..16 {
            let token = signer.sign(&json!({"n": round})).unwrap();
            let header: Value = serde_json::from_slice(&part(&token, 0)).unwrap();
            assert_eq!(header, json!({"alg": algorithm, "kid": signer.kid(), "typ": "JWT"}));
            assert_eq!(part(&token, 1), format!("{{\"n\":{round}}}").into_bytes());
            assert_eq!(part(&token, 2).len(), length, "{algorithm}");
        }
        let jwk = signer.jwk();
        assert_eq!((&jwk["kty"], &jwk["alg"], &jwk["kid"]), (&json!(kind), &json!(algorithm), &json!(signer.kid())));
        assert!(jwk.get("d").is_none());
    }
}

#[test]
fn a_foreign_key_or_none_signs_nothing() {
    let none = Signer::read(fixture!("rsa.crt"), "").unwrap_err();
    assert_eq!(none, PkiError::NoKey);
    let foreign = Signer::read(fixture!("rsa.crt"), fixture!("ed25519.key")).unwrap_err();
    assert_eq!(foreign, PkiError::Mismatch);
}
