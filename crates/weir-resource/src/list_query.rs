//! What a list is asked for: filters, words, order and page.

use crate::{HookSet, Snapshot, order::By};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use weir_core::{ApiError, Field, ResourceType};

/// Words of one search. Each is a condition on all columns that are searched.
const WORDS: usize = 64;

/// The words of a search, each once.
///
/// # Errors
/// 400 when there are too many.
pub fn search_words(text: &str) -> Result<Vec<String>, ApiError> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        if words.iter().any(|known| known == word) {
            continue;
        }
        if words.len() == WORDS {
            return Err(ApiError::field("search", format!("A search has {WORDS} words at most.")));
        }
        words.push(word.to_owned());
    }
    Ok(words)
}

/// A word as it may be written: databases know the two cases of ASCII letters, and of others not always.
pub(crate) fn spellings(word: &str) -> Vec<String> {
    let mut found = vec![word.to_owned()];
    if !word.is_ascii() {
        let small = word.to_lowercase();
        let mut letters = small.chars();
        let capital: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        for spelling in [small, capital, word.to_uppercase()] {
            if !found.contains(&spelling) {
                found.push(spelling);
            }
        }
    }
    found
}

/// The query parameters of a list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// All parameters in order.
    pub parameters: Vec<(String, String)>,
}

impl ListQuery {
    /// A parameter that is not empty; the last one counts.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// A parameter that is yes or no.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.find(name) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(_) => Err(ApiError::field(name, "Must be a valid boolean.")),
        }
    }

    /// All values of a parameter that may be repeated.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter with keys, repeated or separated by commas.
    ///
    /// # Errors
    /// 400 for what is no UUID.
    pub fn uuids(&self, name: &str) -> Result<Vec<Uuid>, ApiError> {
        self.all(name)
            .flat_map(|text| text.split(','))
            .map(|text| Uuid::parse_str(text.trim()).map_err(|_| ApiError::field(name, "Enter a valid UUID.")))
            .collect()
    }

    /// The page asked for and its size.
    ///
    /// # Errors
    /// 404 for a page number that is none.
    pub fn page(&self, site: &Snapshot) -> Result<(u64, u64), ApiError> {
        let invalid = || ApiError::NotFound("Invalid page.".to_owned());
        let page = match self.find("page") {
            Some(text) => text.parse::<u64>().ok().filter(|n| *n >= 1).ok_or_else(invalid)?,
            None => 1,
        };
        let size = self.find("page_size").and_then(|t| t.parse::<u64>().ok()).filter(|n| *n > 0);
        Ok((page, site.settings.page_size(size)))
    }

    pub(crate) fn search_words(&self) -> Result<Vec<String>, ApiError> {
        search_words(self.find("search").unwrap_or_default())
    }

    /// One value of each parameter, the last, as where a parameter has one.
    pub fn last_of_each(&self) -> impl Iterator<Item = (&str, &str)> {
        let last: BTreeMap<&str, &str> =
            self.parameters.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.as_str(), v.as_str())).collect();
        last.into_iter()
    }

    /// By what and in which direction (true = descending), in order of importance.
    pub(crate) fn ordering(&self, kind: &'static ResourceType, hooks: &HookSet) -> Vec<(By, bool)> {
        let hooks = hooks.of(kind.model);
        let beside = |name: &str| hooks.iter().find_map(|hooks| hooks.order(name)).map(By::Column);
        let known = |text: &str| -> Vec<(By, bool)> {
            let mut named = BTreeSet::new();
            text.split(',')
                .filter_map(|part| {
                    let part = part.trim();
                    let (name, down) = part.strip_prefix('-').map_or((part, false), |n| (n, true));
                    // A second time it would order nothing.
                    let by = named.insert(name).then(|| By::find(kind, name).or_else(|| beside(name))).flatten()?;
                    Some((by, down))
                })
                .collect()
        };
        let asked = self.find("ordering").map(known).unwrap_or_default();
        if asked.is_empty() { known(kind.order) } else { asked }
    }

    /// Filters on fields: field, look-up, value.
    pub(crate) fn filters(&self, kind: &'static ResourceType) -> Vec<(&'static Field, &str, &str)> {
        self.parameters
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| {
                let (base, look_up) = name.split_once("__").unwrap_or((name.as_str(), "exact"));
                let field = kind.filterable().find(|f| f.name == base)?;
                Some((field, look_up, value.as_str()))
            })
            .collect()
    }
}
