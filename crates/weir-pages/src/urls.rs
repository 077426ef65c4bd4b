//! Which addresses may stand in a page. Everything refused becomes the empty string, so a template only asks `if`.

use url::Url;

/// Schemes that run script or show local content in our name when a browser is sent there.
const NEVER: &[&str] = &["javascript", "vbscript", "data", "blob", "file", "filesystem", "about", "view-source"];

/// A link a person may follow: http(s), or relative to this site.
pub fn link_url(raw: &str) -> String {
    if is_relative(raw) || has_scheme(raw, &["http", "https"]) { raw.to_owned() } else { String::new() }
}

/// Where a finished step sends the browser. Native applications use their own schemes, so all but the dangerous pass.
pub fn redirect_url(raw: &str) -> String {
    let allowed = is_relative(raw)
        || Url::parse(raw).is_ok_and(|url| is_clean(raw) && !NEVER.contains(&url.scheme()) && url.scheme().len() > 1);
    if allowed { raw.to_owned() } else { String::new() }
}

/// The source of a picture: a link, or a picture carried in the address itself.
pub fn image_url(raw: &str) -> String {
    let inline = raw.get(..11).is_some_and(|start| start.eq_ignore_ascii_case("data:image/")) && is_clean(raw);
    if inline { raw.to_owned() } else { link_url(raw) }
}

/// Text as the value of a parameter in an address.
pub fn query_value(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Custom style as it may stand inside a style element: `<\/` means the same to CSS and nothing to HTML.
pub fn style_text(css: &str) -> String {
    css.replace("</", "<\\/").replace("<!--", "<\\!--")
}

/// Browsers drop tabs and newlines and trim control characters before reading an address; we refuse them instead.
fn is_clean(raw: &str) -> bool {
    !raw.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\')
}

fn is_relative(raw: &str) -> bool {
    is_clean(raw) && !raw.starts_with("//") && (raw.starts_with('/') || raw.starts_with('?') || raw.starts_with('#'))
}

fn has_scheme(raw: &str, schemes: &[&str]) -> bool {
    is_clean(raw) && Url::parse(raw).is_ok_and(|url| schemes.contains(&url.scheme()) && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_web_addresses_or_relative() {
        for good in ["/if/user/", "?next=%2F", "#field-x", "https://example.com/a?b=c", "HTTP://example.com"] {
            assert_eq!(link_url(good), good);
        }
        for bad in [
            "",
            "javascript:alert(1)",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            " https://x.example",
            "java\nscript:alert(1)",
            "data:text/html,x",
            "mailto:a@b.example",
            "evil.example",
            "/a\tb",
        ] {
            assert_eq!(link_url(bad), "", "{bad:?}");
        }
    }

    #[test]
    fn redirects_may_open_native_applications_but_run_nothing() {
        assert_eq!(redirect_url("com.example.app:/callback?code=1"), "com.example.app:/callback?code=1");
        assert_eq!(redirect_url("/if/user/"), "/if/user/");
        for bad in ["javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "//evil.example", "", "no-scheme"]
        {
            assert_eq!(redirect_url(bad), "", "{bad:?}");
        }
    }

    #[test]
    fn pictures_may_be_inline_but_documents_may_not() {
        assert_eq!(image_url("data:image/png;base64,AAAA"), "data:image/png;base64,AAAA");
        assert_eq!(image_url("data:text/html,<script>"), "");
        assert_eq!(image_url("/static/x.png"), "/static/x.png");
    }

    #[test]
    fn custom_style_cannot_leave_its_element() {
        let text = style_text("a{}</style><script>alert(1)</script><!-- ");
        assert!(!text.contains("</"), "{text}");
        assert!(!text.contains("<!--"), "{text}");
        assert_eq!(style_text("a > b { color: red }"), "a > b { color: red }");
    }
}
