//! The HTTP side of Weir: connections and their limits, callers, the REST interface, error rendering.
//!
//! A request goes [`edge`] (id, client address, panics, metrics) → [`api`] (find the operation, resolve the caller,
//! check CSRF, then the operation's own permission rule) → a handler: generic ones over resource definitions in [`rest`],
//! the others one file per area in [`routes`]. No handler is reachable without a rule ([`Access`]), and the order is
//! always authenticate, authorize, load, validate, act. Must not hold rules about objects: those
//! live with their definitions and hooks.
//!
//! Start at [`router`].

pub mod api;
mod bindings;
pub mod body;
pub mod call;
pub mod caller;
mod client_certificate;
pub mod config;
pub mod csrf;
pub mod edge;
pub mod error;
pub mod flow;
pub mod health;
pub mod openapi;
pub mod reply;
pub mod request;
pub mod rest;
mod routes;
pub mod server;
pub mod session;
pub mod state;
#[cfg(test)]
mod tests;
pub mod tls;

pub use api::{Access, Api, Route};
pub use call::{Call, parse};
pub use caller::{Caller, Via};
pub use config::HttpConfig;
pub use reply::Reply;
pub use request::Incoming;
pub use rest::show;
pub use routes::{
    events::{ACTIONS, hooks, resources},
    families::keep_shared,
    root::client_config,
};
pub use server::{Listener, serve};
pub use state::{AppParts, AppState};
pub use tls::{Secured, Tls};

use axum::{Router, routing::get};
use std::sync::Arc;

/// The interface without pages.
pub fn router(app: &Arc<AppState>) -> Router {
    router_with(app, Router::new().fallback(get(error::no_page)))
}

/// Everything that is served; `pages` brings the fallback.
pub fn router_with(app: &Arc<AppState>, pages: Router) -> Router {
    let parts: [Router; 2] = [health::router(app), api::router(app)];
    edge::wrap(app, parts.into_iter().fold(pages, Router::merge))
}
