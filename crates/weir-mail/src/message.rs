//! One finished mail.

use regex::Regex;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use weir_events::MASK;

/// A recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// Name for people; may be empty.
    pub name: String,
    /// The address.
    pub address: String,
}

impl Mailbox {
    /// A recipient; line breaks in the name would begin another header and become spaces.
    pub fn new(name: &str, address: &str) -> Self {
        Self { name: one_line(name), address: one_line(address).trim().to_owned() }
    }
}

/// A mail, ready to be handed over. Kept in the outbox until it is.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Main recipients.
    pub to: Vec<Mailbox>,
    /// Recipients of a copy.
    pub cc: Vec<Mailbox>,
    /// Recipients whom the others do not see.
    pub bcc: Vec<Mailbox>,
    /// One line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// Texts in it that only its reader may see.
    pub secrets: Vec<String>,
}

// Holds links and codes, so it must not reach a log by accident.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("recipients", &self.recipients()).finish_non_exhaustive()
    }
}

impl Message {
    /// How many get it.
    pub fn recipients(&self) -> usize {
        self.to.len() + self.cc.len() + self.bcc.len()
    }
}

/// The text without characters that end a header line.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}

#[expect(clippy::expect_used, reason = "a constant that every test compiles")]
static KEYS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b((?:flow_|i)?token|code|key|secret)=[^&\s\x22'<>]+").expect("the expression is valid")
});

/// A text of a mail as the audit trail may keep it: known secrets and keys in addresses are masked.
pub fn hide_secrets(text: &str, secrets: &[String]) -> String {
    let mut hidden = text.to_owned();
    for secret in secrets.iter().filter(|s| !s.is_empty()) {
        hidden = hidden.replace(secret.as_str(), MASK);
    }
    KEYS.replace_all(&hidden, format!("${{1}}={MASK}").as_str()).into_owned()
}
