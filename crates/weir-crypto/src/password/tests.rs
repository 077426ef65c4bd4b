use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

const PLAIN: &str = "correct horse";
const UNICODE: &str = "pässwörd → 密码 🦀";

/// (password, hash), all written by Django 5.2.19 with argon2-cffi 25.1 and bcrypt 5.0, at low cost.
const DJANGO: &[(&str, &str)] = &[
    (PLAIN, "pbkdf2_sha256$1000$dBXwVQ3NaqHIt0vSgPkQ2b$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4="),
    (UNICODE, "pbkdf2_sha256$1000$dBXwVQ3NaqHIt0vSgPkQ2b$iw+oNbowAWhxrFhZgPdhNLD+ITB+h+JO8VQuo/FwE0k="),
    ("", "pbkdf2_sha256$1000$dBXwVQ3NaqHIt0vSgPkQ2b$cHqOtE9zU+yb9GDU1DcFFpH8Y4f0wso6llb90+WjUGk="),
    (PLAIN, "pbkdf2_sha1$1000$dBXwVQ3NaqHIt0vSgPkQ2b$3WFPfNHfVo2UFmyRRs25HYygphw="),
    (UNICODE, "pbkdf2_sha1$1000$dBXwVQ3NaqHIt0vSgPkQ2b$5KSNyYR4Nn2uEYiNwEgo/J5VrgU="),
    ("", "pbkdf2_sha1$1000$dBXwVQ3NaqHIt0vSgPkQ2b$bp4fr1owCZZOZNc6dHZuQJ/nY0A="),
    (
        PLAIN,
        "scrypt$1024$dBXwVQ3NaqHIt0vSgPkQ2b$8$5$UNZir1uNTYG36YfqDYrZbOQLOxJ254NHq7NwItXC+tHPYnkfD3mCmtrM2HC8ttyA11YGlY8vhu6dH5bnzoYBZA==",
    ),
    (
        UNICODE,
        "scrypt$1024$dBXwVQ3NaqHIt0vSgPkQ2b$8$5$WUSjLZqH42+Mu5VIA/3f+McUA78mIvnxbqopLp6mrkw2BS8foSugFQFkIzLIzcP+9udf/0UILRZ+DGu7wX8jgg==",
    ),
    (
        "",
        "scrypt$1024$dBXwVQ3NaqHIt0vSgPkQ2b$8$5$x+QtU8RpgBjH4TdM6rutsKcRoX687Vok1jYSVQJ1T0ONn3Er+zff1HVGFwRwf/kynkLChNdXia0aGNl/xmGf6Q==",
    ),
    (PLAIN, "bcrypt_sha256$$2b$04$8QrCldXk5oCsz18W0N/gBeH7r19KUYOBtElbX9xHhshQhTyVN/GMK"),
    (UNICODE, "bcrypt_sha256$$2b$04$/bgIVjCOegrpKWGnqTtBLuQLCKN3UeoiA5K5OBdaSowsHfoYB9Hn6"),
    ("", "bcrypt_sha256$$2b$04$EtLkjNP1O2bXR7ymI1mkkuFs29mmN3j8huQsjer/YQZoaMFSarlrq"),
    (PLAIN, "bcrypt$$2b$04$MkdzZsOWgmFiEIuZlJtwveDtgr7pi2CbtsFyHiw/ULUoWS7blxCpO"),
    (UNICODE, "bcrypt$$2b$04$z6GixdNOOadQIMP6DDTsMu6k.T8PDqK4O//Pa7KLOFuWxyJJ4N.pG"),
    ("", "bcrypt$$2b$04$.OeNoYnCU4O7wVogXQTbPO/CQFg9DlvzvKUdCX6iKaSrw7NDi34ia"),
    (PLAIN, "bcrypt$$2a$04$dBXwVQ3NaqHIt0vSgPkQ2ujLgIiRRx8RznE1TMc5lpvgFDqCLlyPK"),
    (PLAIN, "bcrypt$$2y$04$dBXwVQ3NaqHIt0vSgPkQ2ujLgIiRRx8RznE1TMc5lpvgFDqCLlyPK"),
    (
        PLAIN,
        "argon2$argon2id$v=19$m=1024,t=2,p=8$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$cv4low2kyC4BFvrWOx86ZN2KhYpWvNXchFfEM0GnyiU",
    ),
    (
        UNICODE,
        "argon2$argon2id$v=19$m=1024,t=2,p=8$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$hYYoLJGJO6E+iO1HQlY27Ql2O9zzQc0/KHGmkZxcI94",
    ),
    (
        "",
        "argon2$argon2id$v=19$m=1024,t=2,p=8$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$d396wnDrUkfDNx9ef5Hn1FWKHoqaOlfB2Cz9L64Y7xs",
    ),
    (PLAIN, "argon2$argon2id$v=19$m=512,t=2,p=2$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw"),
    (PLAIN, "argon2$argon2i$v=19$m=512,t=2,p=2$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$ZfM77gEcATKPp3UkNELPtw"),
    (PLAIN, "argon2$argon2d$v=19$m=512,t=2,p=2$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$T3lFAnbMjk3lk6CmbYYJag"),
    (PLAIN, "argon2$argon2i$v=16$m=512,t=2,p=2$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$0tf3+HihH+uJHmqYoP5hAg"),
    (PLAIN, "argon2$argon2i$m=512,t=2,p=2$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$0tf3+HihH+uJHmqYoP5hAg"),
    (PLAIN, OURS),
    (
        UNICODE,
        "argon2$argon2id$v=19$m=19456,t=2,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$z0hM3exz+mJhKKsn6Hitev32fhmm+Mi47KBY4KNYow8",
    ),
    // Django's default cost.
    (
        PLAIN,
        "argon2$argon2id$v=19$m=102400,t=2,p=8$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$FUQVx9TI1tgm7qwvmpuktv29AKEK1rDKo0NbtBliQa0",
    ),
];

