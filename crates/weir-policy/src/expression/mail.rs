//! `ak_send_email`: from the call to a mail in the outbox.

use super::{
    convert::{Users, clean, to_json},
    host::Desk,
    query::store,
};
use serde_json::{Value as Json, json};
use uuid::Uuid;
use weir_core::{Map, validate::is_email};
use weir_events::{Event, action};
use weir_expression::{Call, Raise, Value};
use weir_identity::Brand;
use weir_mail::{Draft, Letterhead, Locale, Mailbox, Mailer, Message, outbox};
use weir_store::{StoreError, Tx};

/// The most addresses of one mail.
const MOST: usize = 100;

/// What a call asks for.
#[derive(Debug)]
struct Wish {
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    bcc: Vec<Mailbox>,
    subject: String,
    body: Option<String>,
    template: Option<String>,
    context: Map,
    stage: Option<Stage>,
}

/// The stage whose mail server is wanted.
#[derive(Debug)]
enum Stage {
    Key(Uuid),
    Unknown,
}

/// Answers a call: true when the mail was queued.
///
/// # Errors
/// When the call has both or neither of body and template, or the database is away.
pub async fn send(desk: &mut Desk<'_, '_, '_>, call: &Call) -> Result<Value, Raise> {
    let Some(wish) = wish(call)? else {
        tracing::warn!(expression = desk.name, "a mail was not queued: an address is not valid");
        return Ok(false.into());
    };
    let stage = match wish.stage {
        None => None,
        Some(Stage::Key(id)) if desk.cx.snapshot.find(id).is_some() => Some(id),
        Some(_) => {
            tracing::warn!(expression = desk.name, "a mail was not queued: its stage is unknown");
            return Ok(false.into());
        }
    };
    if let Some(dry_run) = &mut desk.request.dry_run {
        let to: Vec<String> = wish.to.iter().map(|to| to.address.clone()).collect();
        dry_run.omitted.push(json!({"effect": "send_mail", "to": to, "subject": wish.subject}));
        return Ok(true.into());
    }
    let Some(mailer) = desk.expressions.mailer.clone() else { return Ok(false.into()) };
    let what = format!("Send a mail written by {}", desk.name);
    let message = match write(desk, &mailer, wish) {
        Ok(message) => message,
        Err(error) => {
            let context = json!({"message": format!("A mail template is broken: {error}"), "expression": desk.name});
            desk.cx.events.push(Event::new(action::CONFIGURATION_ERROR, "authentik_core", context));
            return Ok(false.into());
        }
    };
    let site = desk.cx.site;
    let now = site.clock.now();
    let mut origin = desk.request.http.origin(desk.request.user, json!({}));
    origin.http_request = Json::Null;
    let parcel = outbox::Parcel { stage, message, what, expires: now + outbox::KEPT, wait: chrono::TimeDelta::zero() };
    let posted = if desk.cx.tx.is_writing() {
        // A second transaction would wait for this one.
        outbox::post(desk.cx.tx, &*site.random, now, &origin, parcel).await.map(drop)
    } else {
        // Of its own, so that the database's one writer is not held while the expression goes on.
        let post = async |mut tx: Tx| -> Result<(), StoreError> {
            outbox::post(&mut tx, &*site.random, now, &origin, parcel).await?;
            tx.commit().await
        };
        post(site.db.tx()).await
    };
    posted.map_err(store)?;
    Ok(true.into())
}

fn write(desk: &Desk<'_, '_, '_>, mailer: &Mailer, wish: Wish) -> Result<Message, weir_mail::TemplateError> {
    let (snapshot, http) = (desk.cx.snapshot, desk.request.http);
    let brand = http.brand.and_then(|id| snapshot.get::<Brand>(id));
    let locale = brand.as_deref().map(Brand::default_locale).and_then(Locale::find);
    let head = Letterhead::new(
        snapshot,
        http.brand,
        &http.site_url(&snapshot.settings),
        locale.unwrap_or_else(Locale::english),
    );
    let mut message = match (wish.template, wish.body) {
        (Some(template), _) => mailer.write(Draft {
            template: &template,
            subject: &wish.subject,
            to: wish.to,
            head: &head,
            data: wish.context,
            secrets: Vec::new(),
        })?,
        (None, body) => {
            Message { to: wish.to, subject: wish.subject, text: body.unwrap_or_default(), ..Message::default() }
        }
    };
    (message.cc, message.bcc) = (wish.cc, wish.bcc);
    Ok(message)
}

/// Reads a call. None when an address is none.
fn wish(call: &Call) -> Result<Option<Wish>, Raise> {
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
    let stage = given(3, "stage").map(|stage| {
        let key = match stage.as_object() {
            Some(object) => object.id.rsplit(':').next().unwrap_or_default().to_owned(),
            None => stage.key_text(),
        };
        Uuid::parse_str(&key).map_or(Stage::Unknown, Stage::Key)
    });
    let context = match given(5, "context").map(|context| to_json(context, Users::Shown)) {
        Some(Json::Object(map)) => map,
        _ => Map::new(),
    };
    let text = |value: Option<&Value>| value.map(|v| clean(&v.key_text()));
    Ok(Some(Wish {
        to,
        cc,
        bcc,
        // A line break would begin another header.
        subject: subject.replace(['\r', '\n'], " "),
        body: text(body),
        template: text(template),
        context,
        stage,
    }))
}

/// One address or a list of them; none when something else is among them.
fn addresses(value: Option<&Value>) -> Option<Vec<Mailbox>> {
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

fn named(name: &Value, address: &Value) -> Option<Mailbox> {
    let (name, address) = (name.as_str()?, address.as_str()?.trim());
    let is_line = !name.contains(['\r', '\n', '\0']);
    (is_line && is_email(address)).then(|| Mailbox::new(name, address))
}

/// `a@b` or `Name <a@b>`.
fn address(value: &Value) -> Option<Mailbox> {
    let text = value.as_str()?.trim();
    match text.strip_suffix('>').and_then(|t| t.split_once('<')) {
        Some((name, address)) => {
            let name = name.trim().trim_matches('"').to_owned();
            named(&Value::Str(name), &Value::str(address))
        }
        None => is_email(text).then(|| Mailbox::new("", text)),
    }
}
