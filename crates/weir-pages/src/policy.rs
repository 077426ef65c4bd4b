//! The headers a page is sent with.

use crate::page::FlowPage;
use crate::urls::link_url;

/// The content policy of a page without special needs. `{nonce}` stands for the nonce of the brand's own style.
///
/// No inline script, no foreign script, no inline style but that one element.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; \
    img-src 'self' data: https:; font-src 'self' data:; connect-src 'self'{connections}; manifest-src 'self'; \
    form-action 'self'{forms}; frame-src {frames}; frame-ancestors 'self'; base-uri 'none'";

/// What a page needs beyond the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagePolicy<'a> {
    nonce: &'a str,
    /// Further sources of each directive, as they stand in the header.
    forms: &'static str,
    frames: &'static str,
    connections: &'static str,
}

/// Any site: the address comes from configuration, and browsers do not say beforehand where redirects lead.
const ANY: &str = " https: http:";

impl<'a> PagePolicy<'a> {
    /// An ordinary page: forms go to this site only, frames show nothing.
    ///
    /// The nonce must be fresh for each answer and of the base64 alphabet; any other character is left out.
    pub fn new(nonce: &'a str) -> Self {
        Self { nonce, forms: "", frames: "", connections: "" }
    }

    /// What the challenge of a flow page needs.
    ///
    /// Only the pages that post to an application may send forms elsewhere. Browsers apply `form-action` to every
    /// redirect after a form as well; therefore a step answered with `xak-flow-redirect` must be shown as a page (it
    /// refreshes at once) and not be turned into a redirect of the POST.
    pub fn for_flow(page: &FlowPage<'a>) -> Self {
        let component = page.component();
        let layout = page.layout();
        let own = Self::new(page.view.nonce);
        let special = match component {
            "ak-stage-autosubmit" | "ak-provider-saml-native-logout" => Self { forms: ANY, ..own },
            "ak-provider-iframe-logout" => Self { forms: ANY, frames: ANY, ..own },
            "xak-flow-frame" => Self { frames: ANY, ..own },
            "ak-source-telegram" => Self { frames: " https://oauth.telegram.org", ..own },
            "ak-source-plex" => Self { connections: " https://plex.tv", ..own },
            _ => own,
        };
        let framed_background = layout.ends_with("_frame_background") && !link_url(page.background()).is_empty();
        if framed_background { Self { frames: ANY, ..special } } else { special }
    }

    /// The content policy as header text.
    pub fn content_security_policy(&self) -> String {
        let nonce: String = self.nonce.chars().filter(|c| c.is_ascii_alphanumeric() || "+/=-_".contains(*c)).collect();
        let frames = if self.frames.is_empty() { "'none'".to_owned() } else { format!("'self'{}", self.frames) };
        CONTENT_SECURITY_POLICY
            .replace("{nonce}", &nonce)
            .replace("{forms}", self.forms)
            .replace("{frames}", &frames)
            .replace("{connections}", self.connections)
    }

    /// Every header of the page, its content type included.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        vec![
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("content-security-policy", self.content_security_policy()),
            ("x-frame-options", "SAMEORIGIN".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            // Addresses of flow pages can hold one-time tokens.
            ("referrer-policy", "same-origin".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("vary", "Cookie, Accept-Language".to_owned()),
        ]
    }
}
