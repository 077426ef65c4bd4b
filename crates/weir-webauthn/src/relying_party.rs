//! The site, as browsers tell it apart from others.

use url::{Host, Url};

/// The site, as browsers tell it apart from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    /// Host without port.
    pub id: String,
    /// Scheme, host and, unless it is the scheme's own, port.
    pub origin: String,
}

impl RelyingParty {
    /// The relying party of an address like `https://id.example.org:9443`; none when that is no address of a site.
    pub fn of(base_url: &str) -> Option<Self> {
        let url = Url::parse(base_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        // An address in numbers is no valid id for browsers, but there must be one to refuse with.
        let id = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => format!("[{address}]"),
        };
        Some(Self { id, origin: url.origin().ascii_serialization() })
    }
}
