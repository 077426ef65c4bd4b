//! Languages of mails: the embedded catalogues.

use serde::Deserialize;
use std::{collections::BTreeMap, sync::LazyLock};

/// Which way a language is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Left to right.
    Ltr,
    /// Right to left.
    Rtl,
}

/// One language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locale {
    /// Language tag.
    pub tag: String,
    /// Writing direction.
    pub direction: Direction,
    /// Texts by key.
    pub(crate) texts: BTreeMap<String, String>,
    /// Subjects that administrators keep in English, by that text.
    pub(crate) subjects: BTreeMap<String, String>,
}

const CATALOGUES: &[&str] =
    &[include_str!("../locales/en.json"), include_str!("../locales/de.json"), include_str!("../locales/ar.json")];

#[expect(clippy::expect_used, reason = "the catalogues are part of the binary and every test reads them")]
static LOCALES: LazyLock<Vec<Locale>> = LazyLock::new(|| {
    CATALOGUES.iter().map(|text| serde_json::from_str(text).expect("an embedded catalogue is valid")).collect()
});

impl Locale {
    /// Every language, English first.
    pub fn all() -> &'static [Locale] {
        &LOCALES
    }

    /// English, the language everything falls back to.
    #[expect(clippy::expect_used, reason = "the list of catalogues is not empty")]
    pub fn english() -> &'static Locale {
        LOCALES.first().expect("English is embedded")
    }

    /// The language for a tag; `de-AT` and `de_AT` find `de`.
    pub fn find(tag: &str) -> Option<&'static Locale> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or("");
        Self::all().iter().find(|locale| locale.tag.eq_ignore_ascii_case(primary))
    }

    /// A subject in this language when it is one of the usual ones, else as it stands.
    pub fn subject<'a>(&'a self, text: &'a str) -> &'a str {
        self.subjects.get(text).map_or(text, String::as_str)
    }

    /// The text of a key with its values put in; English where it is not translated, the key where it does not exist.
    pub fn text(&self, key: &str, values: &[(&str, &str)]) -> String {
        let own = self.texts.get(key).or_else(|| Self::english().texts.get(key));
        let mut rest = own.map_or(key, String::as_str);
        let mut out = String::with_capacity(rest.len() + 16);
        // One pass over the catalogue's own text, so that a value cannot bring placeholders.
        while let Some((before, from)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, after)) = from.split_once('}') else { break };
            let value = values.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v);
            match self.direction {
                Direction::Ltr => out.push_str(value),
                // Names and addresses in another script keep their own direction.
                Direction::Rtl => out.extend(["\u{2068}", value, "\u{2069}"]),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// A span of time in words: minutes up to two hours, hours up to two days, then days; at least a minute.
    pub fn span(&self, seconds: i64) -> String {
        let (unit, count) = match seconds {
            ..7200 => ("minutes", (seconds / 60).max(1)),
            7200..172_800 => ("hours", seconds / 3600),
            _ => ("days", seconds / 86_400),
        };
        let key = format!("span.{unit}.{}", self.plural(count));
        let key = if self.texts.contains_key(&key) { key } else { format!("span.{unit}.other") };
        let number = count.to_string();
        let text = self.texts.get(&key).or_else(|| Self::english().texts.get(&key));
        text.map_or_else(|| number.clone(), |text| text.replace("{n}", &number))
    }

    /// The plural category of a number (Unicode CLDR).
    fn plural(&self, count: i64) -> &'static str {
        match (self.tag.as_str(), count, count % 100) {
            ("ar", 0, _) => "zero",
            (_, 1, _) => "one",
            ("ar", 2, _) => "two",
            ("ar", _, 3..=10) => "few",
            ("ar", _, 11..=99) => "many",
            _ => "other",
        }
    }
}
