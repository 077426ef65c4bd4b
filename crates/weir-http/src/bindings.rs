//! Sessions bound to a network or a place end when the client moves.

use crate::{AppState, Caller, Incoming};
use serde_json::{Value, json};
use weir_core::ApiError;
use weir_events::{Event, action};
use weir_identity::{Account, SessionRow, session};
use weir_resource::{Actor, Site, Unit, store};

/// Why a session may not go on from a new address.
struct Broken {
    reason: &'static str,
    previous: Value,
    new: Value,
}

/// The first of these that is not what it was; none when all are.
fn first_change(compared: Vec<(&'static str, Value, Value)>) -> Option<Broken> {
    let change = compared.into_iter().find(|(_, previous, new)| previous != new);
    change.map(|(reason, previous, new)| Broken { reason, previous, new })
}

/// Whether the client left its network. What the database does not know counts as elsewhere.
fn network(geo: &Places<'_>, bound: &str) -> Option<Broken> {
    let depth = ["bind_asn", "bind_asn_network", "bind_asn_network_ip"].iter().position(|name| *name == bound)?;
    let (Some(previous), Some(new)) = (geo.site.geo.network(geo.previous), geo.site.geo.network(geo.new)) else {
        return Some(geo.missing("network.missing"));
    };
    let mut compared = vec![
        ("network.asn", json!(previous.asn), json!(new.asn)),
        ("network.asn_network", json!(previous.network), json!(new.network)),
        ("network.ip", json!(geo.previous), json!(geo.new)),
    ];
    compared.truncate(depth + 1);
    first_change(compared)
}

/// Whether the client left its place; likewise.
fn place(geo: &Places<'_>, bound: &str) -> Option<Broken> {
    let names = ["bind_continent", "bind_continent_country", "bind_continent_country_city"];
    let depth = names.iter().position(|name| *name == bound)?;
    let (Some(previous), Some(new)) = (geo.site.geo.place(geo.previous), geo.site.geo.place(geo.new)) else {
        return Some(geo.missing("geoip.missing"));
    };
    let mut compared = vec![
        ("geoip.continent", json!(previous.continent), json!(new.continent)),
        ("geoip.country", json!(previous.country), json!(new.country)),
        ("geoip.city", json!(previous.city), json!(new.city)),
    ];
    compared.truncate(depth + 1);
    first_change(compared)
}

/// Where a session was and where it is now.
struct Places<'a> {
    site: &'a Site,
    previous: &'a str,
    new: &'a str,
}

impl Places<'_> {
    fn missing(&self, reason: &'static str) -> Broken {
        Broken { reason, previous: self.previous.into(), new: self.new.into() }
    }

    /// What of the session's bindings is broken, if anything.
    fn broken(&self, row: &SessionRow) -> Option<Broken> {
        let bound = row.data.get("bindings")?;
        let name = |of: &str| bound.get(of).and_then(Value::as_str).unwrap_or_default();
        network(self, name("network")).or_else(|| place(self, name("geoip")))
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
    let places = Places { site: &app.site, previous: &row.last_ip, new: &ip };
    let Some(broken) = places.broken(row) else { return Ok(false) };
    request.note_moved();
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
        "binding": {"reason": broken.reason, "previous_value": broken.previous, "new_value": broken.new},
        "ip": {"previous": row.last_ip, "new": ip},
    });
    unit.event(Event::new(action::LOGOUT, "authentik_stages_user_login", context)).await?;
    unit.commit().await?;
    Ok(true)
}
