//! Operations beyond those that follow from the definitions: trying a transport, having seen everything.

use crate::{
    NotificationTransport, Severity, TransportMode,
    deliver::{Parcel, letter},
    dispatch,
    event::SealedEvent,
    webhook,
};
use anyhow::{Result, anyhow};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Resource as _};
use weir_flow::App;
use weir_http::{Access, Call, Reply, Route};
use weir_resource::{Unit, store};

/// The operations.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let engine = Arc::clone(engine);
    let rule = Access::Object {
        model: NotificationTransport::MODEL,
        permission: "authentik_events.change_notificationtransport",
    };
    let mut routes = vec![
        Route::new("events_notifications_mark_all_seen_create", Access::SignedIn, mark_all_seen),
        Route::new("events_transports_test_create", rule, move |call| {
            let engine = Arc::clone(&engine);
            async move { test(&engine, call).await }
        }),
    ];
    routes.extend(crate::export::routes());
    routes
}

async fn mark_all_seen(call: Call) -> Result<Reply, ApiError> {
    let mut tx = call.app.site.db.tx();
    let sql = "UPDATE event_notification SET seen = TRUE WHERE \"user\" = $1 AND NOT seen";
    tx.write(sql, &[call.user()?.id.into()]).await.map_err(store)?;
    tx.commit().await.map_err(store)?;
    Ok(Reply::none())
}

/// Carries a notification to the caller at once, so that they see what is wrong.
async fn test(engine: &App, call: Call) -> Result<Reply, ApiError> {
    let id = Uuid::parse_str(&call.target()?.pk).map_err(|_| ApiError::not_found())?;
    let transport = call.snapshot.get::<NotificationTransport>(id).ok_or_else(ApiError::not_found)?;
    let user = call.user()?;
    let event = SealedEvent::trial(&user.event_user(), &transport.name);
    let parcel = Parcel { transport: &transport, event: &event, user, severity: Severity::Notice };
    match carry(engine, &call, &parcel).await {
        Ok(message) => Ok(Reply::ok(&json!({"messages": [message]}))),
        Err(error) => {
            Ok(Reply::json(500, &json!({"messages": [format!("{error:#}")], "detail": format!("{error:#}")})))
        }
    }
}

async fn carry(engine: &App, call: &Call, parcel: &Parcel<'_>) -> Result<String> {
    match parcel.transport.mode {
        TransportMode::Local => {
            let mut unit = Unit::new(&call.app.site, call.actor());
            dispatch::keep(&mut unit, parcel.user.id, parcel.severity, &parcel.event.body(), None).await?;
            unit.commit().await?;
            Ok("Written to your notifications.".to_owned())
        }
        TransportMode::Email => {
            let letter = letter(engine, &call.snapshot, parcel).await?;
            let message = letter.ok_or_else(|| anyhow!("Your account has no e-mail address."))?;
            let (server, id) = (&engine.mail.server, engine.site.random.uuid());
            let sent = weir_mail::send(server, id, engine.site.clock.now(), &message).await;
            sent.map_err(|failure| match failure {
                weir_mail::Failure::Permanent(text) | weir_mail::Failure::Temporary(text) => anyhow!(text),
            })?;
            Ok(format!("Handed to {}:{}.", server.host, server.port))
        }
        TransportMode::Webhook | TransportMode::WebhookSlack => webhook::send(engine, &call.snapshot, parcel).await,
    }
}
