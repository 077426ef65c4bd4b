//! Sources that speak OAuth 2 or OpenID Connect.

mod apple;
mod callback;
pub mod client;
mod config;
pub mod discovery;
mod hooks;
pub mod id_token;
mod login;
pub mod profile;
pub mod providers;
mod refresh;
mod routes;
pub mod state;
#[cfg(test)]
mod tests;

pub use config::{AuthMethod, OAuthSource, Pkce};
pub use hooks::OAuthHooks;
pub use refresh::refresh;
pub use routes::routes;

use discovery::Discovery;
use serde_json::Value;
use std::sync::Arc;
use weir_flow::{App, sources::SourceKind};
use weir_http::flow::PageRoute;
use weir_resource::Object;

/// What the process shares about OAuth sources.
#[derive(Default)]
pub struct OAuthSources {
    /// Descriptions and keys of providers.
    pub discovery: Discovery,
}

/// The pages a browser passes.
pub fn pages(sources: &Arc<OAuthSources>) -> Vec<PageRoute> {
    let (begin, arrive) = (Arc::clone(sources), Arc::clone(sources));
    vec![
        PageRoute::new("/source/oauth/login/{slug}/", move |call| login::begin(Arc::clone(&begin), call)),
        PageRoute::new("/source/oauth/callback/{slug}/", move |call| callback::arrive(Arc::clone(&arrive), call)),
    ]
}

/// The kind, as the engine sees it.
pub struct OAuth;

impl SourceKind for OAuth {
    fn login(&self, app: &App, source: &Object) -> Option<Value> {
        let to = format!("{}/source/oauth/login/{}/", app.prefix, source.text("slug"));
        Some(weir_flow::challenge::redirect(&to, false))
    }
}
