//! From a posted HTML form to the answer the executor expects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::text_at;

/// Fields of ours start with this, so that no prompt's key can be mistaken for one.
pub const RESERVED_PREFIX: &str = "weir:";
/// The hidden field with the CSRF token.
pub const CSRF_FIELD: &str = "weir:csrf";
/// The hidden field with the component the form was made for: tells a stale tab from a current one.
pub const COMPONENT_FIELD: &str = "weir:component";

/// A file of a multipart form.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    /// Name of the form control.
    pub field: &'a str,
    /// Media type the browser claims.
    pub content_type: &'a str,
    /// The file.
    pub bytes: &'a [u8],
}

/// Whether the page of this challenge posts `multipart/form-data`.
pub fn is_multipart(challenge: &Value) -> bool {
    prompts(challenge).any(|prompt| text_at(prompt, "/type") == "file")
}

/// The first value of one of our own fields.
pub fn reserved_field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Turns the fields of a form into the JSON answer of a component.
///
/// Prompt answers follow the challenge's `fields`. Elsewhere every control is a string, unless its name ends in
/// `:bool`, `:int` or `:json`; a later value of the same name wins, so that a hidden `false` can stand before a
/// checkbox. Nothing is judged here: what cannot be read is passed on for the stage to refuse.
pub fn parse_form(component: &str, challenge: &Value, fields: &[(String, String)]) -> Value {
    parse_multipart(component, challenge, fields, &[])
}

/// [`parse_form`] for a form with files; each becomes a `data:` URI.
pub fn parse_multipart(
    component: &str,
    challenge: &Value,
    fields: &[(String, String)],
    uploads: &[Upload<'_>],
) -> Value {
    let mut answer = Map::new();
    match component {
        "ak-stage-prompt" => prompt_answer(&mut answer, challenge, fields, uploads),
        "ak-stage-user-login" => {
            let remember = last(fields, "remember_me").is_some_and(is_checked);
            answer.insert("remember_me".to_owned(), Value::Bool(remember));
        }
        _ => {
            for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(RESERVED_PREFIX)) {
                plain_answer(&mut answer, name, value);
            }
        }
    }
    answer.insert("component".to_owned(), Value::from(component));
    Value::Object(answer)
}

/// A file as the `data:` URI the prompt stage stores.
pub fn data_uri(content_type: &str, bytes: &[u8]) -> String {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    let token = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let known = essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    let media_type = if known { essence } else { "application/octet-stream" };
    format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
}

fn prompts(challenge: &Value) -> impl Iterator<Item = &Value> {
    challenge.get("fields").and_then(Value::as_array).into_iter().flatten()
}

fn last<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn is_checked(value: &str) -> bool {
    !matches!(value, "" | "0" | "false" | "off" | "no")
}

fn plain_answer(answer: &mut Map<String, Value>, name: &str, value: &str) {
    let (key, value) = match name.rsplit_once(':') {
        Some((key, "bool")) => (key, Value::Bool(is_checked(value))),
        Some((key, "int")) => (key, integer(value)),
        // An empty one is a hook no script has used.
        Some((_, "json")) if value.is_empty() => return,
        Some((key, "json")) => (key, serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))),
        _ => (name, Value::from(value)),
    };
    answer.insert(key.to_owned(), value);
}

fn integer(value: &str) -> Value {
    let trimmed = value.trim();
    trimmed.parse::<i64>().map_or_else(|_| Value::from(trimmed), Value::from)
}

