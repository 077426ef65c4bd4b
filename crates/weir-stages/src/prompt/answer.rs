//! Checks one answer against its question.

use super::{PromptType, StagePrompt};
use base64::Engine as _;
use serde_json::Value;
use weir_core::{FieldErrors, Kind, validate};

/// Largest uploaded file, bytes of the data URI.
const FILE_BYTES: usize = 512 * 1024;

/// The answer in stored form; none when there is nothing to store or it was refused (then `errors` has the reason).
pub fn check(question: &StagePrompt, given: Option<&Value>, errors: &mut FieldErrors) -> Option<Value> {
    let kind = question.kind;
    if kind.is_display() {
        return None;
    }
    if kind.is_fixed() {
        return Some(Value::from(fixed(question)));
    }
    let fallback = (!question.initial_value.is_empty()).then(|| Value::from(question.initial_value.clone()));
    let value = match given {
        Some(value) => value.clone(),
        None => match fallback {
            // What the page showed as value counts when the client leaves the key out.
            Some(value) => value,
            None if question.required && kind != PromptType::Checkbox => {
                errors.add(&question.field_key, "This field is required.", "required");
                return None;
            }
            None => return None,
        },
    };
    if value.is_null() {
        errors.add(&question.field_key, "This field may not be null.", "null");
        return None;
    }
    match parse(question, &value) {
        Ok(value) => Some(value),
        Err((text, code)) => {
            errors.add(&question.field_key, text, code);
            None
        }
    }
}

/// The server's value of a read-only question.
fn fixed(question: &StagePrompt) -> String {
    let shown = &question.initial_value;
    let with_placeholder = matches!(question.kind, PromptType::Hidden | PromptType::Static);
    if shown.is_empty() && with_placeholder { question.placeholder.clone() } else { shown.clone() }
}

type Refusal = (String, &'static str);

fn refuse(text: &str, code: &'static str) -> Result<Value, Refusal> {
    Err((text.to_owned(), code))
}

fn parse(question: &StagePrompt, value: &Value) -> Result<Value, Refusal> {
    let blank = !question.required;
    match question.kind {
        PromptType::Number => match value.as_str().map(str::trim) {
            Some("") if blank => Ok(Value::Null),
            // What some forms make of whole numbers.
            Some(text) if text.contains('.') => {
                let whole = text.trim_end_matches('0').strip_suffix('.').unwrap_or(text);
                integer(&Value::from(whole))
            }
            _ => integer(value),
        },
        PromptType::Checkbox => match value.as_str() {
            // What plain HTML forms send.
            Some("on") => Ok(Value::Bool(true)),
            Some("off" | "") => Ok(Value::Bool(false)),
            None if value.as_f64() == Some(1.0) => Ok(Value::Bool(true)),
            None if value.as_f64() == Some(0.0) => Ok(Value::Bool(false)),
            _ => validate::check_kind(&Kind::Bool, value),
        },
        PromptType::Email => validate::check_kind(&text(blank, Some("email"), Some(254)), value),
        PromptType::Username => {
            let checked = validate::check_kind(&text(blank, None, Some(150)), value)?;
            Ok(Value::from(checked.as_str().unwrap_or_default().trim()))
        }
        PromptType::RadioButtonGroup | PromptType::Dropdown => choice(question, value, blank),
        PromptType::Date => date(value, blank),
        PromptType::DateTime => match value.as_str() {
            Some("") if blank => Ok(Value::Null),
            _ => validate::check_kind(&Kind::DateTime, value),
        },
        PromptType::File => file(value, blank),
        PromptType::Locale => validate::check_kind(&text(true, None, Some(64)), value),
        // Spaces are something: nothing is trimmed here, so only the empty text is blank.
        _ => match value.as_str() {
            Some("") if !blank => refuse("This field may not be blank.", "blank"),
            _ => validate::check_kind(&text(true, None, None), value),
        },
    }
}

fn integer(value: &Value) -> Result<Value, Refusal> {
    validate::check_kind(&Kind::Int { min: i64::MIN, max: i64::MAX }, value)
}

fn text(blank: bool, format: Option<&str>, max: Option<usize>) -> Kind {
    Kind::Text { blank, max, pattern: None, format: format.map(str::to_owned) }
}

fn choice(question: &StagePrompt, value: &Value, blank: bool) -> Result<Value, Refusal> {
    let given = match value {
        Value::Array(_) | Value::Object(_) => return refuse("Not a valid string.", "invalid"),
        value => super::question::text(value),
    };
    if given.is_empty() && blank {
        return Ok(Value::from(""));
    }
    let known = question.choices.iter().flatten().any(|c| c.value == given);
    let shown: String = given.chars().take(200).collect();
    if known { Ok(Value::from(given)) } else { Err((format!("\"{shown}\" is not a valid choice."), "invalid_choice")) }
}

fn date(value: &Value, blank: bool) -> Result<Value, Refusal> {
    match value.as_str() {
        Some("") if blank => Ok(Value::Null),
        Some(text) if chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() => Ok(value.clone()),
        _ => refuse("Date has wrong format. Use one of these formats instead: YYYY-MM-DD.", "invalid"),
    }
}

/// A data URI in base64.
fn file(value: &Value, blank: bool) -> Result<Value, Refusal> {
    let Some(uri) = value.as_str() else { return refuse("Not a valid string.", "invalid") };
    if uri.is_empty() {
        return if blank { Ok(value.clone()) } else { refuse("This field may not be blank.", "blank") };
    }
    if uri.len() > FILE_BYTES {
        return refuse("The file is too large.", "max_length");
    }
    let Some((scheme, rest)) = uri.split_once(':') else { return refuse("Invalid scheme", "invalid") };
    if scheme != "data" {
        return refuse("Invalid scheme", "invalid");
    }
    let Some((header, body)) = rest.split_once(',') else { return refuse("Invalid encoding", "invalid") };
    if !header.ends_with(";base64") || base64::engine::general_purpose::STANDARD.decode(body).is_err() {
        return refuse("Invalid encoding", "invalid");
    }
    Ok(value.clone())
}
