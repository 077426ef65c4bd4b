//! Plain text from HTML, for templates without a text of their own.

/// Elements whose text nobody reads.
const SILENT: [&str; 5] = ["head", "style", "script", "title", "template"];
/// Elements that stand on lines of their own.
const BLOCKS: [&str; 19] = [
    "p",
    "div",
    "table",
    "tr",
    "ul",
    "ol",
    "li",
    "h1",
    "h2",
    "h3",
    "h4",
    "section",
    "header",
    "footer",
    "blockquote",
    "pre",
    "hr",
    "article",
    "main",
];

/// The text of a page: blocks as paragraphs, list items with a dash, addresses of links behind their text.
pub fn from_html(html: &str) -> String {
    let mut out = String::new();
    let mut link: Option<(String, usize)> = None;
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (text, from) = rest.split_at(at);
        push_text(&mut out, text);
        if let Some(comment) = from.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let Some(end) = end_of_tag(from) else {
            rest = "";
            break;
        };
        let (tag, after) = from.split_at(end + 1);
        rest = after;
        let inner = tag.trim_start_matches('<').trim_end_matches('>').trim_end_matches('/');
        let closing = inner.starts_with('/');
        let name = inner.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric);
        let name = name.collect::<String>().to_lowercase();
        if SILENT.contains(&name.as_str()) {
            if !closing && !tag.ends_with("/>") {
                let end = rest.to_ascii_lowercase().find(&format!("</{name}")).unwrap_or(rest.len());
                rest = rest.get(end..).unwrap_or_default();
            }
        } else {
            element(&mut out, &mut link, &name, closing, inner);
        }
    }
    push_text(&mut out, rest);
    tidy(&out)
}

/// What a tag adds.
fn element(out: &mut String, link: &mut Option<(String, usize)>, name: &str, closing: bool, inner: &str) {
    match name {
        "br" => out.push('\n'),
        "li" if !closing => out.push_str("\n- "),
        "a" if !closing => *link = attribute(inner, "href").map(|href| (href, out.len())),
        "a" => {
            if let Some((href, start)) = link.take() {
                let shown = out.get(start..).unwrap_or_default().trim();
                if shown != href && !href.starts_with('#') {
                    let text = if shown.is_empty() { href } else { format!(": {href}") };
                    out.push_str(&text);
                }
            }
        }
        "img" => push_text(out, &attribute(inner, "alt").unwrap_or_default()),
        "td" | "th" if !closing => out.push(' '),
        name if BLOCKS.contains(&name) => out.push_str("\n\n"),
        _ => {}
    }
}

/// The end of a tag, outside quotes.
fn end_of_tag(from: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in from.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
    None
}

fn attribute(inner: &str, name: &str) -> Option<String> {
    let lower = inner.to_ascii_lowercase();
    let at = lower.find(&format!(" {name}="))? + name.len() + 2;
    let value = inner.get(at..)?;
    let quote = value.chars().next()?;
    let value = match quote {
        '"' | '\'' => value.get(1..)?.split(quote).next()?,
        _ => value.split_whitespace().next()?,
    };
    Some(entities(value))
}

/// Adds text with its white space folded.
fn push_text(out: &mut String, text: &str) {
    let text = entities(text);
    let mut space = out.ends_with([' ', '\n']) || out.is_empty();
    for character in text.chars() {
        // A no-break space is there to be seen.
        if character.is_whitespace() && character != '\u{a0}' {
            if !space {
                out.push(' ');
            }
            space = true;
        } else {
            out.push(if character == '\u{a0}' { ' ' } else { character });
            space = false;
        }
    }
}

/// The entities that templates use.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('&') {
        out.push_str(before);
        let end = from.find(';').filter(|end| *end <= 10);
        let decoded = end.and_then(|end| entity(from.get(..end)?));
        match (decoded, end) {
            (Some(character), Some(end)) => {
                out.push(character);
                rest = from.get(end + 1..).unwrap_or_default();
            }
            _ => {
                out.push('&');
                rest = from;
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    let number = |text: &str, radix| u32::from_str_radix(text, radix).ok().and_then(char::from_u32);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        "zwnj" => Some('\u{200c}'),
        "hellip" => Some('…'),
        "mdash" => Some('—'),
        "ndash" => Some('–'),
        name => match name.strip_prefix('#')? {
            hex if hex.starts_with(['x', 'X']) => number(hex.get(1..)?, 16),
            digits => number(digits, 10),
        },
    }
}

/// No space at line ends, at most one empty line in a row, none around.
pub fn tidy(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    let text = lines.join("\n");
    format!("{}\n", text.trim())
}
