//! The headers a page is sent with.

use crate::page::FlowPage;
use crate::urls::link_url;

/// The content policy of a page without special needs. `{nonce}` stands for the nonce of the brand's own style.
///
/// No inline script, no foreign script, no inline style but that one element.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; \
    img-src 'self' data: https:; font-src 'self' data:; connect-src 'self'; manifest-src 'self'; \
    form-action {forms}; frame-src {frames}; frame-ancestors 'self'; base-uri 'none'";

/// What a page needs beyond the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagePolicy<'a> {
    nonce: &'a str,
    foreign_forms: bool,
    foreign_frames: bool,
}

impl<'a> PagePolicy<'a> {
    /// An ordinary page: forms go to this site only, frames show nothing.
    ///
    /// The nonce must be fresh for each answer and of the base64 alphabet; any other character is left out.
    pub fn new(nonce: &'a str) -> Self {
        Self { nonce, foreign_forms: false, foreign_frames: false }
    }

    /// What the challenge of a flow page needs.
    ///
    /// Only the page that posts to a provider may send forms elsewhere. Browsers apply `form-action` to every
    /// redirect after a form as well; therefore a step answered with `xak-flow-redirect` must be shown as a page (it
    /// refreshes at once) and not be turned into a redirect of the POST.
    pub fn for_flow(page: &FlowPage<'a>) -> Self {
        let component = page.component();
        let layout = page.layout();
        Self {
            nonce: page.view.nonce,
            foreign_forms: component == "ak-stage-autosubmit",
            foreign_frames: component == "xak-flow-frame"
                || layout.ends_with("_frame_background") && !link_url(page.background()).is_empty(),
        }
    }

    /// The content policy as header text.
    pub fn content_security_policy(&self) -> String {
        let nonce: String = self.nonce.chars().filter(|c| c.is_ascii_alphanumeric() || "+/=-_".contains(*c)).collect();
        let forms = if self.foreign_forms { "'self' https: http:" } else { "'self'" };
        let frames = if self.foreign_frames { "'self' https: http:" } else { "'none'" };
        CONTENT_SECURITY_POLICY.replace("{nonce}", &nonce).replace("{forms}", forms).replace("{frames}", frames)
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
