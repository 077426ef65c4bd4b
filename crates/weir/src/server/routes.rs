//! Operations that need crates the HTTP side does not know.

use std::sync::Arc;

use weir_http::{Route, flow};

use super::Core;

/// The operations around flows, and those of stage kinds.
pub fn routes(core: &Core) -> Vec<Route> {
    let engine: &Arc<_> = &core.engine;
    let mut routes = flow::routes(engine);
    routes.extend(weir_sources::routes(engine));
    routes.extend(weir_applications::routes(engine));
    routes.extend(weir_audit::routes(engine));
    routes.extend(weir_stages::routes(engine));
    routes.extend(weir_sync::routes(&core.sync));
    routes.extend(weir_sync::routes::own_routes(&core.sync));
    routes
}
