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
