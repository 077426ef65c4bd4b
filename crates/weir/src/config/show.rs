//! `weir config show`: the settings in force as a settings file, each with its origin, without secrets.

use std::fmt::Write as _;

use serde_json::Value;
use weir_store::DatabaseUrl;

use super::{
    Loaded,
    settings::{Secrecy, Setting, settings},
};

/// The text. Read as a settings file it gives the same settings, secrets left out.
pub fn show(loaded: &Loaded) -> String {
    let tree = serde_json::to_value(&loaded.config).unwrap_or_default();
    let mut text = String::new();
    let mut section = "";
    for setting in settings().iter().filter(|setting| setting.file_of.is_none()) {
        let (of, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if of != section {
            let _ = writeln!(text, "\n[{of}]");
            section = of;
        }
        let value = tree.pointer(&format!("/{}", setting.key.replace('.', "/"))).unwrap_or(&Value::Null);
        let line = line(name, setting, value);
        let _ = writeln!(text, "{line:<56} # {}", loaded.source(&setting.key));
    }
    text
}

fn line(name: &str, setting: &Setting, value: &Value) -> String {
    let is_unset = value.is_null() || value.as_str() == Some("") && setting.secrecy != Secrecy::Open;
    match setting.secrecy {
        _ if is_unset => format!("# {name} is not set"),
        Secrecy::Secret => format!("# {name} = ********"),
        Secrecy::Url => {
            let shown = value.as_str().unwrap_or_default().parse::<DatabaseUrl>().map(|url| url.to_string());
            match shown {
                Ok(shown) if value.as_str() == Some(&shown) => format!("{name} = {value}"),
                Ok(shown) => format!("# {name} = {}", Value::from(shown)),
                Err(_) => format!("# {name} = ********"),
            }
        }
        Secrecy::Open => format!("{name} = {}", toml_value(value)),
    }
}

/// JSON's texts, numbers and lists are TOML's, but for the escape of DEL.
fn toml_value(value: &Value) -> String {
    value.to_string().replace('\u{7f}', "\\u007f")
}
