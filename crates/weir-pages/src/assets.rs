//! Files the pages need, embedded in the binary.

use std::io::Write as _;
use std::sync::LazyLock;

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

/// One embedded file.
#[derive(Debug)]
pub struct Asset {
    /// Address on the site, starting with `/static/dist/`.
    pub path: &'static str,
    /// Value of the `Content-Type` header.
    pub content_type: &'static str,
    /// The file.
    pub bytes: &'static [u8],
    /// The file compressed with gzip, when that is worth it.
    pub gzip: Option<Vec<u8>>,
    /// Value of the `ETag` header, quotes included. The version in `?v=` is the same text without them.
    pub etag: String,
}

impl Asset {
    /// The address with its version, for use in pages: may be cached for ever.
    pub fn versioned(&self) -> String {
        format!("{}?v={}", self.path, self.etag.trim_matches('"'))
    }
}

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const FILES: &[(&str, &str, &[u8])] = &[
    ("/static/dist/flow/agent.js", JS, include_bytes!("../../../web/flow/src/agent.js")),
    ("/static/dist/flow/captcha.js", JS, include_bytes!("../../../web/flow/src/captcha.js")),
    ("/static/dist/flow/duo.js", JS, include_bytes!("../../../web/flow/src/duo.js")),
    ("/static/dist/flow/flow.css", CSS, include_bytes!("../../../web/flow/src/flow.css")),
    ("/static/dist/flow/flow.js", JS, include_bytes!("../../../web/flow/src/flow.js")),
    ("/static/dist/flow/logout.js", JS, include_bytes!("../../../web/flow/src/logout.js")),
    ("/static/dist/flow/plex.js", JS, include_bytes!("../../../web/flow/src/plex.js")),
    ("/static/dist/flow/telegram.js", JS, include_bytes!("../../../web/flow/src/telegram.js")),
    ("/static/dist/flow/passkey.js", JS, include_bytes!("../../../web/flow/src/passkey.js")),
    ("/static/dist/flow/proof-of-work.js", JS, include_bytes!("../../../web/flow/src/proof-of-work.js")),
    ("/static/dist/flow/lines.svg", SVG, include_bytes!("../../../web/flow/assets/lines.svg")),
    ("/static/dist/assets/icons/icon.svg", SVG, include_bytes!("../../../web/flow/assets/icon.svg")),
    ("/static/dist/assets/icons/icon.png", "image/png", include_bytes!("../../../web/flow/assets/icon.png")),
    (
        "/static/dist/assets/icons/icon_left_brand.svg",
        SVG,
        include_bytes!("../../../web/flow/assets/icon_left_brand.svg"),
    ),
    (
        "/static/dist/assets/icons/icon_left_brand.png",
        "image/png",
        include_bytes!("../../../web/flow/assets/icon_left_brand.png"),
    ),
    (
        "/static/dist/assets/images/flow_background.jpg",
        "image/jpeg",
        include_bytes!("../../../web/flow/assets/flow_background.jpg"),
    ),
    (
        "/static/dist/assets/images/user_default.png",
        "image/png",
        include_bytes!("../../../web/flow/assets/user_default.png"),
    ),
];

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| FILES.iter().map(|file| embed(*file)).collect());

/// Every embedded file.
pub fn assets() -> &'static [Asset] {
    &ASSETS
}

/// The file at an address.
pub fn find_asset(path: &str) -> Option<&'static Asset> {
    assets().iter().find(|asset| asset.path == path)
}

/// Compresses as the assets are compressed; also what the size budget of a page is measured with.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail; an empty answer would only mean "not compressed".
    if encoder.write_all(bytes).is_err() {
        return Vec::new();
    }
    encoder.finish().unwrap_or_default()
}

fn embed((path, content_type, bytes): (&'static str, &'static str, &'static [u8])) -> Asset {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let gzip = Some(gzip(bytes)).filter(|small| !small.is_empty() && small.len() * 10 < bytes.len() * 9);
    Asset { path, content_type, bytes, gzip, etag: format!("\"{hex}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_the_default_brand_exist() {
        for path in [
            "/static/dist/assets/icons/icon_left_brand.svg",
            "/static/dist/assets/icons/icon.png",
            "/static/dist/assets/images/flow_background.jpg",
        ] {
            assert!(!find_asset(path).expect(path).bytes.is_empty());
        }
        assert!(find_asset("/static/dist/../secret").is_none());
    }

    #[test]
    fn text_is_compressed_and_pictures_are_what_they_say() {
        for asset in assets() {
            match asset.content_type {
                "image/png" => assert!(asset.bytes.starts_with(b"\x89PNG"), "{}", asset.path),
                "image/jpeg" => assert!(asset.bytes.starts_with(&[0xff, 0xd8]), "{}", asset.path),
                _ => assert!(asset.gzip.as_ref().is_some_and(|g| g.len() < asset.bytes.len()), "{}", asset.path),
            }
        }
    }

    #[test]
    fn scripts_and_styles_name_no_other_site() {
        for asset in assets().iter().filter(|a| a.content_type.starts_with("text/")) {
            let text = std::str::from_utf8(asset.bytes).expect("text");
            assert!(
                !text.contains("http://") && !text.contains("https://") && !text.contains("@import"),
                "{}",
                asset.path
            );
        }
    }
}
