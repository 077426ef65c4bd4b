//! The few places where an administrator may write markup (alerts, static texts, hints). We never pass his markup
//! on: the text is read, and a small set of harmless elements is written anew; everything else becomes text.

use crate::urls::link_url;

/// Elements kept, without any attribute (`a` gets a checked address).
const KEPT: &[&str] = &[
    "b", "strong", "i", "em", "u", "s", "small", "code", "pre", "p", "ul", "ol", "li", "br", "hr", "a", "kbd", "sub",
    "sup",
];
const VOID: &[&str] = &["br", "hr"];
/// Elements dropped together with what they hold: their text was never meant to be read.
const DROPPED: &[&str] = &["script", "style", "template", "iframe", "object", "noscript"];

/// Rewrites markup into the safe subset.
pub fn safe_markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut open: Vec<&'static str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        push_text(&mut out, before);
        match Tag::read(from) {
            Some((tag, after)) => rest = write_tag(&mut out, &mut open, &tag, after),
            None => {
                out.push_str("&lt;");
                rest = from.get(1..).unwrap_or("");
            }
        }
    }
    push_text(&mut out, rest);
    for name in open.iter().rev() {
        close(&mut out, name);
    }
    out
}

struct Tag<'a> {
    closing: bool,
    name: String,
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// Reads `<name …>`; anything that does not look exactly like a tag is text.
    fn read(from: &'a str) -> Option<(Tag<'a>, &'a str)> {
        let inner = from.strip_prefix('<')?;
        let end = tag_end(inner)?;
        let (body, after) = (inner.get(..end)?, inner.get(end + 1..)?);
        let (closing, body) = body.strip_prefix('/').map_or((false, body), |b| (true, b));
        let split = body.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(body.len());
        let (name, attributes) = body.split_at(split);
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let parted = attributes.is_empty() || attributes.starts_with(|c: char| c.is_ascii_whitespace() || c == '/');
        (named && parted).then(|| (Tag { closing, name: name.to_ascii_lowercase(), attributes }, after))
    }

    fn href(&self) -> Option<String> {
        let lower = self.attributes.to_ascii_lowercase();
        let at = lower.find("href")?;
        let value = self.attributes.get(at + 4..)?.trim_start().strip_prefix('=')?.trim_start();
        let raw = match value.chars().next()? {
            quote @ ('"' | '\'') => value.get(1..)?.split(quote).next()?,
            _ => value.split(|c: char| c.is_ascii_whitespace()).next()?,
        };
        let url = link_url(&raw.replace("&amp;", "&"));
        (!url.is_empty()).then_some(url)
    }
}

/// The `>` that ends a tag, not one inside a quoted value.
fn tag_end(inner: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in inner.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '<') => return None,
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            _ => {}
        }
    }
    None
}

fn write_tag<'a>(out: &mut String, open: &mut Vec<&'static str>, tag: &Tag<'_>, after: &'a str) -> &'a str {
    if DROPPED.contains(&tag.name.as_str()) {
        return if tag.closing { after } else { skip_element(&tag.name, after) };
    }
    let Some(&name) = KEPT.iter().find(|kept| **kept == tag.name) else { return after };
    if tag.closing {
        // Close what was left open inside, so that the result is always well formed.
        if open.contains(&name) {
            while let Some(inner) = open.pop() {
                close(out, inner);
                if inner == name {
                    break;
                }
            }
        }
    } else if VOID.contains(&name) {
        out.push('<');
        out.push_str(name);
        out.push('>');
    } else if name == "a" {
        let Some(href) = tag.href() else { return after };
        out.push_str("<a rel=\"noopener noreferrer\" href=\"");
        push_text(out, &href);
        out.push_str("\">");
        open.push(name);
    } else {
        out.push('<');
        out.push_str(name);
        out.push('>');
        open.push(name);
    }
    after
}

fn skip_element<'a>(name: &str, after: &'a str) -> &'a str {
    let end = format!("</{name}");
    let lower = after.to_ascii_lowercase();
    lower.find(&end).and_then(|at| after.get(at..)).and_then(|tail| tail.split_once('>')).map_or("", |(_, tail)| tail)
}

fn close(out: &mut String, name: &str) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

fn push_text(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let entity = is_entity(from);
        out.push_str(match from.chars().next() {
            Some('&') if entity => "&",
            Some('&') => "&amp;",
            Some('<') => "&lt;",
            Some('>') => "&gt;",
            Some('"') => "&quot;",
            _ => "&#39;",
        });
        rest = from.get(1..).unwrap_or("");
    }
    out.push_str(rest);
}

/// Markup writers expect `&nbsp;` to work.
fn is_entity(from: &str) -> bool {
    let Some(end) = from.find(';').filter(|end| (2..=10).contains(end)) else { return false };
    let name = from.get(1..end).unwrap_or("");
    let name = name.strip_prefix('#').unwrap_or(name);
    name.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::safe_markup;

    #[test]
    fn plain_text_is_escaped() {
        assert_eq!(safe_markup("1 < 2 & \"x\" 'y' >"), "1 &lt; 2 &amp; &quot;x&quot; &#39;y&#39; &gt;");
        assert_eq!(safe_markup("a&nbsp;b &#8212; R&D; x"), "a&nbsp;b &#8212; R&D; x");
    }

    #[test]
    fn harmless_elements_stay_and_are_closed() {
        assert_eq!(safe_markup("<B class=x>bold"), "<b>bold</b>");
        assert_eq!(safe_markup("<p><em>a</p>b</em>"), "<p><em>a</em></p>b");
        assert_eq!(safe_markup("one<br/>two</div>"), "one<br>two");
    }

    #[test]
    fn links_keep_only_a_checked_address() {
        assert_eq!(
            safe_markup("<a href='https://example.com/?a=1&amp;b=2' onclick=\"x()\">go</a>"),
            "<a rel=\"noopener noreferrer\" href=\"https://example.com/?a=1&amp;b=2\">go</a>"
        );
        assert_eq!(safe_markup("<a href=javascript:alert(1)>x</a>"), "x");
        assert_eq!(safe_markup("<a href=\"/\" data-x='>'>x</a>"), "<a rel=\"noopener noreferrer\" href=\"/\">x</a>");
    }

    #[test]
    fn scripts_vanish_whatever_their_spelling() {
        for text in [
            "<script>alert(1)</script>",
            "<SCRIPT src=x>alert(1)</SCRIPT >",
            "<script>alert(1)",
            "<style>*{}</style>",
            "<img src=x onerror=alert(1)>",
            "<svg/onload=alert(1)>",
            "<b onmouseover=alert(1)></b>",
            "<<script>alert(1)</script>",
            "<scr<script>ipt>alert(1)</script>",
        ] {
            let out = safe_markup(text).to_lowercase();
            for bad in ["<script", "<img", "<svg", "<style", "onmouseover"] {
                assert!(!out.contains(bad), "{text} -> {out}");
            }
        }
    }
}
