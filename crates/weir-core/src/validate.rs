//! The per-field pass: all bad fields are reported together, with the contract's texts, before the struct is parsed.

use crate::{
    Map, duration,
    error::FieldErrors,
    field::{Field, Kind},
    limits,
    resource::ResourceType,
};
use regex::Regex;
use serde_json::Value;

/// What a body means for the fields it leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// POST: missing fields take their default.
    Create,
    /// PUT: likewise, write-only and read-only fields keep the stored value.
    Replace,
    /// PATCH: missing fields keep the stored value.
    Patch,
}

/// Merges a body over the stored document (or the defaults) after checking each field's own rules.
/// References, uniqueness and rules across fields come later.
///
/// # Errors
/// All refusals of single fields.
pub fn merge(resource: &ResourceType, stored: Option<&Map>, body: &Map, mode: Mode) -> Result<Map, FieldErrors> {
    let mut errors = FieldErrors::new();
    let mut merged = match (mode, stored) {
        (Mode::Patch, Some(stored)) => stored.clone(),
        _ => resource.defaults(),
    };
    for field in &resource.fields {
        if field.read_only {
            if let Some(value) = stored.and_then(|s| s.get(&field.name)) {
                merged.insert(field.name.clone(), value.clone());
            }
            continue;
        }
        match body.get(&field.name) {
            None if mode == Mode::Patch => {}
            None if field.required => {
                errors.add(&field.name, "This field is required.", "required");
            }
            None => {
                if (field.write_only || mode == Mode::Patch)
                    && let Some(value) = stored.and_then(|s| s.get(&field.name))
                {
                    merged.insert(field.name.clone(), value.clone());
                }
            }
            Some(value) => {
                if let Some(value) = check(field, value, &mut errors) {
                    merged.insert(field.name.clone(), value);
                }
            }
        }
    }
    if errors.is_empty() { Ok(merged) } else { Err(errors) }
}

/// Checks a plain body or answer; gives back the known fields in stored form.
///
/// # Errors
/// All refusals of single fields.
pub fn check_fields(fields: &[Field], body: &Map) -> Result<Map, FieldErrors> {
    let mut errors = FieldErrors::new();
    let mut checked = Map::new();
    for field in fields {
        match body.get(&field.name) {
            None if field.required => errors.add(&field.name, "This field is required.", "required"),
            None => {}
            Some(value) => {
                if let Some(value) = check(field, value, &mut errors) {
                    checked.insert(field.name.clone(), value);
                }
            }
        }
    }
    if errors.is_empty() { Ok(checked) } else { Err(errors) }
}

/// Checks one value; gives it back in stored form (numbers from texts, normalised UUIDs).
pub fn check(field: &Field, value: &Value, errors: &mut FieldErrors) -> Option<Value> {
    if value.is_null() {
        if field.nullable {
            return Some(Value::Null);
        }
        errors.add(&field.name, "This field may not be null.", "null");
        return None;
    }
    if field.non_empty && value.as_array().is_some_and(Vec::is_empty) {
        errors.add(&field.name, "This list may not be empty.", "empty");
        return None;
    }
    match check_kind(&field.kind, value) {
        Ok(value) => Some(value),
        Err((text, code)) => {
            let is_key = |value: &&Value| value.as_str().is_some_and(|s| uuid::Uuid::parse_str(s).is_ok());
            // Of several the first that is none.
            let wrong = value.as_array().and_then(|all| all.iter().find(|one| !is_key(one))).unwrap_or(value);
            let text = if field.reference.is_some() && code == "uuid" { invalid_pk(wrong) } else { text };
            errors.add(&field.name, text, if code == "uuid" { "invalid" } else { code });
            None
        }
    }
}

/// The refusal of a reference to nothing.
pub fn invalid_pk(value: &Value) -> String {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("Invalid pk \"{}\" - object does not exist.", shorten(&shown))
}

fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
}

type Refusal = (String, &'static str);

fn refuse<T>(text: &str, code: &'static str) -> Result<T, Refusal> {
    Err((text.to_owned(), code))
}

/// Checks a value against a type of the wire.
///
/// # Errors
/// The text and code of the refusal.
pub fn check_kind(kind: &Kind, value: &Value) -> Result<Value, Refusal> {
    match kind {
        Kind::Bool => match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::String(s) if ["true", "True", "1"].contains(&s.as_str()) => Ok(Value::Bool(true)),
            Value::String(s) if ["false", "False", "0"].contains(&s.as_str()) => Ok(Value::Bool(false)),
            _ => refuse("Must be a valid boolean.", "invalid"),
        },
        Kind::Int { min, max } => check_int(value, *min, *max),
        Kind::Float => match value.as_f64().or_else(|| value.as_str().and_then(|s| s.parse().ok())) {
            Some(number) if number.is_finite() => Ok(Value::from(number)),
            _ => refuse("A valid number is required.", "invalid"),
        },
        Kind::Text { blank, max, pattern, format } => {
            check_text(value, *blank, *max, pattern.as_deref(), format.as_deref())
        }
        Kind::Uuid => match value.as_str().and_then(|s| uuid::Uuid::parse_str(s).ok()) {
            Some(uuid) => Ok(Value::from(uuid.to_string())),
            None => refuse("Must be a valid UUID.", "uuid"),
        },
        Kind::DateTime => match value.as_str().and_then(parse_time) {
            Some(time) => Ok(Value::from(time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))),
            None => refuse(
                "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
                "invalid",
            ),
        },
        Kind::Choice(choices) => {
            // Numbers among texts ("6", "8") are taken as they are.
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let is_text = value.is_string() || value.is_number();
            match choices.iter().find(|choice| is_text && **choice == text) {
                Some(choice) => Ok(Value::from(choice.clone())),
                None => Err((format!("\"{}\" is not a valid choice.", shorten(&text)), "invalid_choice")),
            }
        }
        Kind::Object => match value {
            Value::Object(_) => json_text(value),
            _ => refuse("Value must be valid JSON and an object.", "invalid"),
        },
        Kind::Any => json_text(value),
        Kind::List(item) => check_list(item, value),
    }
}

