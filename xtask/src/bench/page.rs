//! How much a browser fetches for the sign-in page.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::{PAGE, Results};
use crate::http::Client;
use crate::server::Server;

/// Fetches the page and everything it names, and adds up the bytes on the wire.
pub fn weigh(server: &Server, results: &mut Results) -> Result<()> {
    let mut browser = Client::new(server.address).with_compression();
    let compressed = browser.get("/if/flow/default-authentication-flow/")?;
    ensure!(compressed.status == 200, "the sign-in page: status {}", compressed.status);
    let mut bytes = compressed.body.len();
    let plain = Client::new(server.address).get("/if/flow/default-authentication-flow/")?;
    let assets = named_assets(&String::from_utf8_lossy(&plain.body));
    for path in &assets {
        let asset = browser.get(path)?;
        ensure!(asset.status == 200, "{path}: status {}", asset.status);
        bytes += asset.body.len();
    }
    results.insert(PAGE, format!("{}.{} KB ({} files)", bytes / 1000, bytes / 100 % 10, assets.len() + 1));
    Ok(())
}

/// The addresses of scripts, style sheets and pictures; links to other pages are not fetched by a browser.
fn named_assets(html: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for tag in html.split('<').filter(|tag| ["script", "link", "img"].iter().any(|name| tag.starts_with(name))) {
        for attribute in ["src=\"", "href=\""] {
            let value = tag.split_once(attribute).and_then(|(_, rest)| rest.split_once('"')).map(|(value, _)| value);
            if let Some(path) = value.filter(|path| path.starts_with('/')) {
                found.insert(path.replace("&amp;", "&").replace("&#x2f;", "/"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
