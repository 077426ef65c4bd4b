//! Reading Django's hash texts: strictly as Django writes them, within limits that one log-in may cost.

use argon2::{Algorithm, Params, Version};
use base64::{
    Engine as _, alphabet,
    engine::{
        GeneralPurpose,
        general_purpose::{NO_PAD, STANDARD, STANDARD_NO_PAD},
    },
};

use super::{FormatError, Scheme};

/// Four times Django 5's million; about a second.
const MAX_PBKDF2_ROUNDS: u32 = 4_000_000;
/// Each step doubles; 12 is Django's, 15 about two seconds.
const MAX_BCRYPT_COST: u32 = 15;
/// Django's Argon2 takes 100 MiB; scrypt is held to the same bound.
const MAX_MEMORY_KIB: u32 = 128 << 10;
/// Memory written in all passes (Argon2) or lanes (scrypt), in KiB.
const MAX_WORK_KIB: u32 = 1 << 20;
const MAX_LANES: u32 = 16;
const MAX_SALT_LEN: usize = 128;

const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD);

pub(super) fn scheme(encoded: &str) -> Result<Scheme, FormatError> {
    if encoded.starts_with('!') {
        return Ok(Scheme::Unusable);
    }
    let (algorithm, rest) = encoded.split_once('$').ok_or(FormatError::UnknownAlgorithm)?;
    match algorithm {
        "argon2" => argon2(rest),
        "pbkdf2_sha256" => {
            let (rounds, salt, tag) = pbkdf2("pbkdf2_sha256", rest)?;
            Ok(Scheme::Pbkdf2Sha256 { rounds, salt, tag })
        }
        "pbkdf2_sha1" => {
            let (rounds, salt, tag) = pbkdf2("pbkdf2_sha1", rest)?;
            Ok(Scheme::Pbkdf2Sha1 { rounds, salt, tag })
        }
        "bcrypt_sha256" => bcrypt("bcrypt_sha256", true, rest),
        "bcrypt" => bcrypt("bcrypt", false, rest),
        "scrypt" => scrypt(rest),
        _ => Err(FormatError::UnknownAlgorithm),
    }
}

/// `argon2id$v=19$m=…,t=…,p=…$salt$tag`; without `v` it is the version before 1.3.
fn argon2(rest: &str) -> Result<Scheme, FormatError> {
    const NAME: &str = "argon2";
    let bad = |part| FormatError::Malformed { algorithm: NAME, part };
    let parts: Vec<&str> = rest.split('$').collect();
    let (variant, version, costs, salt, tag) = match parts.as_slice() {
        [variant, version, costs, salt, tag] => (*variant, Some(*version), *costs, *salt, *tag),
        [variant, costs, salt, tag] => (*variant, None, *costs, *salt, *tag),
        _ => return Err(bad("number of parts")),
    };
    let variant = match variant {
        "argon2id" => Algorithm::Argon2id,
        "argon2i" => Algorithm::Argon2i,
        "argon2d" => Algorithm::Argon2d,
        _ => return Err(bad("variant")),
    };
    let version = match version {
        Some("v=19") => Version::V0x13,
        Some("v=16") | None => Version::V0x10,
        Some(_) => return Err(bad("version")),
    };
    let costs: Vec<&str> = costs.split(',').collect();
    let [memory, passes, lanes] = costs.as_slice() else { return Err(bad("parameters")) };
    let cost = |text: &str, name| text.strip_prefix(name).and_then(number).ok_or(bad("parameters"));
    let (memory, passes, lanes) = (cost(memory, "m=")?, cost(passes, "t=")?, cost(lanes, "p=")?);
    at_most(NAME, "memory in KiB", memory, MAX_MEMORY_KIB)?;
    at_most(NAME, "lanes", lanes, MAX_LANES)?;
    at_most(NAME, "memory in KiB times passes", memory.saturating_mul(passes), MAX_WORK_KIB)?;
    let salt = STANDARD_NO_PAD.decode(salt).map_err(|_| bad("salt"))?;
    if !(8..=MAX_SALT_LEN).contains(&salt.len()) {
        return Err(bad("length of the salt"));
    }
    let tag = STANDARD_NO_PAD.decode(tag).map_err(|_| bad("digest"))?;
    // Below 16 bytes other passwords would begin to match.
    if !(16..=64).contains(&tag.len()) {
        return Err(bad("length of the digest"));
    }
    let params = Params::new(memory, passes, lanes, Some(tag.len())).map_err(|_| bad("parameters"))?;
    Ok(Scheme::Argon2 { variant, version, params, salt, tag })
}

