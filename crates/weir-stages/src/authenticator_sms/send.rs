//! Messages to telephone numbers. Nothing is written here: a message takes its time.

use super::{AuthType, AuthenticatorSmsStage, Provider};
use crate::remote;
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use weir_core::{FieldErrors, Map, Resource};
use weir_events::{Event, action};
use weir_flow::{Reject, StageCx};
use weir_identity::{Account, device::DeviceKind};
use weir_mail::throttle::{self, Limit};
use weir_policy::{
    NotificationWebhookMapping, PolicyCx,
    expression::Environment,
    outbound::{OutboundRequest, OutboundResponse},
};

/// Where Twilio is.
const TWILIO: &str = "https://api.twilio.com";
/// A service that takes longer counts as away.
const PATIENCE: Duration = Duration::from_secs(15);
/// Codes to one number …
const MOST: i64 = 10;
/// … within this time.
const WINDOW: TimeDelta = TimeDelta::minutes(5);
/// What people read when a number had enough.
pub(super) const ENOUGH: &str = "Too many codes were sent. Please begin again later.";
/// Longest text of a service that is shown and kept, characters.
const LONGEST: usize = 1000;
/// What people read when the service says nothing of use.
const UNSENT: &str = "The code could not be sent. Please try again later.";

/// A message.
pub struct Message<'m> {
    /// Key of the stage whose service sends.
    pub stage_id: uuid::Uuid,
    /// The stage.
    pub stage: &'m AuthenticatorSmsStage,
    /// The number.
    pub to: &'m str,
    /// The code.
    pub code: &'m str,
    /// Whose number it is.
    pub user: &'m Account,
}

/// Counts a code against what one number may be sent, over all sessions and stages: each costs money and disturbs
/// somebody. Counted in a transaction of its own, so that nothing is open while the message travels.
///
/// # Errors
/// `Invalid` when the number had enough for now; those of the store.
pub async fn allow(cx: &mut StageCx<'_>, number: &str) -> Result<(), Reject> {
    let (now, limit) = (cx.now(), Limit { purpose: "sms device", recipient: number, most: MOST, window: WINDOW });
    let counted = if cx.unit.tx.is_writing() {
        throttle::count(&mut cx.unit.tx, now, limit).await?
    } else {
        let mut tx = cx.app.site.db.tx();
        let counted = throttle::count(&mut tx, now, limit).await?;
        tx.commit().await?;
        counted
    };
    counted.map_err(|_| unsent(ENOUGH))
}

/// Sends a code.
///
/// # Errors
/// `Invalid` with what the service said, or that it could not be asked; an event tells administrators.
pub async fn send(cx: &mut StageCx<'_>, message: &Message<'_>) -> Result<(), Reject> {
    let mapped = match &message.stage.mapping {
        Some(mapping) => Some(map(cx, message, mapping.uuid()).await?),
        None => None,
    };
    let sentence = format!("Use this code to authenticate in {}: {}", remote::brand_title(cx), message.code);
    let request = match message.stage.provider {
        Provider::Twilio => twilio(cx, message, mapped.as_ref(), &sentence),
        Provider::Generic => generic(message, mapped, &sentence),
    };
    let answer = match request {
        Ok(request) => {
            let sent = cx.app.outbound.send(remote::within(request, PATIENCE)).await;
            sent.map_err(|error| error.to_string())
        }
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => {
            let text = body(&answer);
            let context = json!({"message": "Error sending SMS", "status_code": answer.status, "body": text});
            cx.event(action::CONFIGURATION_ERROR, context);
            let said = match message.stage.provider {
                Provider::Twilio => twilio_error(&answer),
                Provider::Generic => Some(text).filter(|t| !t.trim().is_empty()),
            };
            Err(unsent(said.as_deref().unwrap_or(UNSENT)))
        }
        Err(error) => {
            tracing::warn!(stage = message.stage.name, error, "an SMS could not be sent");
            cx.event(action::CONFIGURATION_ERROR, json!({"message": "Error sending SMS", "error": error}));
            Err(unsent(UNSENT))
        }
    }
}

