//! List, retrieve, `used_by`.

use super::{load, page, show_one};
use crate::{Call, Reply};
use weir_core::{ApiError, ResourceType};
use weir_resource::{Page, Stored, Unit, used_by as referring};

pub(super) async fn list(call: Call, kind: &'static ResourceType) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    let found = match call.visible(kind)? {
        Some(visible) => unit.list(kind, &call.list_query(), &visible).await?,
        // Outposts look into many lists and expect to find nothing where they have no business.
        None if call.grants.is_outpost => Page { rows: Vec::new(), count: 0, current: 1, size: 1 },
        None => return Err(ApiError::forbidden()),
    };
    page(&call, &unit, found).await
}

pub(super) async fn retrieve(call: Call, kind: &'static ResourceType) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    let object = load(&call, &mut unit, kind).await?;
    Ok(Reply::ok(&show_one(&call, &object).await?))
}

pub(super) async fn used_by(call: Call, kind: &'static ResourceType) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    let object = load(&call, &mut unit, kind).await?;
    Ok(referring_to(&call, &unit, &object))
}

/// What refers to an object, as far as the caller may view it.
pub(crate) fn referring_to(call: &Call, unit: &Unit<'_>, object: &Stored) -> Reply {
    let mut found = referring(&unit.snapshot, object);
    found.retain(|by| {
        let kind = call.app.site.registry.find(&format!("{}.{}", by.app, by.model_name));
        kind.is_some_and(|kind| call.grants.may(&kind.permission("view"), Some(&by.pk)))
    });
    Reply::ok(&found)
}
