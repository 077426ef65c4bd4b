use argon2::{Algorithm, Argon2, Params, Version};
use proptest::prelude::*;

use super::*;

fn oracle(password: &[u8], salt: &[u8], cost: HashCost) -> [u8; TAG_LEN] {
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(TAG_LEN)).unwrap();
    let mut tag = [0; TAG_LEN];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, &mut tag).unwrap();
    tag
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_engine_agrees_with_the_reference(
        password in prop::collection::vec(any::<u8>(), 0..200),
        salt in prop::collection::vec(any::<u8>(), 8..64),
        memory_kib in 8_u32..700,
        passes in 1_u32..5,
    ) {
        let cost = HashCost { memory_kib, passes };
        let expected = oracle(&password, &salt, cost);
        for mut workspace in Engine::available().map(Workspace) {
            let tag = workspace.argon2id(&password, &salt, cost);
            prop_assert_eq!(tag, Ok(expected), "{:?}", workspace);
        }
    }
}

#[test]
fn every_engine_computes_the_production_vector() {
    // argon2-cffi 25.1: m=19456, t=2, p=1.
    let expected = "a3e5c5a7b1a144329454ef3c6cbfb3424b65271b5734b729887ea4dfbd3a5978";
    for mut workspace in Engine::available().map(Workspace) {
        let tag = workspace.argon2id(b"correct horse", b"dBXwVQ3NaqHIt0vSgPkQ2b", HashCost::PRODUCTION).unwrap();
        assert_eq!(crate::hex::encode(&tag), expected, "{workspace:?}");
    }
}

#[test]
fn leftovers_of_earlier_hashes_do_not_matter() {
    let mut kept = Workspace::new();
    let large = HashCost { memory_kib: 1024, passes: 2 };
    for round in 0..3_u8 {
        for cost in [large, HashCost::CHEAP] {
            let tag = kept.argon2id(&[round], b"somesalt", cost).unwrap();
            assert_eq!(tag, oracle(&[round], b"somesalt", cost));
        }
    }
}

#[test]
fn memory_is_taken_at_the_first_hash_and_stays_the_same() {
    for mut workspace in Engine::available().map(Workspace) {
        assert_eq!(workspace.kept_bytes(), 0, "{workspace:?}");
        workspace.argon2id(b"a", b"somesalt", HashCost::PRODUCTION).unwrap();
        let kept = workspace.kept_bytes();
        for _ in 0..3 {
            workspace.argon2id(b"b", b"somesalt", HashCost::PRODUCTION).unwrap();
        }
        assert_eq!(workspace.kept_bytes(), kept, "{workspace:?}");
        assert!((19_456 << 10..=20 << 20).contains(&kept), "{workspace:?}");
    }
}

#[test]
fn only_costs_that_fit_the_kept_memory_are_taken() {
    assert_eq!(HashCost::within_kept_memory(7, 1), None);
    assert_eq!(HashCost::within_kept_memory(8, 0), None);
    assert_eq!(HashCost::within_kept_memory(19_457, 1), None);
    assert_eq!(HashCost::within_kept_memory(8, 1), Some(HashCost::CHEAP));
}
