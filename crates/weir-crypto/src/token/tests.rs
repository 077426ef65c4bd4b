use std::collections::HashSet;

use rand::{SeedableRng, rngs::StdRng};

use super::*;

#[test]
fn keys_have_the_length_asked_for_within_the_limits() {
    let mut rng = StdRng::seed_from_u64(1);
    for (asked, given) in [(0, 22), (21, 22), (22, 22), (60, 60), (1024, 1024), (usize::MAX, 1024)] {
        assert_eq!(random_key(&mut rng, asked).len(), given, "{asked}");
    }
}

#[test]
fn keys_use_all_letters_and_digits_evenly() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..62 {
        for letter in random_key(&mut rng, 1000).chars() {
            *counts.entry(letter).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.len(), 62);
    assert!(counts.keys().all(char::is_ascii_alphanumeric));
    // 1000 expected each; six standard deviations.
    assert!(counts.values().all(|count| (810..1190).contains(count)), "{counts:?}");
}

#[test]
fn the_system_generator_does_not_repeat_itself() {
    let mut rng = crate::system_rng();
    let keys: HashSet<String> = (0..1000).map(|_| random_key(&mut rng, 22)).collect();
    assert_eq!(keys.len(), 1000);
}

#[test]
fn hexadecimal_has_two_digits_for_each_byte() {
    let mut rng = StdRng::seed_from_u64(3);
    let id = random_hex::<16>(&mut rng);
    assert_eq!(id.len(), 32);
    assert!(id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
    assert_eq!(crate::hex::encode(&[0x00, 0x09, 0x0a, 0x9f, 0xff]), "00090a9fff");
}

#[test]
fn the_digest_is_sha_256() {
    // FIPS 180-4, "abc".
    assert_eq!(digest_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn comparison_tells_lengths_and_bytes_apart() {
    assert!(constant_time_eq("same", "same"));
    assert!(constant_time_eq("", ""));
    assert!(!constant_time_eq("same", "samf"));
    assert!(!constant_time_eq("same", "same "));
}
