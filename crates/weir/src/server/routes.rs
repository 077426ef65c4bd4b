//! Operations that need crates the HTTP side does not know.

use std::sync::Arc;

use weir_flow::App;
use weir_http::{Route, flow};

/// The operations around flows, and those of stage kinds.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let mut routes = flow::routes(engine);
    routes.extend(weir_sources::routes(engine));
    routes.extend(weir_applications::routes(engine));
    routes.extend(weir_stages::routes(engine));
    routes
}
