use super::*;

#[test]
fn a_compiler_older_than_declared_is_told_not_to_mind() {
    assert!(is_older("rustc 1.95.0 (59807616e 2026-04-14)", (1, 96)).unwrap());
    assert!(!is_older("rustc 1.96.0 (0000000 2026-05-28)", (1, 96)).unwrap());
    assert!(!is_older("rustc 2.0.1", (1, 96)).unwrap());
}

#[test]
fn a_version_that_is_none_is_an_error() {
    assert!(is_older("rustc", (1, 96)).is_err());
    assert!(is_older("rustc next", (1, 96)).is_err());
}

#[test]
fn cargos_own_variables_do_not_reach_the_next_cargo() {
    assert!(is_cargo_private(OsStr::new("CARGO_PKG_NAME")));
    assert!(is_cargo_private(OsStr::new("CARGO_MANIFEST_DIR")));
    assert!(!is_cargo_private(OsStr::new("CARGO_TARGET_DIR")));
}
