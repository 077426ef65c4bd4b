//! Avatars. The modes of the setting `avatars` are tried in order; the first that gives something wins.
//!
//! `gravatar` is passed over: it would tell a third party who signs in where, and asking it would put a remote call
//! into every answer that shows a user. Addresses with placeholders are given out without asking their host first.

use crate::Account;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use serde_json::Value;
use weir_core::Map;
use weir_resource::Settings;

/// The picture of mode `none`.
pub const DEFAULT_AVATAR: &str = "/static/dist/assets/images/user_default.png";

/// What an avatar is made from.
pub struct Subject<'a> {
    /// Username.
    pub username: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// E-mail address.
    pub email: &'a str,
    /// Attributes.
    pub attributes: &'a Map,
}

/// The avatar of an account.
pub fn for_account(settings: &Settings, account: &Account) -> String {
    of(
        settings,
        &Subject {
            username: &account.username,
            name: &account.name,
            email: &account.email,
            attributes: &account.attributes,
        },
    )
}

/// The avatar of a subject.
pub fn of(settings: &Settings, subject: &Subject<'_>) -> String {
    let modes = settings.avatars.split(',').map(str::trim);
    modes.into_iter().find_map(|mode| by_mode(mode, subject)).unwrap_or_else(|| DEFAULT_AVATAR.to_owned())
}

fn by_mode(mode: &str, subject: &Subject<'_>) -> Option<String> {
    match mode {
        "none" => Some(DEFAULT_AVATAR.to_owned()),
        "initials" => Some(initials(if subject.name.trim().is_empty() { subject.username } else { subject.name })),
        _ => match mode.strip_prefix("attributes.") {
            Some(path) => by_path(subject.attributes, path),
            None if mode.contains("://") => Some(template(mode, subject)),
            None => None,
        },
    }
}

fn by_path(attributes: &Map, path: &str) -> Option<String> {
    let mut keys = path.split('.');
    let mut value = attributes.get(keys.next()?)?;
    for key in keys {
        value = value.get(key)?;
    }
    value.as_str().filter(|t| !t.is_empty()).map(str::to_owned)
}

fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

fn template(address: &str, subject: &Subject<'_>) -> String {
    let upn = subject.attributes.get("upn").and_then(Value::as_str).unwrap_or_default();
    address
        .replace("%(username)s", &escape_url(subject.username))
        .replace("%(mail_hash)s", &md5_hex(&subject.email.to_lowercase()))
        .replace("%(upn)s", &escape_url(upn))
}

/// Percent-encodes everything but unreserved characters.
fn escape_url(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// First letters of the first and the last word on a colour that follows from the name, as an SVG data address.
fn initials(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    let first = |word: Option<&&str>| word.and_then(|w| w.chars().next()).map(|c| c.to_uppercase().to_string());
    let mut letters = first(words.first()).unwrap_or_default();
    if words.len() > 1 {
        letters.push_str(&first(words.last()).unwrap_or_default());
    }
    let hash = md5_hex(&name.to_lowercase());
    let colour = hash.get(..6).unwrap_or("808080");
    let channel = |at: usize| colour.get(at..at + 2).and_then(|h| u32::from_str_radix(h, 16).ok()).unwrap_or(128);
    // Perceived brightness decides which text stays readable.
    let bright = channel(0) * 299 + channel(2) * 587 + channel(4) * 114 > 128_000;
    let ink = if bright { "000" } else { "fff" };
    let letters = letters.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\" width=\"64\" height=\"64\">\
         <rect width=\"64\" height=\"64\" fill=\"#{colour}\"/>\
         <text x=\"50%\" y=\"50%\" dy=\".35em\" text-anchor=\"middle\" font-family=\"sans-serif\" \
         font-size=\"28\" fill=\"#{ink}\">{letters}</text></svg>"
    );
    format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg))
}
