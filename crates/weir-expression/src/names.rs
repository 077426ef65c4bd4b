//! Names of variables.

/// Names the environment provides. A variable never takes one of them.
pub const HELPERS: &[&str] = &[
    "SkipObject",
    "ak_call_policy",
    "ak_create_event",
    "ak_create_jwt",
    "ak_create_jwt_raw",
    "ak_is_group_member",
    "ak_logger",
    "ak_message",
    "ak_send_email",
    "ak_user_by",
    "ak_user_has_authenticator",
    "ip_address",
    "ip_network",
    "list_flatten",
    "regex_match",
    "regex_replace",
    "requests",
    "resolve_dns",
    "reverse_dns",
    "slugify",
];

const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Whether a text can be a name in an expression (ASCII names only).
pub fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first == '_' || first.is_ascii_alphabetic())
        && chars.all(|next| next == '_' || next.is_ascii_alphanumeric())
        && !KEYWORDS.contains(&name)
}

/// Built-in names through which a source reaches names that do not stand in it.
const REFLECTION: [&str; 10] =
    ["__dict__", "__getattribute__", "dir", "eval", "exec", "getattr", "globals", "hasattr", "locals", "vars"];

fn is_word_char(char: char) -> bool {
    char == '_' || char.is_ascii_alphanumeric()
}

/// The places at which a name stands in a source as a whole word, in code, texts and comments alike.
fn places<'a>(source: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    source.match_indices(name).map(|(start, _)| start).filter(move |start| {
        let (before, behind) = source.split_at(*start);
        let behind = behind.strip_prefix(name).unwrap_or_default();
        !before.ends_with(is_word_char) && !behind.starts_with(is_word_char)
    })
}

/// Whether a source may use more names than stand in it: by reflection, or in other letters, which Python takes for the
/// same.
pub(crate) fn is_open(source: &str) -> bool {
    !source.is_ascii() || REFLECTION.iter().any(|name| places(source, name).next().is_some())
}

/// Whether a name stands in a source.
pub(crate) fn stands_in(source: &str, name: &str) -> bool {
    places(source, name).next().is_some()
}

/// Whether a dictionary of this name is only asked for entries whose keys stand there.
pub(crate) fn is_only_looked_up(source: &str, name: &str) -> bool {
    let is_look_up = |start: usize| {
        let behind = source.get(start + name.len()..).unwrap_or_default().trim_start();
        let behind = match behind.strip_prefix('[') {
            Some(behind) => behind,
            None => behind.strip_prefix(".get(")?,
        };
        let mark = behind.trim_start().chars().next().filter(|c| ['"', '\''].contains(c))?;
        let (key, behind) = behind.trim_start().strip_prefix(mark)?.split_once(mark)?;
        let ends = behind.trim_start().starts_with([')', ']', ',']);
        (ends && !key.is_empty() && !key.contains('\\')).then_some(())
    };
    places(source, name).all(|start| is_look_up(start).is_some())
}

/// The name under which a variable is visible: `:`, `.` and `-` become `_`.
///
/// `None` when even that is no name, when it would hide a helper, or when it belongs to the interpreter; such a
/// variable does not exist in the expression, because names are data and may come from strangers.
pub fn sanitise_name(name: &str) -> Option<String> {
    if name.len() > 200 {
        return None;
    }
    let clean = name.replace([':', '.', '-'], "_");
    let reserved = clean.starts_with("__") || clean.starts_with("_weir") || HELPERS.contains(&clean.as_str());
    (is_identifier(&clean) && !reserved).then_some(clean)
}