fn unsent(text: &str) -> Reject {
    Reject::Invalid(FieldErrors::general(text))
}

fn body(answer: &OutboundResponse) -> String {
    String::from_utf8_lossy(&answer.body).chars().filter(|c| *c != '\0').take(LONGEST).collect()
}

fn twilio(
    cx: &StageCx<'_>,
    message: &Message<'_>,
    mapped: Option<&Value>,
    sentence: &str,
) -> Result<OutboundRequest, String> {
    let stage = message.stage;
    let text = mapped.and_then(|m| m.get("message")?.as_str()).unwrap_or(sentence);
    let base = cx.app.services.twilio_url.as_deref().unwrap_or(TWILIO);
    let account: String = url::form_urlencoded::byte_serialize(stage.account_sid.as_bytes()).collect();
    let url = format!("{base}/2010-04-01/Accounts/{account}/Messages.json");
    let fields = [("From", stage.from_number.as_str()), ("To", message.to), ("Body", text)];
    Ok(remote::with_basic(remote::form(&url, &fields)?, &stage.account_sid, &stage.auth.0))
}

/// The text of Twilio's error.
fn twilio_error(answer: &OutboundResponse) -> Option<String> {
    let value: Value = serde_json::from_slice(&answer.body).ok()?;
    let text: String = value.get("message")?.as_str()?.chars().take(LONGEST).collect();
    Some(text).filter(|t| !t.trim().is_empty())
}

fn generic(message: &Message<'_>, mapped: Option<Value>, sentence: &str) -> Result<OutboundRequest, String> {
    let stage = message.stage;
    let payload = mapped.unwrap_or_else(
        || json!({"From": stage.from_number, "To": message.to, "Body": message.code, "Message": sentence}),
    );
    let request = remote::json(&stage.account_sid, &payload)?;
    Ok(match stage.auth_type {
        AuthType::Basic => remote::with_basic(request, &stage.auth.0, &stage.auth_password.0),
        AuthType::Bearer => remote::with_bearer(request, &stage.auth.0)?,
    })
}

/// What the mapping says.
async fn map(cx: &mut StageCx<'_>, message: &Message<'_>, mapping: uuid::Uuid) -> Result<Value, Reject> {
    let snapshot = Arc::clone(&cx.unit.snapshot);
    let Some(mapping) = snapshot.get::<NotificationWebhookMapping>(mapping) else { return Ok(Value::Null) };
    let (app, model) = DeviceKind::Sms.model().split_once('.').unwrap_or_default();
    let device = json!({"app": app, "model_name": model, "name": "SMS Device", "phone_number": message.to});
    let (app, model) = AuthenticatorSmsStage::MODEL.split_once('.').unwrap_or_default();
    let stage = json!({"app": app, "model_name": model, "pk": message.stage_id, "name": message.stage.name});
    let variables = Map::from_iter([
        ("device".to_owned(), device),
        ("token".to_owned(), message.code.into()),
        ("stage".to_owned(), stage),
    ]);
    let engine = cx.app;
    let mut policies = PolicyCx {
        site: &engine.site,
        snapshot: &snapshot,
        tx: &mut cx.unit.tx,
        kinds: &engine.policies,
        events: &mut cx.events,
        depth: 0,
    };
    let env = Environment { name: &mapping.name, user: Some(message.user), http: cx.request, variables };
    match engine.expressions.evaluate(&mut policies, &mapping.expression.0, env).await {
        Ok(value) => Ok(value),
        Err(error) => {
            let context = json!({"expression": mapping.expression.0, "message": error.to_string()});
            let (app, _) = NotificationWebhookMapping::MODEL.split_once('.').unwrap_or_default();
            cx.events.push(Event::new(action::PROPERTY_MAPPING_EXCEPTION, app, context));
            Err(unsent(UNSENT))
        }
    }
}
