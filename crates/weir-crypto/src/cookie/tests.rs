use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"an installation secret of 32 bytes..";

fn key() -> SigningKey {
    SigningKey::derive(SECRET, "session")
}

/// A token with any header and claims, signed correctly.
fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let body = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.mac(&[body.as_bytes()]));
    format!("{body}.{signature}")
}

fn verify(token: &str) -> Result<Value, TokenError> {
    key().verify(token, 1_000)
}

#[test]
fn claims_come_back_as_they_were_signed() {
    let claims = json!({"sid": "x", "iss": "authentik", "sub": "anonymous", "authenticated": false});
    let token = key().encode(&claims).unwrap();
    assert_eq!(verify(&token), Ok(claims));
}

#[test]
fn the_token_is_what_other_implementations_make() {
    // RFC 7515 appendix A.1, with its key and its line breaks in the header.
    let key_bytes = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let signing_input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    assert_eq!(
        URL_SAFE_NO_PAD.encode(hmac(&key_bytes, &[signing_input.as_bytes()])),
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
}

#[test]
fn derivation_is_hkdf() {
    // RFC 5869 appendix A.1, first block of output.
    let extracted = hmac(&(0..=12).collect::<Vec<u8>>(), &[&[0x0b; 22]]);
    let expanded = hmac(&extracted, &[&(0xf0..=0xf9).collect::<Vec<u8>>(), &[1]]);
    assert_eq!(crate::hex::encode(&expanded), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

#[test]
fn keys_of_other_labels_and_secrets_do_not_verify() {
    let token = key().encode(&json!({})).unwrap();
    for other in [SigningKey::derive(SECRET, "device"), SigningKey::derive(b"other", "session")] {
        assert_eq!(other.verify::<Value>(&token, 1_000), Err(TokenError::BadSignature));
    }
}

#[test]
fn the_algorithm_is_never_taken_from_the_token() {
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"RS256","jwk":{}}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        "[]",
        "",
    ] {
        assert_eq!(verify(&signed(&key(), header, "{}")), Err(TokenError::ForeignHeader), "{header}");
    }
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}"));
    assert_eq!(verify(&unsigned), Err(TokenError::BadSignature));
}

#[test]
fn times_are_honoured_when_present() {
    let at = |claims: &str| verify(&signed(&key(), HEADER, claims)).map(|_| ());
    assert_eq!(at(r#"{"exp":1001}"#), Ok(()));
    assert_eq!(at(r#"{"exp":1000.5}"#), Ok(()));
    assert_eq!(at(r#"{"exp":1000}"#), Err(TokenError::OutOfTime));
    assert_eq!(at(r#"{"exp":-1}"#), Err(TokenError::OutOfTime));
    assert_eq!(at(r#"{"nbf":1000}"#), Ok(()));
    assert_eq!(at(r#"{"nbf":1001}"#), Err(TokenError::OutOfTime));
    assert_eq!(at(r#"{"exp":"1001"}"#), Err(TokenError::BadClaims));
    assert_eq!(at("{}"), Ok(()));
}

#[test]
fn only_unpadded_base64url_is_read() {
    let token = key().encode(&json!({"a": "??>>~~"})).unwrap();
    assert!(verify(&token).is_ok());
    let (body, signature) = token.rsplit_once('.').unwrap();
    for changed in [
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        format!("{token}."),
        format!(".{token}"),
        body.to_owned(),
        String::new(),
        "..".to_owned(),
        format!("{body}.{}", &signature[..42]),
        // The last character of 32 bytes carries two bits of nothing, which must be zero.
        format!("{body}.{}{}", &signature[..42], if signature.ends_with('A') { 'B' } else { '_' }),
    ] {
        assert!(verify(&changed).is_err(), "{changed}");
    }
}

#[test]
fn claims_must_be_an_object_of_the_right_shape() {
    #[derive(Debug, Deserialize)]
    struct Session {
        #[expect(dead_code, reason = "only its presence counts")]
        sid: String,
    }
    assert_eq!(key().encode(&"text"), Err(TokenError::BadClaims));
    assert_eq!(key().encode(&json!([1])), Err(TokenError::BadClaims));
    let token = key().encode(&json!({"sid": 1})).unwrap();
    assert_eq!(key().verify::<Session>(&token, 0).err(), Some(TokenError::BadClaims));
    assert_eq!(verify(&signed(&key(), HEADER, "{")), Err(TokenError::BadClaims));
}

#[test]
fn long_tokens_are_neither_made_nor_read() {
    assert_eq!(key().encode(&json!({"a": "x".repeat(MAX_TOKEN_LEN)})), Err(TokenError::TooLong));
    let long = signed(&key(), HEADER, &json!({"a": "x".repeat(MAX_TOKEN_LEN)}).to_string());
    assert_eq!(verify(&long), Err(TokenError::TooLong));
}

#[test]
fn debug_output_shows_no_key() {
    assert_eq!(format!("{:?}", key()), "SigningKey(…)");
}

proptest! {
    #[test]
    fn no_text_is_a_token_or_a_panic(text in any::<String>()) {
        prop_assert!(verify(&text).is_err());
    }

    #[test]
    fn signed_nonsense_does_not_panic(header in any::<String>(), claims in any::<String>()) {
        prop_assert!(verify(&signed(&key(), &header, &claims)).is_err());
    }

    #[test]
    fn one_changed_character_breaks_the_signature(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let token = key().encode(&json!({"sid": "abcdef", "exp": 2000})).unwrap();
        let at = at.index(token.len());
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert_eq!(verify(&changed).is_ok(), changed == token);
    }
}
