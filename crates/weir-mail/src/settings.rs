//! Where mail is handed over: the global server, or that of a stage.

use serde::Deserialize;
use serde_json::Value;
use std::{path::PathBuf, time::Duration};
use weir_core::{Map, Secret};

/// Settings of the process.
#[derive(Clone, Debug, Default)]
pub struct MailSettings {
    /// The global server.
    pub server: Smtp,
    /// Folder with the administrator's templates.
    pub templates_dir: Option<PathBuf>,
}

/// How the connection is protected. What is asked for is never weakened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Plain text.
    #[default]
    None,
    /// Plain text that changes to TLS; without it nothing is sent.
    StartTls,
    /// TLS from the beginning.
    Tls,
}

impl Security {
    /// From the two switches of the contract; TLS from the beginning is the stronger one.
    pub fn of(use_tls: bool, use_ssl: bool) -> Self {
        match (use_tls, use_ssl) {
            (_, true) => Self::Tls,
            (true, false) => Self::StartTls,
            (false, false) => Self::None,
        }
    }
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whom to sign in as; nobody when empty.
    pub username: String,
    /// The password of that user.
    pub password: Secret,
    /// Protection of the connection.
    pub security: Security,
    /// Longest wait for each of its answers.
    pub timeout: Duration,
    /// Address of the sender, `a@b` or `Name <a@b>`.
    pub from: String,
    /// PEM file with certificate authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 25,
            username: String::new(),
            password: Secret::default(),
            security: Security::None,
            timeout: Duration::from_secs(30),
            from: "weir@localhost".to_owned(),
            ca_file: None,
        }
    }
}

/// The fields by which a stage names a server of its own.
#[derive(Deserialize)]
#[serde(default)]
struct OfStage {
    use_global_settings: bool,
    host: String,
    port: i64,
    username: String,
    password: Secret,
    use_tls: bool,
    use_ssl: bool,
    timeout: i64,
    from_address: String,
}

impl Default for OfStage {
    fn default() -> Self {
        Self {
            // A stage without such fields says nothing about servers.
            use_global_settings: true,
            host: String::new(),
            port: 25,
            username: String::new(),
            password: Secret::default(),
            use_tls: false,
            use_ssl: false,
            timeout: 10,
            from_address: String::new(),
        }
    }
}

impl Smtp {
    /// The server of a stage with this document; this one when the stage wants the global settings.
    #[must_use]
    pub fn of_stage(&self, stage: &Map) -> Self {
        let own = OfStage::deserialize(Value::Object(stage.clone())).unwrap_or_else(|error| {
            tracing::warn!(%error, "the mail settings of a stage cannot be read; the global ones are used");
            OfStage::default()
        });
        if own.use_global_settings {
            return self.clone();
        }
        Self {
            host: own.host,
            // The stage refuses others when it is saved; port 0 reaches nobody.
            port: u16::try_from(own.port).unwrap_or_default(),
            username: own.username,
            password: own.password,
            security: Security::of(own.use_tls, own.use_ssl),
            timeout: Duration::from_secs(u64::try_from(own.timeout.clamp(1, 600)).unwrap_or(10)),
            from: own.from_address,
            ca_file: self.ca_file.clone(),
        }
    }
}
