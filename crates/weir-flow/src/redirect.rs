//! Where a flow may send a browser to.

/// Whether an address from a request stays on this site however a browser resolves it.
pub fn is_local(next: &str) -> bool {
    let clean = !next.is_empty() && !next.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\');
    if !clean || next.starts_with("//") {
        return false;
    }
    let Ok(page) = url::Url::parse("http://weir.invalid/if/flow/x/") else { return false };
    // The browser's own rules decide: anything with a scheme or host of its own leaves the origin.
    page.join(next).is_ok_and(|target| target.origin() == page.origin() && target.username().is_empty())
        && !has_scheme(next)
}

fn has_scheme(text: &str) -> bool {
    let head: String = text.chars().take_while(|c| !"/?#".contains(*c)).collect();
    head.contains(':')
}

/// The address of a flow's page.
pub fn flow_page(slug: &str, query: &str) -> String {
    if query.is_empty() { format!("/if/flow/{slug}/") } else { format!("/if/flow/{slug}/?{query}") }
}

/// Replaces `%(app)s` and `%(user)s`; a title that cannot be formatted is shown as it is.
pub fn title(title: &str, app: &str, user: &str) -> String {
    let mut out = String::with_capacity(title.len());
    let mut rest = title;
    while let Some(at) = rest.find('%') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        rest = if let Some(tail) = tail.strip_prefix("%(app)s") {
            out.push_str(app);
            tail
        } else if let Some(tail) = tail.strip_prefix("%(user)s") {
            out.push_str(user);
            tail
        } else if let Some(tail) = tail.strip_prefix("%%") {
            out.push('%');
            tail
        } else {
            return title.to_owned();
        };
    }
    out.push_str(rest);
    out
}

/// A text as part of a query.
pub fn encode(text: &str) -> impl Iterator<Item = &str> {
    url::form_urlencoded::byte_serialize(text.as_bytes())
}
