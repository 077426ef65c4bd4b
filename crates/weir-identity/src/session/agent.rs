//! What a user agent says about browser, system and device: enough to recognise one's own sessions. A short list of
//! our own instead of a library, because the libraries bring megabytes of expressions for devices nobody has.

use regex::Regex;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Family and the expression that finds its version, most telling first: nearly every browser also claims to be others.
const BROWSERS: [(&str, &str); 28] = [
    ("Edge Mobile", r"(?:EdgA|EdgiOS)/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Edge", r"Edge?/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Opera Mobile", r"(?:OPR|OPT)/(\d+)(?:\.(\d+))?(?:\.(\d+))?.*Mobile|Mobile.*(?:OPR|OPT)/(\d+)"),
    ("Opera", r"(?:OPR|Opera)[/ ](\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Vivaldi", r"Vivaldi/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Samsung Internet", r"SamsungBrowser/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Yandex Browser", r"YaBrowser/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("UC Browser", r"UCBrowser/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("DuckDuckGo Mobile", r"DuckDuckGo/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Electron", r"Electron/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Firefox iOS", r"FxiOS/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Firefox Mobile", r"Mobile;.*Firefox/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Firefox", r"Firefox/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Chrome Mobile iOS", r"CriOS/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("HeadlessChrome", r"HeadlessChrome/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Chrome Mobile WebView", r"; wv\).*Chrome/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Chrome Mobile", r"Chrome/(\d+)(?:\.(\d+))?(?:\.(\d+))?[\d.]* Mobile"),
    ("Chrome", r"Chrome/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Mobile Safari", r"Version/(\d+)(?:\.(\d+))?(?:\.(\d+))?.*Mobile.*Safari/"),
    ("Safari", r"Version/(\d+)(?:\.(\d+))?(?:\.(\d+))?.*Safari/"),
    ("IE", r"(?:MSIE |Trident/.*rv:)(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("curl", r"^curl/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Wget", r"^Wget/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Python Requests", r"python-requests/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Python aiohttp", r"aiohttp/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("okhttp", r"okhttp/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Go-http-client", r"Go-http-client/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Java", r"Java/(\d+)(?:\.(\d+))?(?:\.(\d+))?"),
];

const SYSTEMS: [(&str, &str); 8] = [
    ("iOS", r"(?:iPhone|CPU) OS (\d+)(?:_(\d+))?(?:_(\d+))?"),
    ("Android", r"Android (\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Android", r"Android"),
    ("Windows", r"Windows NT (\d+)\.(\d+)"),
    ("Chrome OS", r"CrOS \S+ (\d+)(?:\.(\d+))?(?:\.(\d+))?"),
    ("Mac OS X", r"Mac OS X (\d+)(?:[._](\d+))?(?:[._](\d+))?"),
    ("Ubuntu", r"Ubuntu"),
    ("Linux", r"Linux|X11"),
];

/// Expressions of this file; each is compiled by a test.
type Table = Vec<(&'static str, Regex)>;

fn compile(table: &[(&'static str, &'static str)]) -> Table {
    table.iter().filter_map(|(family, text)| Some((*family, Regex::new(text).ok()?))).collect()
}

static COMPILED: LazyLock<(Table, Table)> = LazyLock::new(|| (compile(&BROWSERS), compile(&SYSTEMS)));

/// The first match and up to three parts of its version.
fn first(table: &Table, text: &str) -> Option<(&'static str, [Option<String>; 3])> {
    table.iter().find_map(|(family, expression)| {
        let found = expression.captures(text)?;
        let mut parts = found.iter().skip(1).flatten().map(|m| m.as_str().to_owned());
        Some((*family, [parts.next(), parts.next(), parts.next()]))
    })
}

/// The names people know Windows by.
fn windows(major: Option<&str>, minor: Option<&str>) -> Option<&'static str> {
    Some(match (major?, minor.unwrap_or("0")) {
        ("10", _) => "10",
        ("6", "3") => "8.1",
        ("6", "2") => "8",
        ("6", "1") => "7",
        _ => return None,
    })
}

fn device(text: &str) -> (&'static str, Option<&'static str>, Option<&'static str>) {
    let has = |part: &str| text.contains(part);
    if has("iPhone") {
        ("iPhone", Some("Apple"), Some("iPhone"))
    } else if has("iPad") {
        ("iPad", Some("Apple"), Some("iPad"))
    } else if has("Macintosh") {
        ("Mac", Some("Apple"), Some("Mac"))
    } else if has("Android") && has("Mobile") {
        ("Generic Smartphone", Some("Generic"), Some("Smartphone"))
    } else if has("Android") {
        ("Generic Tablet", Some("Generic"), Some("Tablet"))
    } else {
        ("Other", None, None)
    }
}

/// The contract's object `user_agent` of a session.
pub fn describe(text: &str) -> Value {
    let none = || ("Other", [None, None, None]);
    let (browser, [major, minor, patch]) = first(&COMPILED.0, text).unwrap_or_else(none);
    let (system, [os_major, os_minor, os_patch]) = first(&COMPILED.1, text).unwrap_or_else(none);
    let (os_major, os_minor) = match (system, windows(os_major.as_deref(), os_minor.as_deref())) {
        ("Windows", Some(name)) => (Some(name.to_owned()), None),
        _ => (os_major, os_minor),
    };
    let (family, brand, model) = device(text);
    json!({
        "device": {"brand": brand, "family": family, "model": model},
        "os": {"family": system, "major": os_major, "minor": os_minor, "patch": os_patch, "patch_minor": null},
        // The contract wants texts here, so what is unknown is empty.
        "user_agent": {
            "family": browser,
            "major": major.unwrap_or_default(),
            "minor": minor.unwrap_or_default(),
            "patch": patch.unwrap_or_default(),
        },
        "string": text,
    })
}

#[cfg(test)]
pub(crate) fn table_sizes() -> ((usize, usize), (usize, usize)) {
    ((COMPILED.0.len(), BROWSERS.len()), (COMPILED.1.len(), SYSTEMS.len()))
}
