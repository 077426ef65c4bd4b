//! The list of all settings, derived from the structs: their keys, kinds and texts are written once.

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// What a text from the environment or a flag is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// Texts separated by commas or spaces.
    List,
}

/// Whether a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    Open,
    /// Only without the password in it.
    Url,
    /// Never.
    Secret,
}

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Name with the section, as in `email.host`.
    pub key: String,
    /// As in `WEIR_EMAIL__HOST`.
    pub variable: String,
    /// As in `email-host`.
    pub flag: String,
    /// What its text is read as.
    pub kind: Kind,
    /// Whether it may be shown.
    pub secrecy: Secrecy,
    /// Smallest and largest number.
    pub range: (Option<u64>, Option<u64>),
    /// What it is.
    pub help: String,
    /// The default; null for none.
    pub default: Value,
    /// The secret whose value stands in the file that this setting names.
    pub file_of: Option<String>,
}

impl Setting {
    fn new(key: String, schema: &Value, default: Value) -> Self {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let kind = if types.contains(&"boolean") {
            Kind::Flag
        } else if types.contains(&"integer") {
            Kind::Number
        } else if types.contains(&"array") {
            Kind::List
        } else {
            Kind::Text
        };
        let is_secret = |value: &Value| value.pointer("/writeOnly") == Some(&Value::Bool(true));
        let any = schema.get("anyOf").and_then(Value::as_array);
        let secrecy = if schema.get("x-secret").and_then(Value::as_str) == Some("url") {
            Secrecy::Url
        } else if is_secret(schema) || any.is_some_and(|any| any.iter().any(is_secret)) {
            Secrecy::Secret
        } else {
            Secrecy::Open
        };
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let help = schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        Self {
            variable: format!("WEIR_{}", key.replace('.', "__").to_uppercase()),
            flag: key.replace(['.', '_'], "-"),
            kind,
            secrecy,
            range: (bound("minimum"), bound("maximum")),
            help: help.trim_end_matches('.').to_owned(),
            default,
            file_of: None,
            key,
        }
    }

    /// Its companion that names a file with the value.
    fn file(&self) -> Self {
        Self {
            key: format!("{}_file", self.key),
            variable: format!("{}_FILE", self.variable),
            flag: format!("{}-file", self.flag),
            kind: Kind::Text,
            secrecy: Secrecy::Open,
            range: (None, None),
            help: format!("File that holds {}; - for the standard input", self.key),
            default: Value::Null,
            file_of: Some(self.key.clone()),
        }
    }

    /// Whether the command line has it: what is secret does not belong where everybody on the machine can read it.
    pub fn has_flag(&self) -> bool {
        self.secrecy != Secrecy::Secret
    }
}

/// All settings, in the order of the structs.
pub fn settings() -> &'static [Setting] {
    static SETTINGS: OnceLock<Vec<Setting>> = OnceLock::new();
    SETTINGS.get_or_init(|| {
        let inline = SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true);
        let schema = inline.into_generator().into_root_schema_for::<Config>().to_value();
        let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
        let mut found = Vec::new();
        collect("", &schema, &defaults, &mut found);
        // Sections after what stands in none, as a TOML file wants it.
        found.sort_by_key(|setting| setting.key.contains('.'));
        found
    })
}

fn collect(prefix: &str, schema: &Value, defaults: &Value, found: &mut Vec<Setting>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in properties {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let default = defaults.get(name).cloned().unwrap_or_default();
        if property.get("properties").is_some() {
            collect(&key, property, &default, found);
            continue;
        }
        let setting = Setting::new(key, property, default);
        let file = (setting.secrecy != Secrecy::Open).then(|| setting.file());
        found.push(setting);
        found.extend(file);
    }
}

/// The setting of this key.
pub fn find(key: &str) -> Option<&'static Setting> {
    settings().iter().find(|setting| setting.key == key)
}

/// The name that was probably meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let best = known.map(|candidate| (distance(name, candidate), candidate)).min()?;
    (best.0 <= name.len().min(12) / 4 + 1).then_some(best.1)
}

/// How many letters have to be changed, added or removed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut last = index + 1;
        let mut next = vec![last];
        for (pair, other) in row.windows(2).zip(&other) {
            let [diagonal, above] = pair else { continue };
            last = (diagonal + usize::from(letter != *other)).min(above + 1).min(last + 1);
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
