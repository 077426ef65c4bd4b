//! What stages share when they call services on the network.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Serialize;
use std::time::Duration;
use url::Url;
use weir_flow::StageCx;
use weir_identity::brand::Brand;
use weir_policy::outbound::OutboundRequest;

/// Whether a page may load something from there: http, https, or a path of this site.
pub fn is_page_address(raw: &str) -> bool {
    is_web_address(raw) || is_clean(raw) && raw.starts_with('/') && !raw.starts_with("//")
}

/// Whether this is an absolute http or https address.
pub fn is_web_address(raw: &str) -> bool {
    is_clean(raw) && Url::parse(raw).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

/// Browsers drop or turn some characters before they read an address; we refuse them instead.
fn is_clean(raw: &str) -> bool {
    !raw.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\')
}

fn post(url: &str, content_type: &'static str, body: Vec<u8>) -> Result<OutboundRequest, String> {
    let url = Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    // A redirect would carry the secrets of the body elsewhere, or lose it.
    Ok(OutboundRequest { method: Method::POST, url, headers, body: Some(body), timeout: None, follow_redirects: false })
}

/// A POST of a form.
///
/// # Errors
/// When the address is none.
pub fn form(url: &str, fields: &[(&str, &str)]) -> Result<OutboundRequest, String> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    post(url, "application/x-www-form-urlencoded", body.into_bytes())
}

/// A POST of JSON.
///
/// # Errors
/// When the address is none.
pub fn json(url: &str, body: &impl Serialize) -> Result<OutboundRequest, String> {
    let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    post(url, "application/json", body)
}

/// The same call with less time.
pub fn within(request: OutboundRequest, time: Duration) -> OutboundRequest {
    OutboundRequest { timeout: Some(time), ..request }
}

/// The same call with a name and a password.
pub fn with_basic(request: OutboundRequest, name: &str, password: &str) -> OutboundRequest {
    let pair = STANDARD.encode(format!("{name}:{password}"));
    match HeaderValue::from_str(&format!("Basic {pair}")) {
        Ok(value) => with_authorization(request, value),
        // Base64 can always stand in a header.
        Err(_) => request,
    }
}

/// The same call with a token.
///
/// # Errors
/// When the token cannot stand in a header.
pub fn with_bearer(request: OutboundRequest, token: &str) -> Result<OutboundRequest, String> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let value = value.map_err(|_| "The token cannot be sent in a header.".to_owned())?;
    Ok(with_authorization(request, value))
}

fn with_authorization(mut request: OutboundRequest, mut value: HeaderValue) -> OutboundRequest {
    value.set_sensitive(true);
    request.headers.insert(header::AUTHORIZATION, value);
    request
}

/// The name by which people know this site.
pub fn brand_title(cx: &StageCx<'_>) -> String {
    let brand = cx.request.brand.and_then(|id| cx.unit.snapshot.get::<Brand>(id));
    brand.map_or_else(|| Brand::of_domain("").branding_title, |brand| brand.branding_title.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_web_addresses_or_paths_of_this_site() {
        for good in ["https://example.org/x.js?a=b", "http://127.0.0.1:1/", "HTTPS://example.org"] {
            assert!(is_web_address(good) && is_page_address(good), "{good}");
        }
        assert!(is_page_address("/static/x.js") && !is_web_address("/static/x.js"));
        for bad in [
            "",
            "x.js",
            "//evil.example/x.js",
            "/\\evil.example",
            "javascript:alert(1)",
            "data:text/javascript,1",
            " https://a.b",
            "https://a.b/\n",
            "https:",
            "ftp://a.b",
        ] {
            assert!(!is_page_address(bad), "{bad:?}");
        }
    }
}
