//! Languages: the embedded catalogues, which one a visitor gets, and looking texts up.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// Which way a language is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Left to right.
    Ltr,
    /// Right to left.
    Rtl,
}

impl Direction {
    /// The value of the `dir` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ltr => "ltr",
            Self::Rtl => "rtl",
        }
    }
}

/// One language of the pages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locale {
    /// Language tag as in the `lang` attribute: `en`, `de`, `ar`.
    pub tag: String,
    /// The language's own name, as shown in the list of languages.
    pub name: String,
    /// Writing direction.
    pub direction: Direction,
    /// Texts of the pages by key.
    pub(crate) texts: HashMap<String, String>,
    /// Texts other parts of the server answer in English, by that English text.
    pub(crate) server: HashMap<String, String>,
    /// Stand-ins for server texts that hold values, by error code.
    pub(crate) codes: HashMap<String, String>,
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

    /// Chooses the language: the first `preferred` tag we have (the user's setting, then the brand's), else the best
    /// of the `Accept-Language` header, else English.
    pub fn negotiate(preferred: &[&str], accept_language: &str) -> &'static Locale {
        if let Some(locale) = preferred.iter().find_map(|tag| Self::find(tag)) {
            return locale;
        }
        let mut ranges: Vec<(f32, &str)> = accept_language.split(',').take(32).filter_map(language_range).collect();
        // Stable: equal weights keep the browser's order.
        ranges.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranges
            .into_iter()
            .find_map(|(_, tag)| if tag == "*" { Some(Self::english()) } else { Self::find(tag) })
            .unwrap_or_else(Self::english)
    }

    /// The text of a key; English for one not translated, the key itself for one that does not exist.
    pub fn text<'a>(&'a self, key: &'a str) -> &'a str {
        let own = self.texts.get(key);
        own.or_else(|| Self::english().texts.get(key)).map_or(key, String::as_str)
    }

    /// Whether a key exists.
    pub(crate) fn has(key: &str) -> bool {
        Self::english().texts.contains_key(key)
    }

    /// Translates a text that another part of the server wrote in English; unknown ones stay as they are.
    pub fn server_text<'a>(&'a self, text: &'a str) -> Cow<'a, str> {
        if let Some(own) = self.server.get(text) {
            return Cow::Borrowed(own);
        }
        self.counted(text).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// The same for a text with one number, which the catalogue calls `{n}`.
    fn counted(&self, text: &str) -> Option<String> {
        let (before, from) = text.split_at_checked(text.find(|c: char| c.is_ascii_digit())?)?;
        let (number, after) = from.split_at_checked(from.find(|c: char| !c.is_ascii_digit())?)?;
        Some(self.server.get(&format!("{before}{{n}}{after}"))?.replace("{n}", number))
    }

    /// Translates an error; one that holds values falls back to a general sentence for its code.
    pub fn error_text<'a>(&'a self, text: &'a str, code: &str) -> &'a str {
        self.server.get(text).or_else(|| self.codes.get(code)).map_or(text, String::as_str)
    }
}

