//! The brand of the request's host.

use crate::{Access, Call, Reply, Route};
use weir_core::ApiError;
use weir_identity::current_brand;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new("core_brands_current_retrieve", Access::Public, current)]
}

async fn current(call: Call) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&current_brand(&call.app.site, &call.snapshot, &call.request.host)))
}
