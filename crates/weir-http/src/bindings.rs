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

/// What is compared: a reason, what it was, what it is now.
type Compared = [(&'static str, Value, Value); 3];

/// Where a session was and where it is now.
struct Places<'a> {
    site: &'a Site,
    previous: &'a str,
    new: &'a str,
}

impl Places<'_> {
    /// The networks of both; none when the database does not know them.
    fn networks(&self) -> Option<Compared> {
        let (previous, new) = (self.site.geo.network(self.previous)?, self.site.geo.network(self.new)?);
        Some([
            ("network.asn", json!(previous.asn), json!(new.asn)),
            ("network.asn_network", json!(previous.network), json!(new.network)),
            ("network.ip", json!(self.previous), json!(self.new)),
        ])
    }

    /// The places of both; likewise.
    fn places(&self) -> Option<Compared> {
        let (previous, new) = (self.site.geo.place(self.previous)?, self.site.geo.place(self.new)?);
        Some([
            ("geoip.continent", json!(previous.continent), json!(new.continent)),
            ("geoip.country", json!(previous.country), json!(new.country)),
            ("geoip.city", json!(previous.city), json!(new.city)),
        ])
    }

    /// The first difference as far as the session is bound. What the database does not know counts as elsewhere.
    fn change(&self, depth: usize, compared: Option<Compared>, missing: &'static str) -> Option<Broken> {
        let Some(compared) = compared else {
            return Some(Broken { reason: missing, previous: self.previous.into(), new: self.new.into() });
        };
        let change = compared.into_iter().take(depth + 1).find(|(_, previous, new)| previous != new);
        change.map(|(reason, previous, new)| Broken { reason, previous, new })
    }

    /// What of the session's bindings is broken, if anything.
    fn broken(&self, row: &SessionRow) -> Option<Broken> {
        let bound = row.data.get("bindings")?;
        let depth = |of: &str, names: [&str; 3]| {
            let bound = bound.get(of).and_then(Value::as_str)?;
            names.iter().position(|name| *name == bound)
        };
        let network = depth("network", ["bind_asn", "bind_asn_network", "bind_asn_network_ip"]);
        let place = depth("geoip", ["bind_continent", "bind_continent_country", "bind_continent_country_city"]);
        network
            .and_then(|depth| self.change(depth, self.networks(), "network.missing"))
            .or_else(|| place.and_then(|depth| self.change(depth, self.places(), "geoip.missing")))
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
