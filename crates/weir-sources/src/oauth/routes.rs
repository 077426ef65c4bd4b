//! Operations of OAuth sources beyond the seven.

use super::providers::{PROVIDERS, ProviderType};
use serde_json::Value;
use weir_core::ApiError;
use weir_http::{Access, Call, Reply, Route};

/// The kinds of providers.
pub fn routes() -> Vec<Route> {
    vec![Route::new("sources_oauth_source_types_list", Access::SignedIn, types)]
}

/// All providers, or the named one; an unknown name gives the general kind.
async fn types(call: Call) -> Result<Reply, ApiError> {
    let shown: Vec<Value> = match call.request.parameter("name").filter(|name| !name.is_empty()) {
        Some(name) => {
            let found = PROVIDERS.iter().find(|provider| provider.name == name);
            vec![found.unwrap_or_else(|| ProviderType::OpenIdConnect.facts()).to_value()]
        }
        None => PROVIDERS.iter().map(|provider| provider.to_value()).collect(),
    };
    Ok(Reply::ok(&shown))
}
