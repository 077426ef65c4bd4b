//! The countries of ISO 3166.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;

/// Two letters of a country.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CountryCode(pub String);

impl JsonSchema for CountryCode {
    fn schema_name() -> Cow<'static, str> {
        "CountryCodeEnum".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let codes: Vec<&str> = countries().iter().map(|(code, _)| *code).collect();
        json_schema!({"type": "string", "enum": codes})
    }
}

/// Code and English name of every country, in order of the names. The source also lists a code that is for the use of
/// its users only; the standard does not.
pub fn countries() -> Vec<(&'static str, &'static str)> {
    const NOT_ASSIGNED: &str = "XK";
    let all = celes::Country::get_countries();
    let mut found: Vec<(&str, &str)> = all.iter().map(|country| (country.alpha2, country.long_name)).collect();
    found.retain(|(code, _)| *code != NOT_ASSIGNED);
    found.sort_by_key(|(_, name)| *name);
    found
}

/// Code and name of some countries, as the interface shows them; unknown codes are left out.
pub fn described(codes: &[&str]) -> Vec<Value> {
    let all = countries();
    let named = codes.iter().filter_map(|code| all.iter().find(|(known, _)| known == code));
    named.map(|(code, name)| json!({"code": code, "name": name})).collect()
}
