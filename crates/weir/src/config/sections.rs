//! The sections of the settings.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::Secret;
use weir_crypto::HashPool;
use weir_http::HttpConfig;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The TLS listener.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// File with the certificate and its chain in PEM form, read again when it changes; without it a self-signed one is
    /// kept in the data folder.
    pub certificate: Option<PathBuf>,
    /// File with the private key in PEM form.
    pub key: Option<PathBuf>,
}

/// Where the pages are.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Prefix of all paths.
    pub path: String,
}

impl Default for Web {
    fn default() -> Self {
        Self { path: "/".to_owned() }
    }
}

/// The mail server. Stages with settings of their own do not need it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Email {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whom to sign in as; nobody when empty.
    pub username: String,
    /// The password of that user.
    pub password: Secret,
    /// Begin in plain text and change to TLS (STARTTLS).
    pub use_tls: bool,
    /// TLS from the beginning.
    pub use_ssl: bool,
    /// Seconds until a mail server that does not answer is given up.
    #[schemars(range(min = 1, max = 600))]
    pub timeout: u64,
    /// Address of the sender.
    pub from: String,
    /// PEM file with certificate authorities that mail servers may use beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Folder with templates of this site (`*.html`); without it `templates` in the data folder.
    pub templates_dir: Option<PathBuf>,
}

impl Default for Email {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 25,
            username: String::new(),
            password: Secret::default(),
            use_tls: false,
            use_ssl: false,
            timeout: 30,
            from: "weir@localhost".to_owned(),
            ca_file: None,
            templates_dir: None,
        }
    }
}

/// Outgoing requests.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outbound {
    /// Where Twilio is.
    pub twilio_url: Option<String>,
    /// Where Duo is; without it, what a stage names.
    pub duo_url: Option<String>,
    /// Where Google's directory is.
    pub google_url: Option<String>,
    /// Where Microsoft's sign-in and Microsoft Graph are.
    pub microsoft_url: Option<String>,
    /// Where password policies ask for stolen passwords, by the range protocol of Have I Been Pwned.
    pub hibp_url: Option<String>,
    /// Networks that may be asked although they are link-local or serve the metadata of clouds.
    #[schemars(with = "Vec<String>")]
    pub allowed_cidrs: Vec<ipnet::IpNet>,
}

/// Databases of places and networks in MaxMind's format. Files that are missing are fine; changed ones are read anew.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Geoip {
    /// Database of cities.
    pub city: Option<PathBuf>,
    /// Database of autonomous systems.
    pub asn: Option<PathBuf>,
}

/// What one client may ask for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest request body.
    #[schemars(range(min = 1024))]
    pub body_bytes: usize,
    /// Largest uploaded file with its form.
    #[schemars(range(min = 1024))]
    pub upload_bytes: usize,
    /// Largest block of headers.
    #[schemars(range(min = 8192))]
    pub header_bytes: usize,
    /// Most header fields.
    #[schemars(range(min = 20))]
    pub header_fields: usize,
    /// Deepest JSON.
    #[schemars(range(min = 8, max = 100))]
    pub json_depth: usize,
    /// Most fields of a form.
    #[schemars(range(min = 20))]
    pub form_fields: usize,
    /// Time in which the headers must arrive.
    #[schemars(range(min = 1))]
    pub header_timeout_secs: u64,
    /// Time in which the body must arrive.
    #[schemars(range(min = 1))]
    pub body_timeout_secs: u64,
    /// Time that running requests get when the server stops.
    #[schemars(range(max = 30))]
    pub shutdown_timeout_secs: u64,
    /// Most connections at a time; others wait.
    #[schemars(range(min = 1))]
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let http = HttpConfig::default();
        Self {
            body_bytes: http.max_body_bytes,
            upload_bytes: http.max_upload_bytes,
            header_bytes: http.max_header_bytes,
            header_fields: http.max_header_fields,
            json_depth: http.max_json_depth,
            form_fields: http.max_form_fields,
            header_timeout_secs: http.header_timeout_secs,
            body_timeout_secs: http.body_timeout_secs,
            // The rest of the shutdown needs some of the thirty seconds a service manager waits.
            shutdown_timeout_secs: 20,
            connections: http.max_connections,
        }
    }
}

/// Password hashing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hashing {
    /// Threads, each with its block of memory; 0 for one on each core.
    #[schemars(range(max = 256))]
    pub threads: usize,
    /// Most passwords that wait for a thread; further ones are answered with 503.
    #[schemars(range(min = 1))]
    pub queue: usize,
    /// Longest wait for a thread.
    #[schemars(range(min = 1))]
    pub max_wait_secs: u64,
}

impl Default for Hashing {
    fn default() -> Self {
        Self { threads: 0, queue: 1000, max_wait_secs: 10 }
    }
}

impl Hashing {
    /// The real number of threads.
    pub fn thread_count(&self) -> usize {
        if self.threads == 0 { HashPool::default_threads() } else { self.threads }
    }
}

/// Expressions of policies, prompts and mappings.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Expressions {
    /// Worker processes, which is how many expressions run at once.
    #[schemars(range(min = 1, max = 256))]
    pub workers: usize,
    /// Longest wait for a worker.
    #[schemars(range(min = 1))]
    pub max_wait_secs: u64,
    /// How long an unused worker is kept.
    #[schemars(range(min = 1))]
    pub idle_secs: u64,
    /// Longest computation of one expression.
    #[schemars(range(min = 1, max = 60))]
    pub run_secs: u64,
    /// Longest life of one evaluation, look-ups and requests included.
    #[schemars(range(min = 1, max = 600))]
    pub total_secs: u64,
    /// Memory of one expression.
    #[schemars(range(min = 1_048_576))]
    pub memory_bytes: usize,
}

impl Default for Expressions {
    fn default() -> Self {
        let limits = weir_expression::Limits::default();
        Self {
            workers: 2,
            max_wait_secs: 5,
            idle_secs: 60,
            run_secs: limits.run.as_secs(),
            total_secs: limits.wall.as_secs(),
            memory_bytes: limits.memory,
        }
    }
}

/// Work in the background.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// Tasks that run at once on this node.
    #[schemars(range(min = 1, max = 256))]
    pub concurrency: usize,
    /// Time after which another worker takes a task whose worker has not been heard of. More than a pause of the
    /// machine or of the database lasts.
    #[schemars(range(min = 1, max = 3600))]
    pub lease_secs: u64,
}

impl Default for Worker {
    fn default() -> Self {
        Self { concurrency: 2, lease_secs: 60 }
    }
}

/// The audit trail.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Most events that are kept; the oldest go first. 0 for no bound but their time.
    #[schemars(range(max = 9_000_000_000_000_000_u64))]
    pub max_rows: u64,
    /// Most characters that they take together, likewise.
    #[schemars(range(max = 9_000_000_000_000_000_u64))]
    pub max_bytes: u64,
}

/// Sessions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// Life of a session in which nobody has signed in.
    pub unauthenticated_age: String,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { unauthenticated_age: "days=1".to_owned() }
    }
}

/// What is kept in memory.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Seconds for which the plan of a flow is kept.
    #[schemars(range(max = 86_400))]
    pub timeout_flows: u64,
    /// Seconds for which the result of a policy is kept.
    #[schemars(range(max = 86_400))]
    pub timeout_policies: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { timeout_flows: 300, timeout_policies: 300 }
    }
}

/// OpenTelemetry.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otel {
    /// Collector that takes traces as OTLP over HTTP, as in `http://collector:4318`; none are sent without it.
    pub endpoint: Option<String>,
}
