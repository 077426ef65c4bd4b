//! Second factors of users ("devices"): one table and one file for each kind, and what all kinds have in common.
//!
//! * [`DeviceKind`]: the kinds, their names on the wire and their tables.
//! * [`DeviceRow`]: the columns that every table has; [`confirmed_of_user`] and other look-ups over all kinds.
//! * [`Throttle`]: after wrong answers a device refuses everything for a while.
//! * [`new_code`], [`begin_code`], [`set_code`], [`take_code`]: codes that travel to the person (mail, SMS).
//! * a module for each kind: its definition for the API, `create`, and what the kind alone can do.
//!
//! `create` goes through the audited write path; the device is confirmed then, because its owner has just shown that it
//! works. To judge an answer: [`lock`] the device, ask [`Throttle::is_closed`], then [`fail`] or [`succeed`]; whatever
//! proves something once is consumed by one conditional statement of the kind. Unconfirmed devices prove nothing.

mod code;
pub mod duo;
pub mod email;
pub mod endpoint;
mod hooks;
mod kind;
mod row;
pub mod sms;
pub mod static_codes;
mod throttle;
pub mod totp;
pub mod webauthn;

pub use code::{begin_code, forget_code, new_code, set_code, take_code};
pub use duo::DuoDevice;
pub use email::EmailDevice;
pub use endpoint::EndpointDevice;
pub use kind::DeviceKind;
pub use row::{DeviceRow, confirmed_of_user, find, has_confirmed, of_users, touch};
pub use sms::SmsDevice;
pub use static_codes::StaticDevice;
pub use throttle::{Throttle, fail, lock, succeed};
pub use totp::TotpDevice;
pub use webauthn::WebAuthnDevice;

use crate::accounts;
use hooks::DeviceHooks;
use std::sync::Arc;
use weir_core::{ApiError, Map, Operations, Reach, ResourceType, TableDef, View};
use weir_resource::{HookSet, Stored, Unit, store};
use weir_store::{StoreError, Val};

/// Operations on the devices of all users, for administrators.
const ADMIN: Operations = Operations { create: true, update: true, destroy: true, used_by: false };

/// The collection of one's own devices. Those whose owner has not shown that they work are nobody's business.
const fn own(path: &'static str, can_change: bool) -> View {
    View {
        path,
        reach: Reach::Own,
        operations: Operations { create: false, update: can_change, destroy: can_change, used_by: true },
        only: "confirmed = TRUE",
    }
}

/// Where a kind is kept. Endpoints are known by UUIDs, all others by numbers.
const fn table(kind: DeviceKind) -> TableDef {
    let pk_is_int = !matches!(kind, DeviceKind::Endpoint);
    TableDef { table: kind.table(), pk: "id", pk_is_int, links: &[], only: "", search_index: "" }
}

/// The definitions of all kinds.
pub fn resources() -> Vec<ResourceType> {
    vec![
        ResourceType::of::<DuoDevice>(),
        ResourceType::of::<EmailDevice>(),
        ResourceType::of::<EndpointDevice>(),
        ResourceType::of::<SmsDevice>(),
        ResourceType::of::<StaticDevice>(),
        ResourceType::of::<TotpDevice>(),
        ResourceType::of::<WebAuthnDevice>(),
    ]
}

/// Their special behaviour.
pub fn hooks(set: &mut HookSet) {
    for kind in DeviceKind::ALL {
        set.add(kind.model(), Arc::new(DeviceHooks(kind)));
    }
    set.add(DeviceKind::Static.model(), Arc::new(static_codes::StaticHooks));
    set.add(DeviceKind::WebAuthn.model(), Arc::new(webauthn::WebAuthnHooks));
}

/// Makes a confirmed device with these fields and columns. Its owner's row is taken first: a device set up beside
/// a lockdown is there before it, or not at all when its owner acts.
async fn insert(
    unit: &mut Unit<'_>,
    kind: DeviceKind,
    (user_id, name): (i64, &str),
    mut fields: Map,
    mut columns: Vec<(&'static str, Val)>,
) -> Result<Stored, ApiError> {
    let found = unit.site.registry.find(kind.model());
    let definition = found.ok_or_else(|| anyhow::anyhow!("{} is not registered", kind.model()))?;
    accounts::lock_for(unit, user_id).await?;
    fields.insert("name".to_owned(), name.into());
    fields.insert("user".to_owned(), user_id.into());
    columns.push(("confirmed", true.into()));
    unit.make(definition, fields, columns).await
}

async fn read(unit: &mut Unit<'_>, kind: DeviceKind, made: &Stored) -> Result<DeviceRow, ApiError> {
    let row = find(&mut unit.tx, kind, &made.pk).await.map_err(store)?;
    Ok(row.ok_or_else(|| anyhow::anyhow!("a device is gone as soon as it was made"))?)
}

/// The device as all others read it.
async fn create(
    unit: &mut Unit<'_>,
    kind: DeviceKind,
    owner: (i64, &str),
    fields: Map,
    columns: Vec<(&'static str, Val)>,
) -> Result<DeviceRow, ApiError> {
    let made = insert(unit, kind, owner, fields, columns).await?;
    read(unit, kind, &made).await
}

/// The same, of something that can be set up once only, such as a number that a stage knows: `once` are its columns,
/// `known` is said when another request was first.
async fn create_once(
    unit: &mut Unit<'_>,
    kind: DeviceKind,
    owner: (i64, &str),
    (fields, columns): (Map, Vec<(&'static str, Val)>),
    once: Vec<(&'static str, Val)>,
    known: impl FnOnce() -> ApiError,
) -> Result<DeviceRow, ApiError> {
    let made = insert(unit, kind, owner, fields, columns).await?;
    // Apart from the rest, so that a conflict is known to be about this.
    let sets: Vec<String> = once.iter().enumerate().map(|(i, (column, _))| format!("{column} = ${}", i + 2)).collect();
    let sql = format!("UPDATE {} SET {} WHERE id = $1", kind.table(), sets.join(", "));
    let mut vals = vec![Val::from(made.int_pk())];
    vals.extend(once.into_iter().map(|(_, val)| val));
    unit.tx.write(&sql, &vals).await.map_err(|error| match error {
        StoreError::Conflict { .. } => known(),
        other => store(other),
    })?;
    read(unit, kind, &made).await
}
