//! Calls to addresses that take notifications.

use crate::{TransportMode, deliver::Parcel, gate::Away};
use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;
use weir_core::Map;
use weir_flow::App;
use weir_pki::CertificateKeyPair;
use weir_policy::{
    NotificationWebhookMapping, PolicyCx,
    expression::Environment,
    outbound::{OutboundError, OutboundRequest, add_headers},
};
use weir_resource::{Actor, Snapshot, Unit};

/// A receiver that takes longer counts as away.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest answer that is shown, characters.
const LONGEST: usize = 500;
/// Bounds of Slack: fields, and characters of a name and of a value.
const SLACK: (usize, usize, usize) = (25, 256, 1024);

/// Calls the address: what it answered, for the log.
pub(crate) async fn send(engine: &App, snapshot: &Arc<Snapshot>, parcel: &Parcel<'_>) -> Result<String> {
    let transport = parcel.transport;
    let url = Url::parse(&transport.webhook_url).context("The address of the webhook is none")?;
    let body = match (transport.mode, &transport.webhook_mapping_body) {
        (TransportMode::WebhookSlack, _) => slack(snapshot, parcel),
        (_, Some(mapping)) => map(engine, snapshot, parcel, *mapping.pk()).await?,
        (_, None) => plain(parcel),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(mapping) = &transport.webhook_mapping_headers {
        let given = map(engine, snapshot, parcel, *mapping.pk()).await?;
        add_headers(&mut headers, &given).map_err(|text| anyhow!(text))?;
    }
    let request = OutboundRequest {
        method: Method::POST,
        url,
        headers,
        body: Some(serde_json::to_vec(&body)?),
        timeout: Some(PATIENCE),
        follow_redirects: false,
    };
    let ca = transport.webhook_ca.as_ref().and_then(|ca| snapshot.get::<CertificateKeyPair>(*ca.pk()));
    let answer = match ca {
        Some(ca) => engine.outbound.send_trusting(request, ca.certificate_data.0.as_bytes()).await,
        None => engine.outbound.send(request).await,
    };
    let answer = answer.map_err(|error| match error {
        OutboundError::Refused(text) => anyhow!(text),
        other => anyhow::Error::new(Away(other.to_string())),
    })?;
    let said: String = String::from_utf8_lossy(&answer.body).chars().filter(|c| *c != '\0').take(LONGEST).collect();
    let said = format!("The webhook answered {}: {said}", answer.status);
    match answer.status {
        200..300 => Ok(said),
        429 | 500.. => Err(Away(said).into()),
        _ => bail!(said),
    }
}

/// The body when no mapping says otherwise.
fn plain(parcel: &Parcel<'_>) -> Value {
    let mut body = json!({
        "body": parcel.event.body(),
        "severity": parcel.severity.as_str(),
        "user_email": parcel.user.email,
        "user_username": parcel.user.username,
    });
    let is_known = !parcel.event.user("username").is_empty();
    if let Some(body) = body.as_object_mut().filter(|_| is_known) {
        body.insert("event_user_email".to_owned(), parcel.event.user("email").into());
        body.insert("event_user_username".to_owned(), parcel.event.user("username").into());
    }
    body
}

/// The body that Slack understands.
fn slack(snapshot: &Snapshot, parcel: &Parcel<'_>) -> Value {
    let (most, longest_name, longest_value) = SLACK;
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let field = |name: &str, value: &str, short: bool| json!({"title": cut(name, longest_name), "value": cut(value, longest_value), "short": short});
    let mut fields = vec![
        field("Severity", parcel.severity.as_str(), true),
        field("Dispatched for user", &parcel.user.username, true),
    ];
    if !parcel.event.user("username").is_empty() {
        fields.push(field("Event user", parcel.event.user("username"), true));
    }
    if let Some(context) = parcel.event.fields.get("context").and_then(Value::as_object) {
        let texts = context.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        fields.extend(texts.map(|(name, value)| field(name, value, false)));
    }
    fields.truncate(most);
    let site = snapshot.settings.base_url.trim();
    json!({
        "username": "Weir",
        "attachments": [{
            "author_name": "Weir",
            "author_link": site,
            "color": "#2f6f8f",
            "title": parcel.event.text("action"),
            "text": parcel.event.body(),
            "fallback": parcel.event.body(),
            "fields": fields,
            "footer": format!("Weir {}", env!("CARGO_PKG_VERSION")),
        }],
    })
}

/// What a mapping gives. Events that its expression writes are kept.
async fn map(engine: &App, snapshot: &Arc<Snapshot>, parcel: &Parcel<'_>, mapping: Uuid) -> Result<Value> {
    let mapping = snapshot.get::<NotificationWebhookMapping>(mapping).context("The mapping is gone")?;
    let mut events = Vec::new();
    let http = parcel.event.request();
    let result = {
        let mut tx = engine.site.db.tx();
        let mut cx = PolicyCx {
            site: &engine.site,
            snapshot,
            tx: &mut tx,
            kinds: &engine.policies,
            events: &mut events,
            depth: 0,
        };
        let variables = Map::from_iter([("notification".to_owned(), parcel.shown())]);
        let env = Environment { name: &mapping.name, user: Some(parcel.user), http: &http, variables };
        engine.expressions.evaluate(&mut cx, &mapping.expression.0, env).await
    };
    if let Err(error) = &result {
        let context = json!({"expression": mapping.expression.0, "message": error.to_string()});
        events.push(weir_events::Event::new(
            weir_events::action::PROPERTY_MAPPING_EXCEPTION,
            "authentik_events",
            context,
        ));
    }
    if !events.is_empty() {
        let mut unit = Unit::new(&engine.site, Actor::system());
        for mut event in events {
            event.context.insert(crate::MARK.to_owned(), parcel.transport.name.clone().into());
            unit.event(event).await?;
        }
        unit.commit().await?;
    }
    result.with_context(|| format!("The mapping {} failed", mapping.name))
}