fn check_list(item: &Kind, value: &Value) -> Result<Value, Refusal> {
    let Some(items) = value.as_array() else {
        let name = match value {
            Value::String(_) => "str",
            Value::Bool(_) => "bool",
            Value::Number(_) => "int",
            _ => "dict",
        };
        return Err((format!("Expected a list of items but got type \"{name}\"."), "not_a_list"));
    };
    if items.len() > limits::LIST_ITEMS {
        return refuse("Ensure this field has no more than 10000 elements.", "max_length");
    }
    let checked: Result<Vec<Value>, Refusal> = items.iter().map(|v| check_kind(item, v)).collect();
    checked.map(Value::Array)
}

fn check_int(value: &Value, min: i64, max: i64) -> Result<Value, Refusal> {
    let number = match value {
        Value::Number(n) => {
            let whole = n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15);
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
            n.as_i64().or_else(|| whole.map(|f| f as i64))
        }
        Value::String(s) if s.len() < 20 => s.trim().parse().ok(),
        _ => None,
    };
    match number {
        None => refuse("A valid integer is required.", "invalid"),
        Some(n) if n < min => Err((format!("Ensure this value is greater than or equal to {min}."), "min_value")),
        Some(n) if n > max => Err((format!("Ensure this value is less than or equal to {max}."), "max_value")),
        Some(n) => Ok(Value::from(n)),
    }
}

fn check_text(
    value: &Value,
    blank: bool,
    max: Option<usize>,
    pattern: Option<&str>,
    format: Option<&str>,
) -> Result<Value, Refusal> {
    let text = match value {
        Value::String(text) => text.clone(),
        // Numbers are taken as their text, as the original's clients are used to.
        Value::Number(number) => number.to_string(),
        _ => return refuse("Not a valid string.", "invalid"),
    };
    if text.contains('\0') {
        return refuse("Null characters are not allowed.", "null_characters_not_allowed");
    }
    if text.trim().is_empty() {
        return if blank { Ok(Value::String(text)) } else { refuse("This field may not be blank.", "blank") };
    }
    let max = max.unwrap_or(limits::TEXT_CHARS);
    if text.len() > max && text.chars().count() > max {
        return Err((format!("Ensure this field has no more than {max} characters."), "max_length"));
    }
    if let Some(pattern) = pattern
        && !Regex::new(pattern).is_ok_and(|r| r.is_match(&text))
    {
        return refuse("Enter a valid \"slug\" consisting of letters, numbers, underscores or hyphens.", "invalid");
    }
    match format {
        Some("email") if !is_email(&text) => refuse("Enter a valid email address.", "invalid"),
        Some("uri") if !(text.starts_with("http://") || text.starts_with("https://")) => {
            refuse("Enter a valid URL.", "invalid")
        }
        Some("launch_url") if !["http://", "https://", "blank://"].iter().any(|start| text.starts_with(start)) => {
            refuse("Enter a valid URL.", "invalid")
        }
        Some("duration") => match duration::parse(&text) {
            Ok(_) => Ok(Value::String(text)),
            Err(sentence) => Err((sentence, "invalid")),
        },
        _ => Ok(Value::String(text)),
    }
}

/// Whether a text has the shape of a mail address: one `@`, a local part, a dotted or local domain, no spaces.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let label = |l: &str| {
        !l.is_empty() && l.chars().all(|c| c.is_alphanumeric() || c == '-') && !l.starts_with('-') && !l.ends_with('-')
    };
    !local.is_empty()
        && text.chars().count() <= 320
        && !local.chars().any(|c| c.is_whitespace() || c.is_control() || "@<>(),;:[]".contains(c))
        && (domain == "localhost" || (domain.contains('.') && domain.split('.').all(label)))
}

/// Reads an instant; a text without zone is UTC.
pub fn parse_time(text: &str) -> Option<chrono::DateTime<chrono::Utc>> {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc));
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc());
        }
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0).map(|t| t.and_utc())
}

/// Refuses NUL anywhere inside free JSON; PostgreSQL could not store it and other databases would cut it.
fn json_text(value: &Value) -> Result<Value, Refusal> {
    fn has_nul(value: &Value) -> bool {
        match value {
            Value::String(s) => s.contains('\0'),
            Value::Array(items) => items.iter().any(has_nul),
            Value::Object(map) => map.iter().any(|(k, v)| k.contains('\0') || has_nul(v)),
            _ => false,
        }
    }
    if has_nul(value) {
        return refuse("Null characters are not allowed.", "null_characters_not_allowed");
    }
    Ok(value.clone())
}