fn language_range(part: &str) -> Option<(f32, &str)> {
    let mut pieces = part.split(';');
    let tag = pieces.next()?.trim();
    let weight = match pieces.find_map(|p| p.trim().strip_prefix("q=")) {
        Some(q) => q.trim().parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q))?,
        None => 1.0,
    };
    (!tag.is_empty() && weight > 0.0).then_some((weight, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_weights_decide() {
        assert_eq!(Locale::negotiate(&[], "fr, ar;q=0.5, de-AT;q=0.8").tag, "de");
        assert_eq!(Locale::negotiate(&[], "fr-CA, *;q=0.1").tag, "en");
        assert_eq!(Locale::negotiate(&[], "ar-EG,en;q=0.9").tag, "ar");
        assert_eq!(Locale::negotiate(&[], "de;q=0, en").tag, "en");
        assert_eq!(Locale::negotiate(&[], "de;q=NaN,;;,=").tag, "en");
        assert_eq!(Locale::negotiate(&[], "").tag, "en");
    }

    #[test]
    fn a_setting_beats_the_browser() {
        assert_eq!(Locale::negotiate(&["", "de_CH"], "ar").tag, "de");
        assert_eq!(Locale::negotiate(&["xx"], "ar").tag, "ar");
    }

    #[test]
    fn every_language_has_every_text() {
        let english = Locale::english();
        for locale in Locale::all() {
            for key in english.texts.keys() {
                assert!(locale.texts.contains_key(key), "{} lacks {key}", locale.tag);
            }
            for key in locale.texts.keys() {
                assert!(english.texts.contains_key(key), "{} has the stray {key}", locale.tag);
            }
        }
        let german = Locale::find("de").expect("German");
        for locale in Locale::all().iter().skip(1) {
            for (text, code) in german.server.keys().zip(german.codes.keys().cycle()) {
                assert!(locale.server.contains_key(text), "{} lacks {text:?}", locale.tag);
                assert!(locale.codes.contains_key(code), "{} lacks {code:?}", locale.tag);
            }
            assert_eq!((locale.server.len(), locale.codes.len()), (german.server.len(), german.codes.len()));
        }
    }

    /// What is in quotation marks on these lines is read by people.
    #[test]
    fn the_sentences_of_sources_and_pages_are_translated() {
        let folder = format!("{}/..", std::env::var("CARGO_MANIFEST_DIR").unwrap());
        let mut found = 0;
        for (path, marks) in [
            ("weir-sources/src/say.rs", ""),
            ("weir-flow/src/sources/resume.rs", "=> \""),
            ("weir-flow/src/confirm.rs", "const "),
            ("weir-http/src/flow/page.rs", "let text = "),
            ("weir-stages/src/mtls/stage.rs", "const NO_"),
            ("weir-stages/src/invitation/stage.rs", "let text = "),
            ("weir-stages/src/invitation/challenge.rs", "let header_text = "),
        ] {
            let source = std::fs::read_to_string(format!("{folder}/{path}")).expect(path);
            // A literal may stand on the line after its name.
            let source = source.replace("=\n    \"", "= \"");
            let lines = source.lines().filter(|line| !line.trim().starts_with("//") && line.contains(marks));
            for text in lines.filter_map(|line| line.split('"').nth(1)).filter(|text| text.contains(' ')) {
                found += 1;
                for locale in Locale::all().iter().skip(1) {
                    assert!(locale.server.contains_key(text), "{} lacks {text:?} of {path}", locale.tag);
                }
            }
        }
        assert!(found > 18, "the search found only {found} sentences");
    }

    #[test]
    fn a_number_in_a_sentence_is_kept() {
        let text = "Too many account verification attempts. Please try again after 14 minutes.";
        let german = Locale::find("de").expect("German");
        assert_eq!(
            german.server_text(text),
            "Es wurden zu viele Nachrichten angefordert. Bitte in 14 Min. erneut versuchen."
        );
        assert!(Locale::find("ar").expect("Arabic").server_text(text).contains("14"));
        for text in [text, "Route 66", "7", ""] {
            assert_eq!(Locale::english().server_text(text), text);
        }
        assert_eq!(german.server_text("Route 66"), "Route 66");
    }

    #[test]
    fn translations_keep_their_placeholders() {
        for (key, text) in &Locale::english().texts {
            let wanted = placeholders(text);
            for locale in Locale::all() {
                assert_eq!(placeholders(locale.text(key)), wanted, "{} {key}", locale.tag);
            }
        }
    }

    fn placeholders(text: &str) -> Vec<&str> {
        let mut names: Vec<_> = text.split('{').skip(1).filter_map(|p| p.split('}').next()).collect();
        names.sort_unstable();
        names
    }
}