/// `rounds$salt$tag`.
fn pbkdf2<const N: usize>(algorithm: &'static str, rest: &str) -> Result<(u32, String, [u8; N]), FormatError> {
    let bad = |part| FormatError::Malformed { algorithm, part };
    let parts: Vec<&str> = rest.split('$').collect();
    let [rounds, salt, tag] = parts.as_slice() else { return Err(bad("number of parts")) };
    let rounds = number(rounds).ok_or(bad("iterations"))?;
    at_most(algorithm, "iterations", rounds, MAX_PBKDF2_ROUNDS)?;
    let salt = text_salt(salt).ok_or(bad("salt"))?;
    Ok((rounds, salt, padded_tag(tag).ok_or(bad("digest"))?))
}

/// `n$salt$r$p$tag`.
fn scrypt(rest: &str) -> Result<Scheme, FormatError> {
    const NAME: &str = "scrypt";
    let bad = |part| FormatError::Malformed { algorithm: NAME, part };
    let parts: Vec<&str> = rest.split('$').collect();
    let [n, salt, r, p, tag] = parts.as_slice() else { return Err(bad("number of parts")) };
    let n = number(n).filter(|n| *n > 1 && n.is_power_of_two()).ok_or(bad("work factor"))?;
    let r = number(r).ok_or(bad("block size"))?;
    let p = number(p).ok_or(bad("parallelism"))?;
    let memory_kib = n.saturating_mul(r) / 8;
    at_most(NAME, "memory in KiB", memory_kib, MAX_MEMORY_KIB)?;
    at_most(NAME, "lanes", p, MAX_LANES)?;
    at_most(NAME, "memory in KiB times lanes", memory_kib.saturating_mul(p), MAX_WORK_KIB)?;
    let salt = text_salt(salt).ok_or(bad("salt"))?;
    let tag = padded_tag(tag).ok_or(bad("digest"))?;
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| bad("work factor"))?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| bad("parameters"))?;
    Ok(Scheme::Scrypt { params, salt, tag })
}

/// `$2b$12$` and 22 characters of salt, 31 of tag. `2x` marks hashes of a broken implementation.
fn bcrypt(algorithm: &'static str, prehashed: bool, rest: &str) -> Result<Scheme, FormatError> {
    let bad = |part| FormatError::Malformed { algorithm, part };
    let parts: Vec<&str> = rest.split('$').collect();
    let ["", "2a" | "2b" | "2y", cost, data] = parts.as_slice() else { return Err(bad("prefix")) };
    let cost = match cost.as_bytes() {
        [tens @ b'0'..=b'3', ones @ b'0'..=b'9'] => u32::from(tens - b'0') * 10 + u32::from(ones - b'0'),
        _ => return Err(bad("cost")),
    };
    if cost < 4 {
        return Err(bad("cost"));
    }
    at_most(algorithm, "cost", cost, MAX_BCRYPT_COST)?;
    let (salt, tag) = data.split_at_checked(22).ok_or(bad("length"))?;
    let salt = decoded(&BCRYPT_BASE64, salt).ok_or(bad("salt"))?;
    let tag = decoded(&BCRYPT_BASE64, tag).ok_or(bad("digest"))?;
    Ok(Scheme::Bcrypt { prehashed, cost, salt, tag })
}

/// A positive decimal without sign or leading zeros.
fn number(text: &str) -> Option<u32> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if canonical { text.parse().ok() } else { None }
}

fn at_most(algorithm: &'static str, parameter: &'static str, value: u32, limit: u32) -> Result<(), FormatError> {
    if value > limit {
        return Err(FormatError::Excessive { algorithm, parameter, limit: limit.into() });
    }
    Ok(())
}

/// Salts of the older formats are used as the text they are.
fn text_salt(salt: &str) -> Option<String> {
    let plain = !salt.is_empty() && salt.len() <= MAX_SALT_LEN && !salt.contains(|c: char| c.is_control());
    plain.then(|| salt.to_owned())
}

fn padded_tag<const N: usize>(text: &str) -> Option<[u8; N]> {
    decoded(&STANDARD, text)
}

fn decoded<const N: usize>(engine: &GeneralPurpose, text: &str) -> Option<[u8; N]> {
    engine.decode(text).ok()?.try_into().ok()
}