/// What this module writes for the password `PLAIN`, as computed by argon2-cffi.
const OURS: &str =
    "argon2$argon2id$v=19$m=19456,t=2,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$o+XFp7GhRDKUVO88bL+zQktlJxtXNLcpiH6k3706WXg";

fn password(bytes: impl AsRef<[u8]>) -> Password {
    Password::new(bytes.as_ref()).unwrap()
}

fn matches(hash: &str, bytes: impl AsRef<[u8]>) -> bool {
    PasswordHash::parse(hash).unwrap().verify(&password(bytes), &mut Workspace::new()).unwrap()
}

#[test]
fn every_django_hash_matches_its_password_and_no_other() {
    for (right, hash) in DJANGO {
        assert!(matches(hash, right), "{hash}");
        assert!(!matches(hash, format!("{right} ")), "{hash}");
        assert!(!matches(hash, right.to_uppercase() + "x"), "{hash}");
    }
}

#[test]
fn a_changed_digest_or_salt_does_not_match() {
    for (right, hash) in DJANGO.iter().filter(|(_, hash)| !hash.contains("m=102400")) {
        let digest_start = hash.len() - 20;
        let swap = |c: char| if c == 'a' { 'b' } else { 'a' };
        let changed: String = hash.char_indices().map(|(at, c)| if at == digest_start { swap(c) } else { c }).collect();
        assert!(!matches(&changed, right), "{changed}");
        let resalted = hash.replace("dBXw", "dBXv").replace("ZEJY", "ZEJX");
        if resalted != **hash {
            assert!(!matches(&resalted, right), "{resalted}");
        }
    }
}

#[test]
fn unicode_is_compared_byte_for_byte() {
    let mut workspace = Workspace::new();
    let salt = Salt::random(&mut StdRng::seed_from_u64(1));
    let composed = PasswordHash::create(&password("é"), &salt, HashCost::CHEAP, &mut workspace).unwrap();
    assert!(composed.verify(&password("é"), &mut workspace).unwrap());
    assert!(!composed.verify(&password("e\u{301}"), &mut workspace).unwrap());
    let invalid = PasswordHash::create(&password([0xff, 0xfe]), &salt, HashCost::CHEAP, &mut workspace).unwrap();
    assert!(invalid.verify(&password([0xff, 0xfe]), &mut workspace).unwrap());
    assert!(!invalid.verify(&password([0xff]), &mut workspace).unwrap());
}

#[test]
fn a_nul_byte_counts_in_argon2() {
    // argon2-cffi for "a\0b".
    let hash =
        "argon2$argon2id$v=19$m=64,t=1,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$ktsv39pY0GsIOrYdaFTmVMnOtvbuwBOaP+AMd3HXSPE";
    assert!(matches(hash, b"a\0b"));
    for other in [b"a".as_slice(), b"a\0", b"a\0c", b"a\0b\0"] {
        assert!(!matches(hash, other), "{other:?}");
    }
}

