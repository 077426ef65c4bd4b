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
    referring_to(&call, &mut unit, &object).await
}

/// What refers to an object, as far as the caller may view it.
pub(crate) async fn referring_to(call: &Call, unit: &mut Unit<'_>, object: &Stored) -> Result<Reply, ApiError> {
    let mut found = referring(&unit.snapshot, object);
    for hooks in call.app.site.hooks.of(object.kind.model) {
        found.extend(hooks.used_by(unit, object).await?);
    }
    found.retain(|by| {
        let kind = call.app.site.registry.find(&format!("{}.{}", by.app, by.model_name));
        kind.is_some_and(|kind| call.grants.may(&kind.permission("view"), Some(&by.pk)))
    });
    Ok(Reply::ok(&found))
}
