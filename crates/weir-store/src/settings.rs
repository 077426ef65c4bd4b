//! Where the database is and how it is used.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use crate::StoreError;

/// The database's address. Neither display nor debug output shows a password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file of this path, created when missing.
    Sqlite(PathBuf),
    /// A file that lives as long as the [`Db`](crate::Db), in memory where the system allows.
    Temporary,
    /// A `postgres://` address.
    Postgres(String),
}

impl FromStr for DatabaseUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
        match path {
            Some(":memory:") => Ok(Self::Temporary),
            Some(path) if !path.is_empty() && !path.contains('?') => Ok(Self::Sqlite(PathBuf::from(path))),
            _ => Err(StoreError::Refused(
                "the database address must be sqlite:<path> or postgres://user:password@host/database".to_owned(),
            )),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Temporary => f.write_str("sqlite::memory:"),
            Self::Postgres(url) => f.write_str(&mask(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hides the password of the authority (even one that holds `?` or `@`) and of a `password=` parameter.
fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "postgres://***".to_owned() };
    let (login, host) = rest.rsplit_once('@').map_or((None, rest), |(login, host)| (Some(login), host));
    let login =
        match login.map(|login| login.split_once(':').map_or((login, None), |(user, secret)| (user, Some(secret)))) {
            Some((user, Some(_))) => format!("{user}:***@"),
            Some((user, None)) => format!("{user}@"),
            None => String::new(),
        };
    let parts =
        host.split_inclusive(['?', '&']).map(|part| match (part.starts_with("password="), part.ends_with('&')) {
            (true, true) => "password=***&",
            (true, false) => "password=***",
            (false, _) => part,
        });
    format!("{scheme}://{login}{}", parts.collect::<String>())
}

/// Settings of the store; [`DbSettings::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct DbSettings {
    /// Which database.
    pub url: DatabaseUrl,
    /// SQLite: connections that only read.
    pub readers: u32,
    /// PostgreSQL: connections of this node, besides the one that listens.
    pub connections: u32,
    /// How long a request waits for a free connection.
    pub acquire_timeout: Duration,
    /// PostgreSQL: how long one statement may run.
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock; on SQLite for another process.
    pub lock_timeout: Duration,
    /// PostgreSQL: keep prepared statements. Switch off behind a proxy that pools transactions; the time-outs then
    /// have to be set on the server, and other nodes' changes are noticed by polling only.
    pub statement_cache: bool,
    /// SQLite: refuse a second server on the same file.
    pub exclusive: bool,
}

impl DbSettings {
    /// The defaults for this database.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            readers: 4,
            connections: 16,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(5),
            statement_cache: true,
            exclusive: false,
        }
    }
}
