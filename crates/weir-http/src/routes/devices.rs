//! `authenticators/all/` and `authenticators/admin/all/`: devices of all kinds in one list.

use crate::{Access, Call, Reply, Route};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use weir_core::ApiError;
use weir_identity::device::{self, DeviceKind, DeviceRow};
use weir_resource::{Visible, store};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("authenticators_all_list", Access::SignedIn, own),
        Route::new("authenticators_admin_all_list", Access::ByKind, of_user),
    ]
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The contract's `Device`.
fn shown(device: &DeviceRow) -> Value {
    let detail = Some(device.detail.as_str()).filter(|text| !text.is_empty());
    // What tells the person's devices of the kind apart, and by what others know the device.
    let (description, external) = match device.kind {
        DeviceKind::Endpoint | DeviceKind::WebAuthn => (detail, detail),
        _ => (None, None),
    };
    json!({
        "verbose_name": device.kind.verbose_name(),
        "verbose_name_plural": format!("{}s", device.kind.verbose_name()),
        "meta_model_name": device.kind.model(),
        "pk": device.pk,
        "name": device.name,
        "type": device.kind.type_name(),
        "confirmed": device.confirmed,
        "created": time(device.created),
        "last_updated": time(device.last_updated),
        "last_used": device.last_used.map(time),
        "extra_description": description,
        "external_id": external,
    })
}

async fn own(call: Call) -> Result<Reply, ApiError> {
    let devices = device::confirmed_of_user(&call.app.site.db, call.user()?.id).await.map_err(store)?;
    Ok(Reply::ok(&devices.iter().map(shown).collect::<Vec<_>>()))
}

/// Devices of the user that the query names, as far as the caller may view them; without one, of nobody.
async fn of_user(call: Call) -> Result<Reply, ApiError> {
    let mut visible = Vec::new();
    for kind in DeviceKind::ALL {
        let Some(definition) = call.app.site.registry.find(kind.model()) else { continue };
        if let Some(seen) = call.visible(definition)? {
            visible.push((kind, seen));
        }
    }
    if visible.is_empty() {
        return Err(ApiError::forbidden());
    }
    let users: Vec<i64> = call.number("user")?.into_iter().collect();
    let mut devices = device::of_users(&call.app.site.db, &users).await.map_err(store)?;
    devices.retain(|device| {
        visible.iter().any(|(kind, seen)| {
            *kind == device.kind
                && match seen {
                    Visible::All => true,
                    Visible::Some { keys, .. } => keys.contains(&device.pk),
                }
        })
    });
    Ok(Reply::ok(&devices.iter().map(shown).collect::<Vec<_>>()))
}
