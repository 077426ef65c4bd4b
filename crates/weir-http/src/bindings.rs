//! Sessions bound to a network or a place end when the client moves.

use crate::{AppState, Caller, Incoming};
use serde_json::{Value, json};
use weir_core::ApiError;
use weir_events::{Event, action};
use weir_identity::{Account, SessionRow, session};
use weir_resource::{Actor, Unit, store};

/// Why a session may not go on from a new address; none when it may. No location databases are loaded in this version,
/// and missing data count as a broken binding.
fn broken(row: &SessionRow) -> Option<&'static str> {
    let bound = row.data.get("bindings")?;
    let is_bound = |name: &str| bound.get(name).and_then(Value::as_str).is_some_and(|b| b != "no_binding");
    if is_bound("network") {
        Some("network.missing")
    } else if is_bound("geoip") {
        Some("geoip.missing")
    } else {
        None
    }
}

/// Ends a session whose binding is broken. Returns whether it did.
///
/// # Errors
/// Those of the store.
pub async fn enforce(
    app: &AppState,
    caller: &Caller,
    request: &Incoming,
    row: &SessionRow,
    user: &Account,
) -> Result<bool, ApiError> {
    let ip = caller.client_ip.to_string();
    if row.last_ip == ip {
        return Ok(false);
    }
    let Some(reason) = broken(row) else { return Ok(false) };
    let snapshot = app.site.snapshot();
    let mut origin = caller.origin(request, &snapshot);
    origin.user = user.event_user();
    origin.user_id = Some(user.id);
    origin.username.clone_from(&user.username);
    let mut unit = Unit::new(
        &app.site,
        Actor { origin, user_id: Some(user.id), epoch: Some(user.security_epoch), request_id: request.id.clone() },
    );
    session::log_out(&mut unit.tx, &row.digest).await.map_err(store)?;
    let context = json!({
        "logout_reason": "Session binding broken",
        "binding": {"reason": reason, "previous_value": row.last_ip, "new_value": ip},
        "ip": {"previous": row.last_ip, "new": ip},
    });
    unit.event(Event::new(action::LOGOUT, "authentik_stages_user_login", context)).await?;
    unit.commit().await?;
    Ok(true)
}