fn prompt_answer(
    answer: &mut Map<String, Value>,
    challenge: &Value,
    fields: &[(String, String)],
    uploads: &[Upload<'_>],
) {
    for prompt in prompts(challenge) {
        let key = text_at(prompt, "/field_key");
        let given = last(fields, key);
        let initial = text_at(prompt, "/initial_value");
        let value = match text_at(prompt, "/type") {
            "checkbox" => Some(Value::Bool(given.is_some_and(is_checked))),
            "file" => uploads
                .iter()
                .rfind(|upload| upload.field == key && !upload.bytes.is_empty())
                .map(|upload| Value::from(data_uri(upload.content_type, upload.bytes))),
            // The server's value counts, whatever the form says.
            "hidden" | "static" | "text_read_only" | "text_area_read_only" => Some(Value::from(initial)),
            "separator" | "alert_info" | "alert_warning" | "alert_danger" => None,
            kind => given.and_then(|given| typed(kind, given)),
        };
        if let Some(value) = value {
            answer.insert(key.to_owned(), value);
        }
    }
}

/// A control of a typed field; left empty means not answered, which the stage judges by `required`.
fn typed(kind: &str, given: &str) -> Option<Value> {
    match kind {
        "number" | "date" | "date-time" if given.trim().is_empty() => None,
        "number" => Some(integer(given)),
        "date" => Some(Value::from(given.trim())),
        "date-time" => Some(Value::from(date_time(given.trim()))),
        // Forms are posted with CR LF, whatever was typed.
        "text_area" => Some(Value::from(given.replace("\r\n", "\n"))),
        _ => Some(Value::from(given)),
    }
}

/// The control gives minutes without an offset; the page says that the time is UTC.
fn date_time(given: &str) -> String {
    let shape: String = given.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    match shape.as_str() {
        "0000-00-00T00:00" => format!("{given}:00Z"),
        "0000-00-00T00:00:00" => format!("{given}Z"),
        _ => given.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn prompt(key: &str, kind: &str, initial: &str) -> Value {
        json!({"field_key": key, "type": kind, "initial_value": initial, "label": key, "required": false,
               "placeholder": "", "order": 0, "sub_text": "", "choices": null})
    }

    #[test]
    fn our_own_fields_never_reach_the_stage() {
        let posted = fields(&[(CSRF_FIELD, "t"), (COMPONENT_FIELD, "x"), ("password", " secret ")]);
        let answer = parse_form("ak-stage-password", &json!({}), &posted);
        assert_eq!(answer, json!({"component": "ak-stage-password", "password": " secret "}));
        assert_eq!(reserved_field(&posted, CSRF_FIELD), Some("t"));
    }

    #[test]
    fn a_form_cannot_choose_its_component() {
        let answer = parse_form("ak-stage-dummy", &json!({}), &fields(&[("component", "ak-stage-password")]));
        assert_eq!(answer, json!({"component": "ak-stage-dummy"}));
    }

    #[test]
    fn an_unused_passkey_hook_is_left_out_and_a_used_one_is_an_object() {
        let plain = fields(&[("uid_field", "jo"), ("passkey:json", "")]);
        let answer = parse_form("ak-stage-identification", &json!({}), &plain);
        assert_eq!(answer, json!({"component": "ak-stage-identification", "uid_field": "jo"}));
        let used = fields(&[("uid_field", ""), ("passkey:json", "{\"id\":\"AA\"}")]);
        let answer = parse_form("ak-stage-identification", &json!({}), &used);
        assert_eq!(answer.pointer("/passkey/id"), Some(&json!("AA")));
    }

    #[test]
    fn remember_me_is_the_button_pressed() {
        for (given, expected) in [("true", true), ("on", true), ("false", false), ("", false)] {
            let answer = parse_form("ak-stage-user-login", &json!({}), &fields(&[("remember_me", given)]));
            assert_eq!(answer["remember_me"], json!(expected), "{given:?}");
        }
        assert_eq!(parse_form("ak-stage-user-login", &json!({}), &[])["remember_me"], json!(false));
    }

    #[test]
    fn suffixes_type_the_controls_of_other_stages() {
        let posted = fields(&[("keep:bool", "false"), ("keep:bool", "on"), ("duo:int", "7"), ("code", "012345")]);
        let answer = parse_form("ak-stage-other", &json!({}), &posted);
        assert_eq!(answer, json!({"component": "ak-stage-other", "keep": true, "duo": 7, "code": "012345"}));
    }

    #[test]
    fn prompts_are_read_by_their_type() {
        let challenge = json!({"fields": [
            prompt("name", "text", ""), prompt("age", "number", ""), prompt("tos", "checkbox", ""),
            prompt("news", "checkbox", "True"), prompt("born", "date", ""), prompt("at", "date-time", ""),
            prompt("bio", "text_area", ""), prompt("fixed", "static", "shown"), prompt("ro", "text_read_only", "kept"),
            prompt("secret", "hidden", "server"), prompt("line", "separator", ""), prompt("hey", "alert_info", "<b>x"),
            prompt("colour", "dropdown", "red"), prompt("lang", "ak-locale", ""), prompt("password", "password", ""),
        ]});
        let posted = fields(&[
            ("name", " Jo "),
            ("age", " 42 "),
            ("tos", "on"),
            ("born", "2000-02-29"),
            ("at", "2026-08-01T10:30"),
            ("bio", "a\r\nb"),
            ("fixed", "forged"),
            ("ro", "forged"),
            ("secret", "forged"),
            ("line", "forged"),
            ("hey", "forged"),
            ("colour", "blue"),
            ("lang", ""),
            ("password", " p "),
            ("not_asked", "x"),
        ]);
        let expected = json!({
            "component": "ak-stage-prompt", "name": " Jo ", "age": 42, "tos": true, "news": false,
            "born": "2000-02-29", "at": "2026-08-01T10:30:00Z", "bio": "a\nb", "fixed": "shown", "ro": "kept",
            "secret": "server", "colour": "blue", "lang": "", "password": " p "
        });
        assert_eq!(parse_form("ak-stage-prompt", &challenge, &posted), expected);
    }

    #[test]
    fn unreadable_numbers_go_to_the_stage_and_empty_ones_are_missing() {
        let challenge =
            json!({"fields": [prompt("a", "number", ""), prompt("b", "number", ""), prompt("c", "date", "")]});
        let posted = fields(&[("a", "1.5"), ("b", ""), ("c", " ")]);
        let answer = parse_form("ak-stage-prompt", &challenge, &posted);
        assert_eq!(answer, json!({"component": "ak-stage-prompt", "a": "1.5"}));
    }

    #[test]
    fn a_file_becomes_a_data_uri() {
        let challenge = json!({"fields": [prompt("photo", "file", ""), prompt("empty", "file", "")]});
        assert!(is_multipart(&challenge));
        let uploads = [
            Upload { field: "photo", content_type: "image/png; x=y", bytes: b"abc" },
            Upload { field: "empty", content_type: "application/octet-stream", bytes: b"" },
        ];
        let answer = parse_multipart("ak-stage-prompt", &challenge, &[], &uploads);
        assert_eq!(answer, json!({"component": "ak-stage-prompt", "photo": "data:image/png;base64,YWJj"}));
        assert_eq!(data_uri("text/html,<b>", b"a"), "data:application/octet-stream;base64,YQ==");
    }

    #[test]
    fn a_malformed_challenge_asks_nothing() {
        for challenge in [json!(null), json!({"fields": 3}), json!({"fields": [1, {}]})] {
            assert!(parse_form("ak-stage-prompt", &challenge, &fields(&[("x", "y")])).get("x").is_none());
        }
    }
}
