//! The fields by which a stage names a mail server of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{FieldErrors, Secret};

fn localhost() -> String {
    "localhost".to_owned()
}
fn smtp_port() -> i32 {
    25
}
fn ten() -> i32 {
    10
}
fn sender() -> String {
    "system@authentik.local".to_owned()
}

/// A mail server, part of the stages that send mail.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MailServer {
    /// Use the mail server of the settings; the fields about a server count for nothing then.
    #[serde(default)]
    pub use_global_settings: bool,
    /// Mail server.
    #[serde(default = "localhost")]
    #[schemars(length(min = 1))]
    pub host: String,
    /// Its port.
    #[serde(default = "smtp_port")]
    pub port: i32,
    /// Whom to sign in as; nobody when empty.
    #[serde(default)]
    pub username: String,
    /// The password of that user.
    #[serde(default)]
    pub password: Secret,
    /// Change to TLS by STARTTLS.
    #[serde(default)]
    pub use_tls: bool,
    /// TLS from the beginning.
    #[serde(default)]
    pub use_ssl: bool,
    /// Seconds to wait for an answer of the server.
    #[serde(default = "ten")]
    pub timeout: i32,
    /// Address of the sender.
    #[serde(default = "sender")]
    #[schemars(length(min = 1, max = 254), extend("format" = "email"))]
    pub from_address: String,
}

impl MailServer {
    /// Rules about these fields.
    pub(crate) fn check(&self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if !(1..=65_535).contains(&self.port) {
            errors.add("port", "Ensure this value is between 1 and 65535.", "invalid");
        }
        if self.timeout < 1 {
            errors.add("timeout", "Ensure this value is greater than or equal to 1.", "min_value");
        }
        if self.use_tls && self.use_ssl {
            errors.add(FieldErrors::GENERAL, "STARTTLS and TLS from the beginning exclude each other.", "invalid");
        }
        errors
    }
}
