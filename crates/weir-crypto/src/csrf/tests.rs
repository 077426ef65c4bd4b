use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

fn key() -> SigningKey {
    SigningKey::derive(b"an installation secret of 32 bytes..", "csrf")
}

#[test]
fn a_token_belongs_to_its_session_and_key() {
    let token = make(&key(), "session-1", &mut StdRng::seed_from_u64(1));
    assert_eq!(token.len(), TOKEN_LEN);
    assert!(verify(&key(), "session-1", &token));
    assert!(!verify(&key(), "session-2", &token));
    assert!(!verify(&key(), "session-", &token));
    assert!(!verify(&SigningKey::derive(b"another secret", "csrf"), "session-1", &token));
}

#[test]
fn each_token_looks_different() {
    let mut rng = StdRng::seed_from_u64(2);
    let (first, second) = (make(&key(), "s", &mut rng), make(&key(), "s", &mut rng));
    let same = first.bytes().zip(second.bytes()).filter(|(a, b)| a == b).count();
    assert!(same < 10, "{first} {second}");
    assert!(verify(&key(), "s", &first) && verify(&key(), "s", &second));
}

#[test]
fn no_session_has_no_token() {
    let token = make(&key(), "", &mut StdRng::seed_from_u64(3));
    assert!(!verify(&key(), "", &token));
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in any::<String>()) {
        prop_assert!(!verify(&key(), "session", &text));
    }

    #[test]
    fn a_changed_token_is_refused(at in 0..TOKEN_LEN, to in "[A-Za-z0-9_=-]") {
        let token = make(&key(), "session", &mut StdRng::seed_from_u64(4));
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert_eq!(verify(&key(), "session", &changed), changed == token);
    }
}
