//! Avatars. The modes of the setting `avatars` are tried in order; the first that gives something wins.
//!
//! Pictures at other servers are given out by address, and only when it is known that there is one: answers that show
//! users wait for that a little, pages on the way to a sign-in never do.

use crate::Account;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use serde_json::Value;
use weir_core::Map;
use weir_resource::{Pictures, Settings, Site};

/// The picture of mode `none`.
pub const DEFAULT_AVATAR: &str = "/static/dist/assets/images/user_default.png";

/// Where Gravatar keeps the picture of an address; without one it says so.
const GRAVATAR: &str = "https://www.gravatar.com/avatar/";

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

impl<'a> Subject<'a> {
    /// An account.
    pub fn of(account: &'a Account) -> Self {
        Self {
            username: &account.username,
            name: &account.name,
            email: &account.email,
            attributes: &account.attributes,
        }
    }
}

/// The avatar of an account, as far as is known without asking anybody.
pub fn for_account(site: &Site, settings: &Settings, account: &Account) -> String {
    of(site, settings, &Subject::of(account))
}

/// The avatar of a subject, as far as is known without asking anybody.
pub fn of(site: &Site, settings: &Settings, subject: &Subject<'_>) -> String {
    site.served(&choose(settings, site.pictures.get().map(|pictures| &**pictures), subject))
}

/// Addresses of pictures of these subjects of which nothing is known yet.
pub fn unknown<'a>(site: &Site, settings: &Settings, subjects: impl Iterator<Item = Subject<'a>>) -> Vec<String> {
    let Some(pictures) = site.pictures.get() else { return Vec::new() };
    let mut addresses: Vec<String> = subjects.flat_map(|subject| asked(settings, &**pictures, &subject)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Asks for these pictures, for a short time.
pub async fn settle(site: &Site, addresses: Vec<String>) {
    if let Some(pictures) = site.pictures.get().filter(|_| !addresses.is_empty()) {
        pictures.settle(&addresses).await;
    }
}

/// What one mode says.
enum Found {
    /// An avatar.
    Here(String),
    /// A picture elsewhere, if there is one.
    Elsewhere(String),
    Nothing,
}

fn modes<'a>(settings: &'a Settings, subject: &'a Subject<'a>) -> impl Iterator<Item = Found> + 'a {
    settings.avatars.split(',').map(move |mode| by_mode(mode.trim(), subject))
}

/// The first avatar of all modes.
pub(crate) fn choose(settings: &Settings, pictures: Option<&dyn Pictures>, subject: &Subject<'_>) -> String {
    let first = modes(settings, subject).find_map(|found| match found {
        Found::Here(avatar) => Some(avatar),
        Found::Elsewhere(address) => pictures?.look(&address)?.then_some(address),
        Found::Nothing => None,
    });
    first.unwrap_or_else(|| DEFAULT_AVATAR.to_owned())
}

/// The addresses that come before the first avatar of our own.
fn asked(settings: &Settings, pictures: &dyn Pictures, subject: &Subject<'_>) -> Vec<String> {
    let mut unknown = Vec::new();
    for found in modes(settings, subject) {
        match found {
            Found::Here(_) => break,
            Found::Elsewhere(address) => match pictures.look(&address) {
                Some(true) => break,
                Some(false) => {}
                None => unknown.push(address),
            },
            Found::Nothing => {}
        }
    }
    unknown
}

fn by_mode(mode: &str, subject: &Subject<'_>) -> Found {
    let here = |found: Option<String>| found.map_or(Found::Nothing, Found::Here);
    match mode {
        "none" => Found::Here(DEFAULT_AVATAR.to_owned()),
        "initials" => {
            Found::Here(initials(if subject.name.trim().is_empty() { subject.username } else { subject.name }))
        }
        // Whoever has no address has no picture there.
        "gravatar" if subject.email.is_empty() => Found::Nothing,
        "gravatar" => {
            let hash = crate::digest(&subject.email.trim().to_lowercase());
            Found::Elsewhere(format!("{GRAVATAR}{hash}?size=158&rating=g&default=404"))
        }
        _ => match mode.strip_prefix("attributes.") {
            Some(path) => here(by_path(subject.attributes, path)),
            None if mode.contains("://") => Found::Elsewhere(template(mode, subject)),
            None => Found::Nothing,
        },
    }
}

fn by_path(attributes: &Map, path: &str) -> Option<String> {
    let mut keys = path.split('.');
    let mut value = attributes.get(keys.next()?)?;
    for key in keys {
        value = value.get(key)?;
    }
    let is_picture = |text: &&str| weir_resource::is_address(text) || text.starts_with("data:image/");
    value.as_str().filter(is_picture).map(str::to_owned)
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
