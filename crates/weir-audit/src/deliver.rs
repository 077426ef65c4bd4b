//! Carries one notification to one person.

use crate::{
    NotificationTransport, Severity, TransportMode, dispatch,
    event::SealedEvent,
    gate::{Away, Gates},
    webhook,
};
use anyhow::{Result, bail};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::Map;
use weir_events::Origin;
use weir_flow::App;
use weir_identity::{Account, Brand, accounts};
use weir_mail::{Draft, Letterhead, Mailbox, Message, locale_of, outbox};
use weir_resource::{Actor, Snapshot, Unit};
use weir_store::jobs::{self, JobCx, JobHandler, LogLevel};

/// What is carried.
pub(crate) struct Parcel<'a> {
    /// The way it goes.
    pub(crate) transport: &'a NotificationTransport,
    /// The event.
    pub(crate) event: &'a SealedEvent,
    /// Who is told.
    pub(crate) user: &'a Account,
    /// How urgent it is.
    pub(crate) severity: Severity,
}

impl Parcel<'_> {
    /// What mappings see as `notification`.
    pub(crate) fn shown(&self) -> Value {
        json!({
            "body": self.event.body(), "severity": self.severity.as_str(), "user": self.user.event_user(),
            "event": self.event.fields,
        })
    }
}

/// Handler of [`DELIVER`](crate::DELIVER).
pub struct Deliver {
    engine: Arc<App>,
    gates: Gates,
}

impl Deliver {
    /// The handler of a node.
    pub fn new(engine: &Arc<App>) -> Self {
        Self { engine: Arc::clone(engine), gates: Gates::default() }
    }
}

#[async_trait]
impl JobHandler for Deliver {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let (level, said) = carry(&self.engine, &self.gates, cx.args()).await?;
        cx.log(level, said, Value::Null);
        Ok(())
    }

    fn waits_for_others(&self) -> bool {
        true
    }
}

/// Carries what the arguments name: what there is to say about it.
pub(crate) async fn carry(engine: &App, gates: &Gates, args: &Value) -> Result<(LogLevel, String)> {
    let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
    let user = args.get("user").and_then(Value::as_i64).unwrap_or_default();
    let (Ok(transport_id), false) = (Uuid::parse_str(text("transport")), user == 0) else {
        bail!("No notification was named.")
    };
    let site = &engine.site;
    let snapshot = site.snapshot();
    let gone = |what: &str| Ok((LogLevel::Warning, format!("Given up: {what} is gone.")));
    let Some(transport) = snapshot.get::<NotificationTransport>(transport_id) else { return gone("the transport") };
    let Some(event) = SealedEvent::find(&site.db, text("event")).await? else { return gone("the event") };
    let Some(user) = accounts::find(&site.db, user).await? else { return gone("the user") };
    let severity = serde_json::from_value(text("severity").into()).unwrap_or_default();
    let parcel = Parcel { transport: &transport, event: &event, user: &user, severity };
    match transport.mode {
        TransportMode::Local => {
            let mut unit = Unit::new(site, Actor::system());
            dispatch::keep(&mut unit, user.id, severity, &event.body(), Some(event.text("pk"))).await?;
            unit.commit().await?;
            Ok((LogLevel::Debug, "Written to the list of notifications.".to_owned()))
        }
        TransportMode::Email => match letter(engine, &snapshot, &parcel).await? {
            Some(message) => {
                post(engine, &parcel, message).await?;
                Ok((LogLevel::Debug, "Posted.".to_owned()))
            }
            None => Ok((LogLevel::Info, "The user has no address.".to_owned())),
        },
        TransportMode::Webhook | TransportMode::WebhookSlack => {
            let until = args.get("until").and_then(Value::as_i64);
            if until.is_some_and(|until| until <= site.clock.now().timestamp_micros()) {
                return Ok((LogLevel::Error, "Given up: the receiver was away for too long.".to_owned()));
            }
            let receiver = (transport_id, transport.webhook_url.clone());
            let pass = gates.enter(receiver, site.clock.now()).map_err(|until| jobs::PutOff { until })?;
            let sent = webhook::send(engine, &snapshot, &parcel).await;
            pass.ended(sent.as_ref().is_err_and(anyhow::Error::is::<Away>), site.clock.now());
            Ok((LogLevel::Debug, sent?))
        }
    }
}

/// The mail; none for somebody without address.
pub(crate) async fn letter(engine: &App, snapshot: &Snapshot, parcel: &Parcel<'_>) -> Result<Option<Message>> {
    if parcel.user.email.is_empty() {
        return Ok(None);
    }
    let brand = parcel.event.fields.get("brand").and_then(|b| Uuid::parse_str(b.get("pk")?.as_str()?).ok());
    let branded = brand.and_then(|id| snapshot.get::<Brand>(id));
    let locale = locale_of(&engine.site.db, Some(parcel.user), branded.as_deref()).await?;
    let base = snapshot.settings.base_url.trim().trim_end_matches('/').to_owned();
    let head = Letterhead::new(snapshot, brand, &base, locale);
    let body = parcel.event.body();
    let mut facts = Map::new();
    for (name, value) in [
        ("Severity", parcel.severity.as_str()),
        ("Action", parcel.event.text("action")),
        ("User", parcel.event.user("username")),
        ("Client", parcel.event.text("client_ip")),
        ("Time", parcel.event.text("created")),
    ] {
        if !value.is_empty() {
            facts.insert(name.to_owned(), value.into());
        }
    }
    let data = json!({
        "title": parcel.event.text("action"), "body": body, "severity": parcel.severity.as_str(), "key_value": facts,
        "user": parcel.user.event_user(), "event": parcel.event.fields,
    });
    let first: String = body.lines().next().unwrap_or_default().chars().take(75).collect();
    Ok(Some(engine.mail.write(Draft {
        template: &parcel.transport.email_template,
        subject: &format!("{}{first}", parcel.transport.email_subject_prefix),
        to: vec![Mailbox::new(&parcel.user.name, &parcel.user.email)],
        head: &head,
        data: data.as_object().cloned().unwrap_or_default(),
        secrets: Vec::new(),
    })?))
}

async fn post(engine: &App, parcel: &Parcel<'_>, message: Message) -> Result<()> {
    let site = &engine.site;
    let now = site.clock.now();
    // Marked, so that the event about the mail makes no rule send another one.
    let user = json!({
        "pk": parcel.user.id, "username": parcel.user.username, "email": parcel.user.email,
        (crate::MARK): parcel.transport.name,
    });
    let origin =
        Origin { user, user_id: Some(parcel.user.id), username: parcel.user.username.clone(), ..Origin::system() };
    let parcel = outbox::Parcel {
        stage: None,
        message,
        what: "Send a notification".to_owned(),
        expires: now + outbox::KEPT,
        wait: chrono::TimeDelta::zero(),
    };
    let mut tx = site.db.tx();
    outbox::post(&mut tx, &*site.random, now, &origin, parcel).await?;
    Ok(tx.commit().await?)
}
