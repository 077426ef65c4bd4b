//! Sending an invitation by mail.

use super::Invitation;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{ApiError, Map, Resource, validate};
use weir_flow::{App, Flow};
use weir_http::{Access, Call, Reply, Route, call};
use weir_identity::brand::Brand;
use weir_mail::{Draft, Letterhead, Locale, Mailbox, outbox};
use weir_resource::{Unit, store};

/// The most addresses of one request.
const MOST: usize = 100;

/// Sending.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let engine = Arc::clone(engine);
    vec![Route::new(
        "stages_invitation_invitations_send_email_create",
        Access::Seen { model: Invitation::MODEL },
        move |call| {
            let engine = Arc::clone(&engine);
            async move { send(&engine, call).await }
        },
    )]
}

fn default_template() -> String {
    "invitation".to_owned()
}

/// To whom an invitation goes.
#[derive(Deserialize, JsonSchema)]
struct SendBody {
    /// Each gets a mail of their own.
    email_addresses: Vec<Value>,
    /// They get a copy of each.
    #[serde(default)]
    cc_addresses: Vec<Value>,
    /// They too, unseen by the others.
    #[serde(default)]
    bcc_addresses: Vec<Value>,
    /// Name of the template, with or without folder and ending.
    #[serde(default = "default_template")]
    #[schemars(length(min = 1))]
    template: String,
}

fn addresses(field: &str, values: &[Value]) -> Result<Vec<Mailbox>, ApiError> {
    let address = |value: &Value| {
        let text = value.as_str().map(str::trim).filter(|text| validate::is_email(text));
        text.map(|text| Mailbox::new("", text)).ok_or_else(|| ApiError::field(field, "Enter a valid email address."))
    };
    values.iter().map(address).collect()
}

fn refusal(text: &str) -> Reply {
    Reply::json(400, &json!({"error": text}))
}

/// The template that a short or whole name means.
fn template(engine: &App, name: &str) -> Result<String, ApiError> {
    let short = format!("email/{name}.html");
    let found = [name, short.as_str()].into_iter().find(|name| engine.mail.templates.knows(name));
    let unknown = || ApiError::field("template", format!("Invalid template '{name}' specified."));
    found.map(str::to_owned).ok_or_else(unknown)
}

/// Whoever may change an invitation may give it away.
fn may_send(call: &Call) -> Result<bool, ApiError> {
    let invitation = call.target()?;
    let is_owner = invitation.doc.get("created_by").and_then(Value::as_i64) == Some(call.user()?.id);
    Ok(is_owner || call.grants.may(&invitation.kind.permission("change"), Some(&invitation.pk)))
}

async fn send(engine: &App, mut call: Call) -> Result<Reply, ApiError> {
    if !may_send(&call)? {
        return Err(ApiError::forbidden());
    }
    let object = call.object().await?;
    let body: SendBody = call::parse(&object)?;
    if body.email_addresses.is_empty() {
        return Ok(refusal("No email addresses provided"));
    }
    let to = addresses("email_addresses", &body.email_addresses)?;
    let cc = addresses("cc_addresses", &body.cc_addresses)?;
    let bcc = addresses("bcc_addresses", &body.bcc_addresses)?;
    if to.len() + cc.len() + bcc.len() > MOST {
        let text = format!("Ensure this field has no more than {MOST} elements.");
        return Err(ApiError::field("email_addresses", text));
    }
    let template = template(engine, &body.template)?;
    let invitation = call.target()?.clone();
    let now = engine.site.clock.now();
    let expires = invitation.doc.get("expires").and_then(Value::as_str).and_then(validate::parse_time);
    let flow = uuid::Uuid::parse_str(invitation.text("flow")).ok().and_then(|id| call.snapshot.get::<Flow>(id));
    let Some(flow) = flow else { return Ok(refusal("Invitation has no associated flow")) };
    if expires.is_some_and(|end| end <= now) {
        return Ok(refusal("Invitation has expired"));
    }
    let request = call.info();
    let settings = &call.snapshot.settings;
    let brand = request.brand.and_then(|id| call.snapshot.get::<Brand>(id));
    let locale = brand.as_deref().map(Brand::default_locale).and_then(Locale::find).unwrap_or_else(Locale::english);
    let head = Letterhead::new(&call.snapshot, request.brand, &engine.site_url(settings, &request), locale);
    let query = format!("itoken={}", invitation.pk);
    let mut data = Map::from_iter([
        ("url".to_owned(), engine.flow_link(settings, &request, &flow.slug.0, &query).into()),
        ("token".to_owned(), invitation.pk.clone().into()),
    ]);
    if let Some(end) = expires {
        data.insert("expires".to_owned(), invitation.doc.get("expires").cloned().unwrap_or_default());
        data.insert("lifetime".to_owned(), (end - now).num_seconds().into());
    }
    let mut unit = Unit::new(&engine.site, call.actor());
    let mut origin = unit.actor.origin.clone();
    origin.http_request = Value::Null;
    for recipient in to {
        let draft = Draft {
            template: &template,
            subject: &locale.text("invitation.subject", &[("host", head.host())]),
            to: vec![recipient],
            head: &head,
            data: data.clone(),
            secrets: vec![invitation.pk.clone()],
        };
        let mut message = engine
            .mail
            .write(draft)
            .map_err(|error| ApiError::field("template", format!("The mail cannot be written: {error}")))?;
        (message.cc, message.bcc) = (cc.clone(), bcc.clone());
        let end = (now + outbox::KEPT).min(expires.unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC));
        let parcel = outbox::Parcel {
            stage: None,
            message,
            what: format!("Send {template}"),
            expires: end,
            wait: chrono::TimeDelta::zero(),
        };
        outbox::post(&mut unit.tx, &*engine.site.random, now, &origin, parcel).await.map_err(store)?;
    }
    unit.commit().await?;
    Ok(Reply::none())
}
