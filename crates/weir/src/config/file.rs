//! The settings file.

use std::path::Path;

use serde_json::Value;

use super::{
    ConfigError,
    settings::{find, nearest, settings},
};

/// The settings in a TOML text, by key.
pub fn parse(path: &Path, text: &str) -> Result<Vec<(String, Value)>, ConfigError> {
    let refuse = |what: String| ConfigError(format!("{}: {what}", path.display()));
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        refuse(format!("line {line}: {}", error.message().replace('\n', " ")))
    })?;
    let mut found = Vec::new();
    flatten("", table, &mut found).map_err(refuse)?;
    Ok(found)
}

fn flatten(prefix: &str, table: toml::Table, found: &mut Vec<(String, Value)>) -> Result<(), String> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        let section = format!("{key}.");
        match value {
            toml::Value::Table(inner) if settings().iter().any(|it| it.key.starts_with(&section)) => {
                flatten(&key, inner, found)?;
            }
            value if find(&key).is_some() => found.push((key, json(value)?)),
            _ => {
                let known = settings().iter().map(|setting| setting.key.as_str());
                let hint = nearest(&key, known).map(|known| format!(" (did you mean {known}?)")).unwrap_or_default();
                return Err(format!("unknown setting {key}{hint}"));
            }
        }
    }
    Ok(())
}

fn json(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(is) => is.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json).collect::<Result<_, _>>()?),
        toml::Value::Table(_) => return Err("a table where a value is expected".to_owned()),
    })
}
