//! `ak_send_email`: the job that a mail is queued as. Sending is the part of whoever handles [`ACTOR`].

use super::convert::{Users, clean, to_json};
use serde_json::{Value as Json, json};
use weir_core::validate::is_email;
use weir_expression::{Call, Raise, Value};
use weir_store::jobs::NewJob;

/// Name of the jobs. Arguments: `to`, `cc`, `bcc` (lists of `{name, address}`), `subject`, and either `body` (text) or
/// `template` with `context`; `stage` is the key of the e-mail stage whose settings count, or null.
pub const ACTOR: &str = "weir.mail";

/// The most addresses of one mail.
const MOST: usize = 100;

/// The job of a call. None when an address is none.
///
/// # Errors
/// When the call has both or neither of body and template.
pub fn job(call: &Call) -> Result<Option<NewJob>, Raise> {
    let given = |index: usize, name: &str| call.arg(index, name).filter(|v| **v != Value::None);
    let (body, template) = (given(2, "body"), given(4, "template"));
    match (body, template) {
        (Some(_), Some(_)) => return Err(Raise::new("ValueError", "body and template cannot be given together.")),
        (None, None) => return Err(Raise::new("ValueError", "Either body or template must be given.")),
        _ => {}
    }
    let to = addresses(given(0, "address"));
    let (cc, bcc) = (addresses(given(6, "cc")), addresses(given(7, "bcc")));
    let (Some(to), Some(cc), Some(bcc)) = (to, cc, bcc) else { return Ok(None) };
    if to.is_empty() || to.len() + cc.len() + bcc.len() > MOST {
        return Ok(None);
    }
    let subject = given(1, "subject").map(|s| clean(&s.key_text())).unwrap_or_default();
    let stage = given(3, "stage").map(|stage| match stage.as_object() {
        Some(object) => Json::from(object.id.rsplit(':').next().unwrap_or_default()),
        None => to_json(stage, Users::ByKey),
    });
    let context = given(5, "context").map_or_else(|| json!({}), |context| to_json(context, Users::Shown));
    let text = |value: Option<&Value>| value.map(|v| clean(&v.key_text()));
    let mut job = NewJob::new(
        ACTOR,
        json!({
            "to": to, "cc": cc, "bcc": bcc,
            // A line break would begin another header.
            "subject": subject.replace(['\r', '\n'], " "),
            "body": text(body), "template": text(template), "context": context, "stage": stage,
        }),
    );
    job.description = Some("Send a mail written by an expression.".to_owned());
    Ok(Some(job))
}

/// One address or a list of them; none when something else is among them.
fn addresses(value: Option<&Value>) -> Option<Vec<Json>> {
    match value {
        None => Some(Vec::new()),
        Some(Value::Tuple(pair)) if pair.len() == 2 && pair.last().is_some_and(|a| address(a).is_some()) => {
            // (name, address), unless it is a pair of addresses.
            match pair.first().and_then(address) {
                Some(first) => Some(vec![first, address(pair.last()?)?]),
                None => Some(vec![named(pair.first()?, pair.last()?)?]),
            }
        }
        Some(value) => match value.as_items() {
            None => Some(vec![address(value)?]),
            Some(items) => items
                .iter()
                .map(|item| match item.as_items() {
                    Some([name, address]) => named(name, address),
                    Some(_) => None,
                    None => address(item),
                })
                .collect(),
        },
    }
}

fn named(name: &Value, address: &Value) -> Option<Json> {
    let (name, address) = (name.as_str()?, address.as_str()?.trim());
    let is_line = !name.contains(['\r', '\n', '\0']);
    (is_line && is_email(address)).then(|| json!({"name": name, "address": address}))
}

/// `a@b` or `Name <a@b>`.
fn address(value: &Value) -> Option<Json> {
    let text = value.as_str()?.trim();
    match text.strip_suffix('>').and_then(|t| t.split_once('<')) {
        Some((name, address)) => {
            let name = name.trim().trim_matches('"').to_owned();
            named(&Value::Str(name), &Value::str(address))
        }
        None => is_email(text).then(|| json!({"name": "", "address": text})),
    }
}
