//! The seven operations of every resource type, over its definition.
//!
//! Who has no right on a kind at all gets 403; an object the caller may not see answers like
//! one that does not exist; a visible one that may not be changed answers 403.

pub(crate) mod read;
pub(crate) mod write;

use crate::{Access, Call, Reply, Route};
use anyhow::{Context as _, Result};
use serde_json::Value;
use weir_contract::Method;
use weir_core::{ApiError, Map, ResourceType};
use weir_resource::{Presenting, Stored, Unit, Visible, present};

/// The operations of a kind, as far as it has them.
///
/// # Errors
/// When the contract has no such operation.
pub fn routes(kind: &'static ResourceType) -> Result<Vec<Route>> {
    let collection = format!("/{}/", kind.path);
    let item = format!("{collection}{{{}}}/", kind.param);
    let used_by = format!("{item}used_by/");
    let access = Access::ByKind;
    let mut routes = vec![
        Route::new(id(&collection, Method::Get)?, access, move |call| read::list(call, kind)),
        Route::new(id(&item, Method::Get)?, access, move |call| read::retrieve(call, kind)),
    ];
    if kind.operations.create {
        routes.push(Route::new(id(&collection, Method::Post)?, access, move |call| write::create(call, kind)));
    }
    if kind.operations.update {
        routes.push(Route::new(id(&item, Method::Put)?, access, move |call| write::update(call, kind)));
        routes.push(Route::new(id(&item, Method::Patch)?, access, move |call| write::partial_update(call, kind)));
    }
    if kind.operations.destroy {
        routes.push(Route::new(id(&item, Method::Delete)?, access, move |call| write::destroy(call, kind)));
    }
    if kind.operations.used_by {
        routes.push(Route::new(id(&used_by, Method::Get)?, access, move |call| read::used_by(call, kind)));
    }
    Ok(routes)
}

fn id(path: &str, method: Method) -> Result<&'static str> {
    let found = weir_contract::operations().iter().find(|o| o.method == method && o.path == path);
    found.map(|o| o.id).with_context(|| format!("the contract has no {} {path}", method.name()))
}

/// Whether an object is among those the caller sees.
pub fn sees(visible: &Visible, object: &Stored) -> bool {
    match visible {
        Visible::All => true,
        Visible::Some { owner, keys } => keys.contains(&object.pk) || owns(*owner, object),
    }
}

/// Whether a user owns an object.
pub fn owns(user: i64, object: &Stored) -> bool {
    let owner = object.kind.owner.and_then(|field| object.doc.get(field)).and_then(Value::as_i64);
    owner == Some(user)
}

/// The object of a kind that the first path parameter names, if the caller sees it.
pub(crate) async fn load(call: &Call, unit: &mut Unit<'_>, kind: &'static ResourceType) -> Result<Stored, ApiError> {
    let visible = call.visible(kind)?.ok_or_else(ApiError::forbidden)?;
    let found = unit.look_up(kind, call.param(0)).await?.filter(|object| sees(&visible, object));
    found.ok_or_else(|| crate::error::no_object(kind.verbose_name))
}

/// Answers for objects.
///
/// # Errors
/// Those of the kinds' hooks.
pub async fn show(call: &Call, unit: &Unit<'_>, rows: &[Stored]) -> Result<Vec<Map>, ApiError> {
    let base_url = call.request.base_url();
    let cx: Presenting<'_> = call.presenting(&unit.snapshot, &base_url);
    present(&cx, rows).await
}

/// The answer for one object as it is after the unit was committed.
pub(crate) async fn show_one(call: &Call, row: &Stored) -> Result<Value, ApiError> {
    let app = std::sync::Arc::clone(&call.app);
    // A new unit: the committed state, with the configuration that the write produced.
    let unit = Unit::new(&app.site, call.actor());
    let shown = show(call, &unit, std::slice::from_ref(row)).await?;
    Ok(shown.into_iter().next().map_or(Value::Null, Value::Object))
}

/// The answer of a list.
pub(crate) async fn page(call: &Call, unit: &Unit<'_>, page: weir_resource::Page) -> Result<Reply, ApiError> {
    let results = show(call, unit, &page.rows).await?;
    Ok(Reply::ok(&page.body(results)))
}