#[test]
fn a_nul_byte_never_matches_where_the_format_cannot_see_it() {
    for (right, hash) in DJANGO.iter().filter(|(_, hash)| !hash.starts_with("argon2")) {
        assert!(!matches(hash, format!("{right}\0")), "{hash}");
    }
    // bcrypt 5.0 gives this for "a" and for "a\0a".
    let ambiguous = "bcrypt$$2b$04$dBXwVQ3NaqHIt0vSgPkQ2u85/yuSIQGwMLalwSUsRLTmRdLWba0C.";
    assert!(matches(ambiguous, b"a"));
    assert!(!matches(ambiguous, b"a\0a"));
}

#[test]
fn bcrypt_looks_at_72_bytes_and_its_prehashed_form_at_all() {
    let plain = "bcrypt$$2b$04$dBXwVQ3NaqHIt0vSgPkQ2un2KpG/BeuaZfjIusPjCFZ0teyrjY4y.";
    assert!(matches(plain, "x".repeat(72)));
    assert!(matches(plain, "x".repeat(72) + "y"));
    assert!(!matches(plain, "x".repeat(71)));
    let prehashed = "bcrypt_sha256$$2b$04$dBXwVQ3NaqHIt0vSgPkQ2ueXSpe1UPAC8dtMC5rQG7HL2War2b15i";
    assert!(matches(prehashed, "x".repeat(72) + "y"));
    assert!(!matches(prehashed, "x".repeat(72)));
    assert!(!matches(prehashed, "x".repeat(72) + "z"));
}

#[test]
fn long_passwords_count_in_full() {
    let mut workspace = Workspace::new();
    let salt = Salt::random(&mut StdRng::seed_from_u64(2));
    let long = "p".repeat(MAX_PASSWORD_LEN);
    let hash = PasswordHash::create(&password(&long), &salt, HashCost::CHEAP, &mut workspace).unwrap();
    assert!(hash.verify(&password(&long), &mut workspace).unwrap());
    assert!(!hash.verify(&password(&long[1..]), &mut workspace).unwrap());
    assert_eq!(Password::new(long + "p").err(), Some(PasswordTooLong));
}

#[test]
fn new_hashes_are_written_as_django_writes_them() {
    let salt = Salt("dBXwVQ3NaqHIt0vSgPkQ2b".to_owned());
    let hash = PasswordHash::create(&password(PLAIN), &salt, HashCost::PRODUCTION, &mut Workspace::new()).unwrap();
    assert_eq!(hash.as_str(), OURS);
    assert!(OURS.len() < 128, "Django's column");
}

#[test]
fn every_salt_is_new() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut workspace = Workspace::new();
    let mut hash = || {
        PasswordHash::create(&password(PLAIN), &Salt::random(&mut rng), HashCost::CHEAP, &mut workspace)
            .unwrap()
            .into_string()
    };
    assert_ne!(hash(), hash());
}

#[test]
fn only_hashes_of_the_current_kind_and_cost_stay() {
    for (_, hash) in DJANGO {
        let current = hash.contains("$argon2id$v=19$m=19456,t=2,p=1$");
        let hash = PasswordHash::parse(hash).unwrap();
        assert_eq!(hash.needs_rehash(HashCost::PRODUCTION), !current, "{}", hash.as_str());
        assert!(hash.needs_rehash(HashCost::CHEAP), "{}", hash.as_str());
    }
    let short_tag = "argon2$argon2id$v=19$m=19456,t=2,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw";
    assert!(PasswordHash::parse(short_tag).unwrap().needs_rehash(HashCost::PRODUCTION));
}

#[test]
fn an_unusable_password_matches_nothing() {
    let mut rng = StdRng::seed_from_u64(4);
    let made = PasswordHash::make_unusable(&mut rng);
    assert_eq!(made.as_str().len(), 41);
    assert_ne!(made, PasswordHash::make_unusable(&mut rng));
    for text in [made.as_str(), "!", "!UwKN0hAv3WbA4DSbbyjLujkiMNBTKfhSP9lHP4Vg"] {
        let hash = PasswordHash::parse(text).unwrap();
        assert!(!hash.is_usable());
        assert!(!hash.needs_rehash(HashCost::PRODUCTION));
        for guess in ["", "!", text, &text[1..]] {
            assert!(!hash.verify(&password(guess), &mut Workspace::new()).unwrap());
        }
    }
}

