//! Prepares a challenge for its template: errors with their labels and anchors, prompts ready to be drawn.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::locale::Locale;
use crate::text_at;

/// The page that offers second factors.
const VALIDATE: &str = "ak-stage-authenticator-validate";

/// What was wrong with one field of the last answer.
#[derive(Debug, Serialize)]
pub struct FieldProblem {
    /// The field's key.
    pub field: String,
    /// Id of the control, when the page shows one.
    pub id: Option<String>,
    /// Label of the control, empty when there is none.
    pub label: String,
    /// What was wrong.
    pub messages: Vec<String>,
}

/// One field of a prompt stage.
#[derive(Debug, Serialize)]
pub struct PromptView {
    key: String,
    id: String,
    kind: String,
    label: String,
    required: bool,
    placeholder: String,
    value: String,
    checked: bool,
    hint: String,
    autocomplete: &'static str,
    input_type: &'static str,
    choices: Vec<Choice>,
}

#[derive(Debug, Serialize)]
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

/// An id that holds for any key: what is not a letter, digit or underscore is written as its number.
pub fn field_id(key: &str) -> String {
    let mut id = String::from("field-");
    for c in key.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            id.push(c);
        } else {
            id.push_str(&format!("-{:x}-", u32::from(c)));
        }
    }
    id
}

/// The errors of a challenge in the order of the page's fields.
pub fn problems(challenge: &Value, locale: &Locale, uid_label: &str) -> Vec<FieldProblem> {
    // Choosing a device is answered with a refusal; the page that comes with it is the answer.
    let passed_over = |text: &str| text == "Empty response" && text_at(challenge, "/component") == VALIDATE;
    let Some(errors) = challenge.get("response_errors").and_then(Value::as_object) else { return Vec::new() };
    let mut problems: Vec<(usize, FieldProblem)> = errors
        .iter()
        .filter_map(|(field, details)| {
            let messages: Vec<String> = details
                .as_array()?
                .iter()
                .filter(|detail| !passed_over(text_at(detail, "/string")))
                .map(|detail| error_message(detail, locale))
                .filter(|m| !m.is_empty())
                .collect();
            if messages.is_empty() {
                return None;
            }
            let (place, label) = place_and_label(challenge, field, locale, uid_label);
            let id = place.map(|_| field_id(field));
            Some((place.unwrap_or(0), FieldProblem { field: field.clone(), id, label, messages }))
        })
        .collect();
    problems.sort_by_key(|(place, _)| *place);
    problems.into_iter().map(|(_, problem)| problem).collect()
}

fn error_message(detail: &Value, locale: &Locale) -> String {
    locale.error_text(text_at(detail, "/string"), text_at(detail, "/code")).to_owned()
}

/// Where the field stands on the page (none: it is not shown) and what it is called.
fn place_and_label(challenge: &Value, field: &str, locale: &Locale, uid_label: &str) -> (Option<usize>, String) {
    let prompts = challenge.get("fields").and_then(Value::as_array);
    if let Some((place, prompt)) =
        prompts.and_then(|list| list.iter().enumerate().find(|(_, p)| text_at(p, "/field_key") == field))
    {
        let shown = !matches!(
            text_at(prompt, "/type"),
            "hidden" | "static" | "separator" | "alert_info" | "alert_warning" | "alert_danger"
        );
        return (shown.then_some(place + 1), text_at(prompt, "/label").to_owned());
    }
    match field {
        "uid_field" => (Some(1), uid_label.to_owned()),
        "password" => (Some(2), locale.text("field.password").to_owned()),
        "code" => (Some(3), locale.text("field.code").to_owned()),
        _ => (None, String::new()),
    }
}

