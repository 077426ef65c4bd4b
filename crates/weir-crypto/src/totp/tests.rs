use super::*;

const RFC: &[u8] = b"12345678901234567890";

#[test]
fn codes_are_those_of_the_standards() {
    // RFC 6238, appendix B.
    for (seconds, expected) in [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ] {
        assert_eq!(code(RFC, step_at(seconds), 8), expected);
        assert_eq!(code(RFC, step_at(seconds), 6), expected[2..]);
    }
    // RFC 4226, appendix D.
    let hotp = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
    for (step, expected) in hotp.iter().enumerate() {
        assert_eq!(code(RFC, i64::try_from(step).unwrap(), 6), *expected);
    }
}

#[test]
fn a_code_is_found_in_its_step_and_nowhere_else() {
    let given = code(RFC, 1000, 6);
    assert_eq!(matching_step(RFC, 6, &given, 999..=1001), Some(1000));
    assert_eq!(matching_step(RFC, 6, &given, 1001..=1003), None);
    assert_eq!(matching_step(RFC, 8, &given, 999..=1001), None, "other digits");
    for wrong in ["", "0", &given[1..], &format!("{given}0"), &format!(" {given}"), "abcdef", "１２３４５６"] {
        assert_eq!(matching_step(RFC, 6, wrong, 990..=1010), None, "{wrong}");
    }
    let empty = code(b"", 1000, 6);
    assert_eq!(matching_step(b"", 6, &empty, 999..=1001), None, "no secret, no proof");
}

#[test]
fn steps_are_thirty_seconds() {
    assert_eq!((step_at(0), step_at(29), step_at(30), step_at(-1)), (0, 0, 1, -1));
}

#[test]
fn base32_is_that_of_the_standard() {
    // RFC 4648, section 10, without padding.
    for (plain, text) in
        [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB")]
    {
        assert_eq!(to_base32(plain.as_bytes()), text);
        assert_eq!(from_base32(text).unwrap(), plain.as_bytes());
    }
    assert_eq!(from_base32("mzxw 6ytb oi======").unwrap(), b"foobar");
    assert_eq!(from_base32("MZ1"), None);
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(from_base32(&to_base32(&all)).unwrap(), all);
}
