//! The headers a page is sent with.

use url::Url;

use crate::page::FlowPage;
use crate::text_at;
use crate::urls::link_url;

/// The content policy of a page without special needs. `{nonce}` stands for the nonce of the brand's own style.
///
/// No inline script, no inline style but that one element, no foreign script. `{widget}` stands for the sources of a
/// captcha's script, on the one page that shows it.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'{widget}; \
    style-src 'self' 'nonce-{nonce}'{widget}; img-src 'self' data: https:; font-src 'self' data:; \
    connect-src 'self'{connections}{widget}; manifest-src 'self'; \
    form-action 'self'{forms}; frame-src {frames}; frame-ancestors 'self'; base-uri 'none'";

/// What a page needs beyond the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagePolicy<'a> {
    nonce: &'a str,
    /// Further sources of each directive, as they stand in the header.
    forms: &'static str,
    frames: &'static str,
    connections: &'static str,
    /// Address of the script of a captcha's provider.
    widget: &'a str,
}

/// Any site: the address comes from configuration, and browsers do not say beforehand where redirects lead.
const ANY: &str = " https: http:";

impl<'a> PagePolicy<'a> {
    /// An ordinary page: forms go to this site only, frames show nothing.
    ///
    /// The nonce must be fresh for each answer and of the base64 alphabet; any other character is left out.
    pub fn new(nonce: &'a str) -> Self {
        Self { nonce, forms: "", frames: "", connections: "", widget: "" }
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
            "ak-stage-captcha" => Self { widget: text_at(page.challenge, "/js_url"), ..own },
            "ak-stage-identification" => Self { widget: text_at(page.challenge, "/captcha_stage/js_url"), ..own },
            "ak-source-plex" => Self { connections: " https://plex.tv", ..own },
            _ => own,
        };
        let framed_background = layout.ends_with("_frame_background") && !link_url(page.background()).is_empty();
        if framed_background { Self { frames: ANY, ..special } } else { special }
    }

    /// The content policy as header text.
    pub fn content_security_policy(&self) -> String {
        let nonce: String = self.nonce.chars().filter(|c| c.is_ascii_alphanumeric() || "+/=-_".contains(*c)).collect();
        let widget = widget_sources(self.widget);
        let frames = match (self.frames, widget.as_str()) {
            ("", "") => "'none'".to_owned(),
            (frames, widget) => format!("'self'{frames}{widget}"),
        };
        CONTENT_SECURITY_POLICY
            .replace("{nonce}", &nonce)
            .replace("{forms}", self.forms)
            .replace("{frames}", &frames)
            .replace("{connections}", self.connections)
            .replace("{widget}", &widget)
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

/// Where the script of a captcha's provider comes from and what it loads by itself, each with a space in front; empty for
/// a script of our own and for an address that is left out of the page.
fn widget_sources(script: &str) -> String {
    let Some(url) = Url::parse(&link_url(script)).ok() else { return String::new() };
    let host = url.host_str().unwrap_or_default();
    let mut sources = vec![url.origin().ascii_serialization()];
    // What the providers document.
    let further: &[&str] = if ["www.google.com", "www.recaptcha.net"].contains(&host) {
        &["https://www.gstatic.com", "https://recaptcha.google.com"]
    } else if host == "hcaptcha.com" || host.ends_with(".hcaptcha.com") {
        &["https://hcaptcha.com", "https://*.hcaptcha.com"]
    } else {
        &[]
    };
    sources.extend(further.iter().map(|source| (*source).to_owned()));
    sources.iter().map(|source| format!(" {source}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_origin_of_a_captchas_script_is_let_in() {
        assert_eq!(
            widget_sources("https://challenges.cloudflare.com/turnstile/v0/api.js"),
            " https://challenges.cloudflare.com"
        );
        assert_eq!(widget_sources("http://127.0.0.1:8000/api.js?x=1"), " http://127.0.0.1:8000");
        assert!(widget_sources("https://js.hcaptcha.com/1/api.js").contains(" https://*.hcaptcha.com"));
        assert!(widget_sources("https://www.recaptcha.net/recaptcha/api.js").contains(" https://www.gstatic.com"));
        for none in [
            "",
            "/static/dist/flow/proof-of-work.js",
            "javascript:alert(1)",
            "data:text/javascript,1",
            "//evil.example",
            "https://a b;",
        ] {
            assert_eq!(widget_sources(none), "", "{none}");
        }
        let strange = widget_sources("https://a.example;script-src *");
        assert_eq!(strange, "");
    }
}