#[test]
fn unknown_and_malformed_hashes_are_refused() {
    let unknown = ["", "secret", "md5$salt$0123", "sha1$$x", "argon2id$v=19$", "PBKDF2_SHA256$1$s$", "$", "plain$x"];
    for text in unknown {
        assert_eq!(PasswordHash::parse(text), Err(FormatError::UnknownAlgorithm), "{text}");
    }
    let malformed = [
        "argon2$",
        "argon2$argon2id$v=19$m=8,t=1,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg",
        "argon2$argon2x$v=19$m=8,t=1,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
        "argon2$argon2id$v=18$m=8,t=1,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
        "argon2$argon2id$v=19$t=1,m=8,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
        "argon2$argon2id$v=19$m=8,t=0,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
        "argon2$argon2id$v=19$m=7,t=1,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
        "argon2$argon2id$v=19$m=8,t=1,p=2$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
        "argon2$argon2id$v=19$m=8,t=1,p=1,keyid=x$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
        "argon2$argon2id$v=19$m=8,t=1,p=1$c2FsdA$4ZT5QLZGzE9yCHXlHeM5yw",
        "argon2$argon2id$v=19$m=8,t=1,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw==",
        "argon2$argon2id$v=19$m=8,t=1,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLY",
        "pbkdf2_sha256$1000$salt",
        "pbkdf2_sha256$1000$salt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=$",
        "pbkdf2_sha256$0$salt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=",
        "pbkdf2_sha256$01$salt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=",
        "pbkdf2_sha256$+1$salt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=",
        "pbkdf2_sha256$99999999999$salt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=",
        "pbkdf2_sha256$1000$$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=",
        "pbkdf2_sha256$1000$sa\0lt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=",
        "pbkdf2_sha256$1000$salt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4",
        "pbkdf2_sha256$1000$salt$3WFPfNHfVo2UFmyRRs25HYygphw=",
        "pbkdf2_sha1$1000$salt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=",
        "bcrypt$2b$04$8QrCldXk5oCsz18W0N/gBeH7r19KUYOBtElbX9xHhshQhTyVN/GMK",
        "bcrypt$$2x$04$8QrCldXk5oCsz18W0N/gBeH7r19KUYOBtElbX9xHhshQhTyVN/GMK",
        "bcrypt$$2b$4$8QrCldXk5oCsz18W0N/gBeH7r19KUYOBtElbX9xHhshQhTyVN/GMK",
        "bcrypt$$2b$03$8QrCldXk5oCsz18W0N/gBeH7r19KUYOBtElbX9xHhshQhTyVN/GMK",
        "bcrypt$$2b$04$8QrCldXk5oCsz18W0N/gBeH7r19KUYOBtElbX9xHhshQhTyVN/GM",
        "bcrypt$$2b$04$8QrCldXk5oCsz18W0N/gBéH7r19KUYOBtElbX9xHhshQhTyVN/GM",
        "scrypt$1023$salt$8$5$UNZir1uNTYG36YfqDYrZbOQLOxJ254NHq7NwItXC+tHPYnkfD3mCmtrM2HC8ttyA11YGlY8vhu6dH5bnzoYBZA==",
        "scrypt$1$salt$8$5$UNZir1uNTYG36YfqDYrZbOQLOxJ254NHq7NwItXC+tHPYnkfD3mCmtrM2HC8ttyA11YGlY8vhu6dH5bnzoYBZA==",
        "scrypt$salt$1024$8$5$UNZir1uNTYG36YfqDYrZbOQLOxJ254NHq7NwItXC+tHPYnkfD3mCmtrM2HC8ttyA11YGlY8vhu6dH5bnzoYBZA==",
        "scrypt$1024$salt$8$5$UNZir1uN",
    ];
    for text in malformed {
        assert!(matches!(PasswordHash::parse(text), Err(FormatError::Malformed { .. })), "{text:?}");
    }
    assert_eq!(PasswordHash::parse(&"x".repeat(MAX_ENCODED_LEN + 1)), Err(FormatError::TooLong));
}

