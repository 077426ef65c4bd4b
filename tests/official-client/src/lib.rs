//! What the tests share: a configured client, unique names, and a browser-like client that keeps its cookies.

use anyhow::{Context, Result};
use authentik_client::apis::configuration::Configuration;

/// The client of an administrator, by API token.
///
/// # Errors
/// Fails when `WEIR_URL` or `WEIR_TOKEN` is not set.
pub fn administrator() -> Result<Configuration> {
    let token = std::env::var("WEIR_TOKEN").context("WEIR_TOKEN: an administrator's API token")?;
    Ok(Configuration { bearer_access_token: Some(token), ..visitor()? })
}

/// A browser-like client: nobody is signed in, cookies are kept, redirects are followed.
///
/// # Errors
/// Fails when `WEIR_URL` is not set.
pub fn visitor() -> Result<Configuration> {
    let url = std::env::var("WEIR_URL").context("WEIR_URL: the address of a running server")?;
    let http = reqwest::Client::builder().cookie_store(true).build()?;
    Ok(Configuration {
        base_path: format!("{}/api/v3", url.trim_end_matches('/')),
        client: reqwest_middleware::ClientBuilder::new(http).build(),
        ..Configuration::default()
    })
}

/// A name nothing else has, so that tests may run side by side and again on the same server.
#[must_use]
pub fn unique(stem: &str) -> String {
    format!("{stem}-{}", uuid::Uuid::new_v4().simple())
}