/// What the identification page calls its one field: `Email or username`.
pub fn uid_label(challenge: &Value, locale: &Locale) -> String {
    let fields: Vec<&str> = challenge
        .get("user_fields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut label = String::new();
    for (at, field) in fields.iter().enumerate() {
        let form = if at == 0 { "first" } else { "next" };
        let key = format!("identify.{field}.{form}");
        let name = if Locale::has(&key) { locale.text(&key) } else { field };
        if at > 0 {
            label.push_str(locale.text(if at + 1 == fields.len() { "list.or" } else { "list.comma" }));
        }
        label.push_str(name);
    }
    if label.is_empty() { locale.text("identify.username.first").to_owned() } else { label }
}

/// The fields of a prompt challenge; values come from the refused answer where there is one.
pub fn prompts(challenge: &Value, answer: Option<&Value>) -> Vec<PromptView> {
    let fields = challenge.get("fields").and_then(Value::as_array);
    fields.into_iter().flatten().map(|field| prompt(field, answer)).collect()
}

fn prompt(field: &Value, answer: Option<&Value>) -> PromptView {
    let key = text_at(field, "/field_key");
    let kind = text_at(field, "/type");
    let initial = text_at(field, "/initial_value");
    let own = matches!(kind, "hidden" | "static" | "text_read_only" | "text_area_read_only");
    let given = answer.filter(|_| !own).and_then(|answer| answer.get(key)).map(as_text);
    let value = match kind {
        // Neither passwords nor files are ever written back into a page.
        "password" | "file" => String::new(),
        "date-time" => local_minutes(given.as_deref().unwrap_or(initial)),
        _ => given.unwrap_or_else(|| initial.to_owned()),
    };
    let choices = field.get("choices").and_then(Value::as_array).into_iter().flatten();
    PromptView {
        id: field_id(key),
        key: key.to_owned(),
        kind: kind.to_owned(),
        label: text_at(field, "/label").to_owned(),
        required: field.get("required").and_then(Value::as_bool).unwrap_or(false),
        placeholder: text_at(field, "/placeholder").to_owned(),
        checked: matches!(value.as_str(), "true" | "True" | "1" | "on" | "yes"),
        hint: text_at(field, "/sub_text").to_owned(),
        autocomplete: autocomplete(kind, key),
        input_type: input_type(kind),
        choices: choices
            .map(|choice| Choice {
                value: text_at(choice, "/value").to_owned(),
                label: text_at(choice, "/label").to_owned(),
                chosen: text_at(choice, "/value") == value,
            })
            .collect(),
        value,
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn input_type(kind: &str) -> &'static str {
    match kind {
        "email" => "email",
        "password" => "password",
        "number" => "number",
        "date" => "date",
        "date-time" => "datetime-local",
        "file" => "file",
        _ => "text",
    }
}

/// What browsers and password managers should fill in (WCAG 1.3.5).
fn autocomplete(kind: &str, key: &str) -> &'static str {
    let key = key.rsplit('.').next().unwrap_or(key);
    match (kind, key) {
        ("password", _) => "new-password",
        ("username", _) | ("text", "username") => "username",
        ("email", _) | ("text", "email") => "email",
        ("text", "name") => "name",
        ("text", "first_name" | "given_name") => "given-name",
        ("text", "last_name" | "family_name") => "family-name",
        ("text", "phone" | "phone_number") => "tel",
        ("text", "organization" | "company") => "organization",
        ("date", "birthday" | "birthdate") => "bday",
        _ => "",
    }
}

/// The form of a date and time that its control understands, in UTC; empty when it cannot be read.
fn local_minutes(text: &str) -> String {
    let text = text.trim().replacen(' ', "T", 1);
    let utc = DateTime::parse_from_rfc3339(&text).map(|at| at.with_timezone(&Utc)).or_else(|_| {
        let naive = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M"));
        naive.map(|at| at.and_utc())
    });
    utc.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true).chars().take(16).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_distinct_and_hold_no_spaces() {
        assert_eq!(field_id("uid_field"), "field-uid_field");
        assert_ne!(field_id("a.b"), field_id("a-b"));
        assert!(!field_id("a b\"<>").contains([' ', '"', '<']));
    }

    #[test]
    fn one_field_is_named_after_everything_it_takes() {
        let label = |fields: Value| uid_label(&json!({"user_fields": fields}), Locale::english());
        assert_eq!(label(json!(["email"])), "Email");
        assert_eq!(label(json!(["email", "username"])), "Email or username");
        assert_eq!(label(json!(["username", "email", "upn"])), "Username, email or UPN");
        assert_eq!(label(json!(null)), "Username");
    }

    #[test]
    fn date_times_are_shown_in_utc() {
        assert_eq!(local_minutes("2026-08-01T10:30:00+02:00"), "2026-08-01T08:30");
        assert_eq!(local_minutes("2026-08-01 10:30:00"), "2026-08-01T10:30");
        assert_eq!(local_minutes("2026-08-01T10:30"), "2026-08-01T10:30");
        assert_eq!(local_minutes("soon"), "");
    }

    #[test]
    fn a_refused_answer_fills_the_form_again_but_never_a_password() {
        let field = |key: &str, kind: &str| json!({"field_key": key, "type": kind, "initial_value": "old"});
        let challenge = json!({"fields": [field("a", "text"), field("b", "password"), field("c", "checkbox"),
                                          field("d", "text_read_only"), field("e", "number")]});
        let answer = json!({"a": "new", "b": "secret", "c": true, "d": "forged", "e": 5});
        let views = prompts(&challenge, Some(&answer));
        let values: Vec<_> = views.iter().map(|v| v.value.as_str()).collect();
        assert_eq!(values, ["new", "", "true", "old", "5"]);
        assert!(views[2].checked);
    }

    #[test]
    fn problems_follow_the_page() {
        let challenge = json!({
            "fields": [{"field_key": "a", "type": "text", "label": "First"}, {"field_key": "b", "type": "hidden", "label": "H"},
                       {"field_key": "c", "type": "text", "label": "Third"}],
            "response_errors": {
                "c": [{"string": "This field is required.", "code": "required"}],
                "b": [{"string": "odd", "code": "invalid"}],
                "a": [{"string": "x", "code": "y"}, {"string": "", "code": ""}],
                "non_field_errors": [{"string": "Passwords don't match.", "code": "invalid"}],
                "d": "not a list"
            }
        });
        let found = problems(&challenge, Locale::english(), "");
        let order: Vec<_> = found.iter().map(|p| (p.field.as_str(), p.id.is_some(), p.messages.len())).collect();
        assert_eq!(order, [("b", false, 1), ("non_field_errors", false, 1), ("a", true, 1), ("c", true, 1)]);
        assert_eq!(found[3].label, "Third");
    }
}
