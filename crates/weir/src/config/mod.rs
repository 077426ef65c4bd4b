//! Settings: one struct for each section, with defaults and texts. The doc comments are also the help of the flags.
//!
//! A setting has one name everywhere: `email.host` is `host` under `[email]` in the file, `WEIR_EMAIL__HOST` in the
//! environment and `--email-host` on the command line. [`settings`] derives that list from the structs; [`load`]
//! merges the sources.

mod file;
mod load;
mod sections;
mod settings;
mod show;
#[cfg(test)]
mod tests;

pub use load::{Inputs, Loaded, Source};
pub use sections::{
    Cache, Email, Events, Expressions, Geoip, Hashing, Limits, LogFormat, Otel, Outbound, Sessions, Tls, Web, Worker,
};
pub use settings::{Setting, settings};
pub use show::show;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chrono::TimeDelta;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Secret, duration};
use weir_http::HttpConfig;
use weir_mail::{MailSettings, Security, Smtp};
use weir_store::DatabaseUrl;

/// A setting that cannot be used; one line, no secret in it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// All settings.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Address and port to listen on for TLS; off without it.
    #[schemars(with = "Option<String>")]
    pub listen_tls: Option<SocketAddr>,
    /// Folder of the SQLite file and of everything else that is written.
    pub data_dir: PathBuf,
    /// `postgres://user:password@host/database` or `sqlite:<path>`; without it `weir.sqlite3` in the data folder.
    #[schemars(extend("x-secret" = "url"))]
    pub database_url: Option<Secret>,
    /// First start only: password of the administrator `akadmin`. Without it a one-time link is printed.
    pub bootstrap_password: Option<Secret>,
    /// First start only: e-mail address of the administrator.
    pub bootstrap_email: Option<String>,
    /// First start only: key of an API token of the administrator.
    pub bootstrap_token: Option<Secret>,
    /// What is logged: a level, or a filter such as `info,weir_store=debug`.
    pub log: String,
    /// How it is logged: `text` or `json`.
    #[schemars(with = "String")]
    pub log_format: LogFormat,
    /// Networks of the proxies whose forwarding headers count.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxy_cidrs: Vec<IpNet>,
    /// Domain of the session cookie; without it the cookie belongs to the host.
    pub cookie_domain: Option<String>,
    /// Folder with further blueprints (`*.yaml`).
    pub blueprints_dir: Option<PathBuf>,
    /// The TLS listener.
    pub tls: Tls,
    /// Where the pages are.
    pub web: Web,
    /// The mail server.
    pub email: Email,
    /// Outgoing requests.
    pub outbound: Outbound,
    /// Where addresses are.
    pub geoip: Geoip,
    /// What one client may ask for.
    pub limits: Limits,
    /// Password hashing.
    pub hashing: Hashing,
    /// Expressions of policies, prompts and mappings.
    pub expressions: Expressions,
    /// Work in the background.
    pub worker: Worker,
    /// The audit trail.
    pub events: Events,
    /// Sessions.
    pub sessions: Sessions,
    /// What is kept in memory.
    pub cache: Cache,
    /// OpenTelemetry.
    pub otel: Otel,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9000)),
            listen_tls: None,
            data_dir: PathBuf::from("./data"),
            database_url: None,
            bootstrap_password: None,
            bootstrap_email: None,
            bootstrap_token: None,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            trusted_proxy_cidrs: HttpConfig::default().trusted_proxy_cidrs,
            cookie_domain: None,
            blueprints_dir: None,
            tls: Tls::default(),
            web: Web::default(),
            email: Email::default(),
            outbound: Outbound::default(),
            geoip: Geoip::default(),
            limits: Limits::default(),
            hashing: Hashing::default(),
            expressions: Expressions::default(),
            worker: Worker::default(),
            events: Events::default(),
            sessions: Sessions::default(),
            cache: Cache::default(),
            otel: Otel::default(),
        }
    }
}

impl Config {
    /// Name of the SQLite file in the data folder.
    pub const SQLITE_FILE: &'static str = "weir.sqlite3";

    /// The database that is meant.
    ///
    /// # Errors
    /// When the address is none; the text does not repeat it.
    pub fn database(&self) -> Result<DatabaseUrl, ConfigError> {
        match &self.database_url {
            None => Ok(DatabaseUrl::Sqlite(self.data_dir.join(Self::SQLITE_FILE))),
            Some(url) => url.0.parse().map_err(|error| ConfigError(format!("database_url: {error}"))),
        }
    }

    /// The HTTP side's part.
    pub fn http(&self) -> HttpConfig {
        HttpConfig {
            max_body_bytes: self.limits.body_bytes,
            max_upload_bytes: self.limits.upload_bytes,
            max_header_bytes: self.limits.header_bytes,
            max_header_fields: self.limits.header_fields,
            max_json_depth: self.limits.json_depth,
            max_form_fields: self.limits.form_fields,
            header_timeout_secs: self.limits.header_timeout_secs,
            body_timeout_secs: self.limits.body_timeout_secs,
            shutdown_timeout_secs: self.limits.shutdown_timeout_secs,
            max_connections: self.limits.connections,
            trusted_proxy_cidrs: self.trusted_proxy_cidrs.clone(),
            cookie_domain: self.cookie_domain.clone(),
            path_prefix: self.web.path.clone(),
            cache_timeout_flows_secs: self.cache.timeout_flows,
            cache_timeout_policies_secs: self.cache.timeout_policies,
        }
    }

    /// The mail server and the templates.
    pub fn mail(&self) -> MailSettings {
        let email = &self.email;
        MailSettings {
            server: Smtp {
                host: email.host.clone(),
                port: email.port,
                username: email.username.clone(),
                password: email.password.clone(),
                security: Security::of(email.use_tls, email.use_ssl),
                timeout: Duration::from_secs(email.timeout),
                from: email.from.clone(),
                ca_file: email.ca_file.clone(),
            },
            templates_dir: Some(email.templates_dir.clone().unwrap_or_else(|| self.data_dir.join("templates"))),
        }
    }

    /// The address by which this machine reaches the server.
    pub fn local_address(&self) -> SocketAddr {
        local(self.listen)
    }

    /// Scheme, host and prefix for links printed on this machine, without slash at the end.
    pub fn local_url(&self, address: SocketAddr) -> String {
        format!("http://{}{}", local(address), self.http().prefix())
    }

    /// Life of a session in which nobody has signed in.
    pub fn anonymous_session_life(&self) -> TimeDelta {
        // Checked when the settings were loaded.
        duration::parse(&self.sessions.unauthenticated_age).unwrap_or(TimeDelta::days(1))
    }

    /// What only shows when several values are looked at together.
    fn check(&self) -> Result<(), ConfigError> {
        self.database()?;
        if self.email.use_tls && self.email.use_ssl {
            return Err(ConfigError("email.use_tls and email.use_ssl exclude each other".to_owned()));
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err(ConfigError("tls.certificate and tls.key belong together".to_owned()));
        }
        let path = &self.web.path;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        if !path.starts_with('/') || !path.chars().all(is_plain) || path.contains("//") || path.contains("..") {
            return Err(ConfigError("web.path must be a path such as / or /login/".to_owned()));
        }
        if duration::parse(&self.sessions.unauthenticated_age).map_or(true, |life| life.num_seconds() < 60) {
            let text = "sessions.unauthenticated_age must be a span such as days=1, at least one minute";
            return Err(ConfigError(text.to_owned()));
        }
        Ok(())
    }
}

/// An address to connect to: "any address" is reached by loopback.
fn local(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
