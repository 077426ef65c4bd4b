//! Flows over HTTP: the executor's API, the pages of a flow, and the small addresses around them.
//! Everything that happens in a flow happens in `weir-flow`; here a request becomes its input and its reply an answer.

mod api;
mod assets;
mod dry_run;
mod executor;
mod form;
mod links;
mod other;
mod page;
mod setup;
mod shell;
mod turns;
mod visit;

pub use links::Links;
pub use other::{PageCall, PageReply, PageRoute};
pub use setup::{SETUP_DONE, SETUP_TOKEN_DIGEST};
pub use turns::Turns;
pub use visit::Visit;

use crate::{AppState, Route};
use axum::{Router, routing::any};
use std::sync::Arc;
use weir_flow::App;
use weir_pages::Pages;

/// What the pages of flows need.
pub struct FlowHttp {
    /// The HTTP side.
    pub state: Arc<AppState>,
    /// The engine.
    pub engine: Arc<App>,
    /// The page templates.
    pub pages: Pages,
}

/// The operations of the contract that concern flows.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let mut routes = executor::routes(engine);
    routes.extend(api::routes(engine));
    routes.extend(dry_run::routes(engine));
    routes
}

/// The pages, with those that other crates bring.
pub fn router(flows: &Arc<FlowHttp>, pages: Vec<PageRoute>) -> Router {
    other::add(Router::new(), pages)
        .route("/", any(shell::root))
        .route("/setup", any(setup::first_run))
        .route("/setup/", any(setup::first_run))
        .route("/if/flow/{slug}/", any(page::flow))
        .route("/if/user/", any(shell::user))
        .route("/if/admin/", any(shell::admin))
        .route("/flows/-/default/{designation}/", any(shell::default_flow))
        .route("/flows/-/cancel/", any(shell::cancel))
        .route("/flows/-/configure/{stage}/", any(shell::configure))
        .route("/static/{*path}", any(assets::asset))
        .fallback(shell::not_found)
        .with_state(Arc::clone(flows))
}