#[test]
fn excessive_costs_are_refused_and_named() {
    let cases = [
        ("pbkdf2_sha256$4000001$salt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=", "iterations"),
        ("pbkdf2_sha1$4294967295$salt$3WFPfNHfVo2UFmyRRs25HYygphw=", "iterations"),
        ("bcrypt$$2b$16$8QrCldXk5oCsz18W0N/gBeH7r19KUYOBtElbX9xHhshQhTyVN/GMK", "cost"),
        ("bcrypt_sha256$$2b$31$8QrCldXk5oCsz18W0N/gBeH7r19KUYOBtElbX9xHhshQhTyVN/GMK", "cost"),
        (
            "argon2$argon2id$v=19$m=131073,t=1,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
            "memory in KiB",
        ),
        (
            "argon2$argon2id$v=19$m=131072,t=9,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
            "memory in KiB times passes",
        ),
        (
            "argon2$argon2id$v=19$m=8,t=4294967295,p=1$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
            "memory in KiB times passes",
        ),
        ("argon2$argon2id$v=19$m=1024,t=1,p=17$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw", "lanes"),
        (
            "scrypt$2097152$salt$8$1$UNZir1uNTYG36YfqDYrZbOQLOxJ254NHq7NwItXC+tHPYnkfD3mCmtrM2HC8ttyA11YGlY8vhu6dH5bnzoYBZA==",
            "memory in KiB",
        ),
        (
            "scrypt$131072$salt$8$9$UNZir1uNTYG36YfqDYrZbOQLOxJ254NHq7NwItXC+tHPYnkfD3mCmtrM2HC8ttyA11YGlY8vhu6dH5bnzoYBZA==",
            "memory in KiB times lanes",
        ),
    ];
    for (text, expected) in cases {
        match PasswordHash::parse(text) {
            Err(FormatError::Excessive { parameter, .. }) => assert_eq!(parameter, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn django_defaults_of_all_versions_are_within_the_limits() {
    // Django 6.0 writes 1,200,000 rounds; scrypt 2^14, 8, 5 since 5.1.
    for text in [
        "pbkdf2_sha256$1200000$salt$IqqWUGimyRpYib17pXjkMsNmhHklt57wTMkfTfXHUm4=",
        "bcrypt_sha256$$2b$12$8QrCldXk5oCsz18W0N/gBeH7r19KUYOBtElbX9xHhshQhTyVN/GMK",
        "argon2$argon2id$v=19$m=102400,t=2,p=8$ZEJYd1ZRM05hcUhJdDB2U2dQa1EyYg$4ZT5QLZGzE9yCHXlHeM5yw",
        "scrypt$16384$salt$8$5$UNZir1uNTYG36YfqDYrZbOQLOxJ254NHq7NwItXC+tHPYnkfD3mCmtrM2HC8ttyA11YGlY8vhu6dH5bnzoYBZA==",
    ] {
        assert!(PasswordHash::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn errors_and_debug_output_show_no_secret() {
    let error = PasswordHash::parse("hunter2$hunter2").unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    assert_eq!(format!("{:?}", PasswordHash::parse(OURS).unwrap()), "PasswordHash(argon2, …)");
    assert_eq!(format!("{:?}", password("hunter2")), "Password(…)");
}

proptest! {
    #[test]
    fn parsing_never_panics(text in any::<String>()) {
        let _ = PasswordHash::parse(&text);
    }

    #[test]
    fn parsing_never_panics_behind_a_known_name(
        name in prop::sample::select(vec![
            "argon2$argon2id$v=19$", "argon2$", "pbkdf2_sha256$", "pbkdf2_sha1$1$", "bcrypt$$2b$04$", "bcrypt_sha256$", "scrypt$2$",
        ]),
        rest in "[a-zA-Z0-9$=,./+é\\x00]{0,90}",
    ) {
        if let Ok(hash) = PasswordHash::parse(&format!("{name}{rest}")) {
            prop_assert_eq!(hash.as_str(), format!("{name}{rest}"));
        }
    }

    #[test]
    fn parsing_survives_any_change_of_one_character(
        which in 0..DJANGO.len(), at in any::<prop::sample::Index>(), to in any::<char>(),
    ) {
        let mut text: Vec<char> = DJANGO[which].1.chars().collect();
        let at = at.index(text.len());
        text[at] = to;
        let text: String = text.into_iter().collect();
        if let Ok(hash) = PasswordHash::parse(&text) {
            prop_assert_eq!(hash.into_string(), text);
        }
    }

    #[test]
    fn what_is_hashed_matches_and_its_neighbours_do_not(
        bytes in prop::collection::vec(any::<u8>(), 0..100), seed in any::<u64>(),
    ) {
        let mut workspace = Workspace::new();
        let salt = Salt::random(&mut StdRng::seed_from_u64(seed));
        let hash = PasswordHash::create(&password(&bytes), &salt, HashCost::CHEAP, &mut workspace).unwrap();
        let reread = PasswordHash::parse(hash.as_str()).unwrap();
        prop_assert!(reread.verify(&password(&bytes), &mut workspace).unwrap());
        prop_assert!(!reread.needs_rehash(HashCost::CHEAP));
        let mut longer = bytes.clone();
        longer.push(0);
        prop_assert!(!reread.verify(&password(&longer), &mut workspace).unwrap());
        if let Some((last, shorter)) = bytes.split_last() {
            prop_assert!(!reread.verify(&password(shorter), &mut workspace).unwrap());
            let flipped = [shorter, &[last ^ 1]].concat();
            prop_assert!(!reread.verify(&password(flipped), &mut workspace).unwrap());
        }
    }
}
