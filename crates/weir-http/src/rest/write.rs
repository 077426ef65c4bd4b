//! Create, update, delete.

use super::{load, owns, show_one};
use crate::{Call, Reply};
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Map, Reach, Resource as _, ResourceType, validate::Mode};
use weir_identity::{User, accounts, initial};
use weir_resource::{Stored, Unit};

/// Kinds that anybody may create for themselves; the owner is then forced.
const OPEN_CREATE: [&str; 2] = ["authentik_core.token", "authentik_sources_oauth.useroauthsourceconnection"];

pub(super) async fn create(mut call: Call, kind: &'static ResourceType) -> Result<Reply, ApiError> {
    let permitted = call.grants.may(&kind.permission("add"), None);
    let open = OPEN_CREATE.contains(&kind.model) && call.grants.active;
    if !permitted && !open {
        return Err(ApiError::forbidden());
    }
    // The owner is settled by the kind's hooks.
    let mut body = call.object().await?;
    look_outside(&call, kind, None, &mut body).await?;
    let stored = create_object(&call, kind, &body).await?;
    Ok(Reply::created(&show_one(&call, &stored).await?))
}

/// Creates an object on behalf of the caller, with what comes with new objects.
///
/// # Errors
/// As [`Unit::create`].
async fn create_object(call: &Call, kind: &'static ResourceType, body: &Map) -> Result<Stored, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    let pk = body.get(kind.pk).filter(|_| kind.key_is_chosen).map(chosen_key).transpose()?;
    let stored = unit.create(kind, body, pk).await?;
    initial::apply(&mut unit, &stored).await?;
    still_allowed(call, &mut unit, kind).await?;
    unit.commit().await?;
    Ok(stored)
}

/// Refuses what somebody asked for who was locked down while it was done. Users may change and delete themselves; their
/// hooks look before they do. Whoever acts in another's name may do so for an account that is not active.
async fn still_allowed(call: &Call, unit: &mut Unit<'_>, kind: &'static ResourceType) -> Result<(), ApiError> {
    if kind.model == User::MODEL || call.caller.original.is_some() {
        return Ok(());
    }
    accounts::check_actor(unit).await
}

/// The key that a client chose for a new object.
fn chosen_key(value: &Value) -> Result<String, ApiError> {
    let key = value.as_str().and_then(|text| Uuid::parse_str(text).ok());
    key.map(|key| key.to_string()).ok_or_else(|| ApiError::field("pk", "Must be a valid UUID."))
}

/// What needs other servers happens before the transaction.
async fn look_outside(
    call: &Call,
    kind: &'static ResourceType,
    old: Option<&Stored>,
    body: &mut Map,
) -> Result<(), ApiError> {
    for hooks in call.app.site.hooks.of(kind.model) {
        hooks.before(&call.app.site, old, body).await?;
    }
    Ok(())
}

pub(super) async fn update(call: Call, kind: &'static ResourceType) -> Result<Reply, ApiError> {
    change(call, kind, Mode::Replace).await
}

pub(super) async fn partial_update(call: Call, kind: &'static ResourceType) -> Result<Reply, ApiError> {
    change(call, kind, Mode::Patch).await
}

async fn change(mut call: Call, kind: &'static ResourceType, mode: Mode) -> Result<Reply, ApiError> {
    let app = std::sync::Arc::clone(&call.app);
    let mut unit = Unit::new(&app.site, call.actor());
    let object = load(&call, &mut unit, kind).await?;
    allow(&call, &object, "change")?;
    let mut body = call.object().await?;
    if kind.key_is_chosen
        && let Some(key) = body.get(kind.pk)
    {
        // The path says which object is meant; the body must only make sense.
        chosen_key(key)?;
    }
    look_outside(&call, kind, Some(&object), &mut body).await?;
    let stored = unit.update(kind, &object.pk, &body, mode).await?;
    still_allowed(&call, &mut unit, kind).await?;
    unit.commit().await?;
    Ok(Reply::ok(&show_one(&call, &stored).await?))
}

pub(super) async fn destroy(call: Call, kind: &'static ResourceType) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    let object = load(&call, &mut unit, kind).await?;
    allow(&call, &object, "delete")?;
    unit.delete(kind, &object.pk).await?;
    still_allowed(&call, &mut unit, kind).await?;
    unit.commit().await?;
    Ok(Reply::none())
}

/// Refuses who may see an object but not do this with it.
pub(crate) fn allow(call: &Call, object: &Stored, action: &str) -> Result<(), ApiError> {
    let granted = call.grants.may(&object.kind.permission(action), Some(&object.pk));
    let owned = owns(call.user()?.id, object);
    let permitted = match object.kind.reach {
        Reach::Granted => granted || owned,
        Reach::Own => owned,
        Reach::Permitted => granted,
    };
    if permitted { Ok(()) } else { Err(ApiError::forbidden()) }
}
