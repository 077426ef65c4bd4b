use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use weir_store::DatabaseUrl;

use super::{Config, ConfigError, Inputs, Loaded, LogFormat, Source, settings, show};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.0.join(name), text).unwrap();
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(
    folder: &Path,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
    mut stdin: &[u8],
) -> Result<Loaded, ConfigError> {
    Loaded::from(Inputs { folder, file: None, environment: pairs(environment), flags: pairs(flags), stdin: &mut stdin })
}

fn refusal(toml: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let folder = Folder::new().with("weir.toml", toml);
    match load(&folder.0, environment, flags, b"") {
        Ok(_) => panic!("taken: {toml} {environment:?} {flags:?}"),
        Err(ConfigError(text)) => text,
    }
}

#[test]
fn without_any_source_everything_has_its_default() {
    let folder = Folder::new();
    let loaded = load(&folder.0, &[("PATH", "/bin")], &[], b"").unwrap();
    let config = &loaded.config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
    assert_eq!(config.database().unwrap(), DatabaseUrl::Sqlite(PathBuf::from("./data/weir.sqlite3")));
    assert_eq!((config.log.as_str(), config.log_format), ("info", LogFormat::Text));
    assert!(config.trusted_proxy_cidrs.iter().any(|net| net.to_string() == "127.0.0.0/8"));
    assert!(loaded.sources.is_empty() && loaded.warnings.is_empty());
}

#[test]
fn a_later_source_wins_setting_by_setting() {
    let toml = "listen = \"127.0.0.1:1\"\nlog = \"file\"\ncookie_domain = \"file.example\"\n[email]\nport = 2525\n";
    let folder = Folder::new().with("weir.toml", toml);
    let environment = [("WEIR_LISTEN", "127.0.0.1:2"), ("WEIR_LOG", "environment"), ("WEIR_EMAIL__HOST", "mx")];
    let loaded = load(&folder.0, &environment, &[("listen", "127.0.0.1:3")], b"").unwrap();
    let config = &loaded.config;
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.log, "environment");
    assert_eq!(config.cookie_domain.as_deref(), Some("file.example"));
    assert_eq!((config.email.host.as_str(), config.email.port), ("mx", 2525));
    assert_eq!(loaded.source("listen"), Source::Flag("listen".to_owned()));
    assert_eq!(loaded.source("log"), Source::Environment("WEIR_LOG".to_owned()));
    assert_eq!(loaded.source("email.port"), Source::File(PathBuf::from("weir.toml")));
    assert_eq!(loaded.source("email.timeout"), Source::Default);
}

#[test]
fn texts_become_what_the_setting_is() {
    let folder = Folder::new();
    let environment = [
        ("WEIR_TRUSTED_PROXY_CIDRS", "10.1.0.0/16, 192.0.2.7/32"),
        ("WEIR_EMAIL__USE_TLS", "Yes"),
        ("WEIR_LIMITS__CONNECTIONS", " 7 "),
        ("WEIR_LOG_FORMAT", "json"),
        ("WEIR_DATA_DIR", "/srv/weir"),
        ("WEIR_COOKIE_DOMAIN", ""),
    ];
    let config = load(&folder.0, &environment, &[], b"").unwrap().config;
    assert_eq!(config.trusted_proxy_cidrs.len(), 2);
    assert!(config.email.use_tls);
    assert_eq!(config.http().max_connections, 7);
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.database().unwrap(), DatabaseUrl::Sqlite(PathBuf::from("/srv/weir/weir.sqlite3")));
    assert_eq!(config.cookie_domain, None, "an empty variable is no value");
}

#[test]
fn what_cannot_be_used_is_refused_by_name_in_one_line() {
    type Pairs = &'static [(&'static str, &'static str)];
    let none: Pairs = &[];
    // File, environment, flags, and what the refusal names.
    let cases: &[(&str, Pairs, Pairs, &[&str])] = &[
        ("lisen = \"x\"", none, none, &["weir.toml", "lisen", "did you mean listen?"]),
        ("[email]\nhots = \"x\"", none, none, &["email.hots", "did you mean email.host?"]),
        ("[nothing]\nat = \"all\"", none, none, &["unknown setting nothing"]),
        ("email = 3", none, none, &["email"]),
        ("listen = \"nowhere\"", none, none, &["weir.toml: listen"]),
        ("listen = ", none, none, &["weir.toml: line 1"]),
        ("log = \"a\"\n\nlog = \"b\"", none, none, &["weir.toml: line 3"]),
        ("[limits]\nconnections = \"many\"", none, none, &["limits.connections"]),
        ("[limits]\nconnections = 0", none, none, &["limits.connections", "at least 1"]),
        ("[limits]\nconnections = -1", none, none, &["limits.connections"]),
        ("[hashing]\nthreads = 1000", none, none, &["hashing.threads", "at most 256"]),
        ("[email]\nuse_tls = true\nuse_ssl = true", none, none, &["email.use_tls", "email.use_ssl"]),
        ("[web]\npath = \"weir\"", none, none, &["web.path"]),
        ("[sessions]\nunauthenticated_age = \"soon\"", none, none, &["sessions.unauthenticated_age"]),
        ("", &[("WEIR_LISTEN", "9000")], none, &["WEIR_LISTEN"]),
        ("", &[("WEIR_EMAIL__PORT", "smtp")], none, &["WEIR_EMAIL__PORT", "whole number"]),
        ("", &[("WEIR_EMAIL__PORT", "70000")], none, &["WEIR_EMAIL__PORT"]),
        ("", &[("WEIR_EMAIL__USE_SSL", "maybe")], none, &["WEIR_EMAIL__USE_SSL", "neither true nor false"]),
        ("", &[("WEIR_LOG_FORMAT", "xml")], none, &["WEIR_LOG_FORMAT"]),
        ("", &[("WEIR_TRUSTED_PROXY_CIDRS", "10.0.0.0/99")], none, &["WEIR_TRUSTED_PROXY_CIDRS"]),
        ("", &[("WEIR_CONFIG", "missing.toml")], none, &["missing.toml"]),
        ("", &[("WEIR_DATABASE_URL", "mysql://u:hunter2@h/d")], none, &["database_url"]),
        ("", none, &[("database_url", "postgres://u:hunter2@h/d")], &["--database-url", "WEIR_DATABASE_URL"]),
        ("", &[("WEIR_BOOTSTRAP_PASSWORD_FILE", "missing")], none, &["WEIR_BOOTSTRAP_PASSWORD_FILE", "missing"]),
        ("bootstrap_password = 7", none, none, &["bootstrap_password", "must be a text"]),
    ];
    for (toml, environment, flags, parts) in cases {
        let text = refusal(toml, environment, flags);
        for part in *parts {
            assert!(text.contains(part), "{toml:?} {environment:?}: {text} lacks {part}");
        }
        assert!(!text.contains('\n') && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn an_unknown_variable_is_warned_about_without_its_value() {
    let folder = Folder::new();
    let loaded = load(&folder.0, &[("WEIR_EMAIL_HOST", "hunter2"), ("WEIRD", "x")], &[], b"").unwrap();
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert!(warning.contains("WEIR_EMAIL_HOST") && warning.contains("did you mean WEIR_EMAIL__HOST?"), "{warning}");
    assert!(!warning.contains("hunter2"));
}

#[test]
fn a_secret_may_stand_in_a_file_or_come_from_the_standard_input() {
    let folder = Folder::new().with("password", "from file \n").with("token", "from file\r\n");
    let environment = [
        ("WEIR_BOOTSTRAP_PASSWORD_FILE", "password"),
        ("WEIR_BOOTSTRAP_TOKEN_FILE", "token"),
        ("WEIR_EMAIL__PASSWORD_FILE", "-"),
    ];
    let loaded = load(&folder.0, &environment, &[], b"typed\n").unwrap();
    let config = &loaded.config;
    assert_eq!(config.bootstrap_password.as_ref().unwrap().0, "from file ", "only the line's end goes");
    assert_eq!(config.bootstrap_token.as_ref().unwrap().0, "from file");
    assert_eq!(config.email.password.0, "typed");
    assert_eq!(loaded.source("email.password").to_string(), "WEIR_EMAIL__PASSWORD_FILE");
}

#[test]
fn a_secret_given_in_two_ways_is_refused_unless_one_way_is_the_later_source() {
    let folder = Folder::new().with("password", "file").with("weir.toml", "bootstrap_password = \"toml\"");
    let twice = [("WEIR_BOOTSTRAP_PASSWORD", "a"), ("WEIR_BOOTSTRAP_PASSWORD_FILE", "password")];
    assert!(load(&folder.0, &twice, &[], b"").unwrap_err().0.contains("two ways"));
    let loaded = load(&folder.0, &[], &[("bootstrap_password_file", "password")], b"").unwrap();
    assert_eq!(loaded.config.bootstrap_password.unwrap().0, "file");
    let stdin = [("WEIR_BOOTSTRAP_PASSWORD_FILE", "-"), ("WEIR_BOOTSTRAP_TOKEN_FILE", "-")];
    assert!(load(&folder.0, &stdin, &[], b"x").unwrap_err().0.contains("already used"));
}

#[test]
fn what_is_shown_has_no_secret_and_reads_as_the_same_settings() {
    let toml = "listen = \"127.0.0.1:1\"\n[limits]\nbody_bytes = 2048\n[email]\nfrom = \"a \\\"b\\\"\"\n";
    let folder = Folder::new().with("weir.toml", toml);
    let environment = [
        ("WEIR_BOOTSTRAP_PASSWORD", "hunter2"),
        ("WEIR_BOOTSTRAP_TOKEN", "hunter2"),
        ("WEIR_EMAIL__PASSWORD", "hunter2"),
        ("WEIR_DATABASE_URL", "postgres://weir:hunter2@db/weir"),
    ];
    let loaded = load(&folder.0, &environment, &[("log", "debug")], b"").unwrap();
    let text = show(&loaded);
    assert!(!text.contains("hunter2"), "{text}");
    for (start, end) in [
        ("listen = \"127.0.0.1:1\"", "# weir.toml"),
        ("log = \"debug\"", "# --log"),
        ("data_dir = \"./data\"", "# default"),
        ("# bootstrap_password = ********", "# WEIR_BOOTSTRAP_PASSWORD"),
        ("# database_url = \"postgres://weir:***@db/weir\"", "# WEIR_DATABASE_URL"),
        ("# cookie_domain is not set", "# default"),
        ("body_bytes = 2048", "# weir.toml"),
    ] {
        let is_there = text.lines().any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(is_there, "no line {start} … {end} in\n{text}");
    }
    let again = Folder::new().with("weir.toml", &text);
    let environment = &environment[..];
    let again = load(&again.0, environment, &[], b"").unwrap().config;
    assert_eq!(serde_json::to_value(again).unwrap(), serde_json::to_value(loaded.config).unwrap());
}

#[test]
fn every_setting_has_its_own_names_and_says_what_it_is() {
    let all = settings();
    for names in [all.iter().map(|it| &it.flag).collect::<Vec<_>>(), all.iter().map(|it| &it.variable).collect()] {
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
    for setting in all {
        assert!(!setting.help.is_empty(), "{} has no text", setting.key);
    }
    let flags: Vec<&str> = all.iter().filter(|it| it.has_flag()).map(|it| it.flag.as_str()).collect();
    for secret in ["bootstrap-password", "bootstrap-token", "email-password"] {
        assert!(!flags.contains(&secret), "{secret} on the command line");
        assert!(flags.contains(&format!("{secret}-file").as_str()), "{secret}");
    }
    assert!(Config::default().check().is_ok());
}

#[test]
fn the_readme_names_only_settings_that_exist() {
    let readme =
        fs::read_to_string(Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../README.md")).unwrap();
    let known: Vec<&str> = settings().iter().map(|it| it.variable.as_str()).collect();
    let mut named = 0;
    for word in readme.split('`').filter(|word| word.starts_with("WEIR_") && word.len() > 5) {
        let is_known = match word.strip_suffix('*') {
            Some(section) => known.iter().any(|variable| variable.starts_with(section)),
            None => known.contains(&word) || word == "WEIR_CONFIG",
        };
        assert!(is_known, "{word} is no setting");
        named += 1;
    }
    assert!(named > 5, "the README names the settings");
}

#[test]
fn links_for_this_machine_reach_it() {
    let config = Config { web: super::Web { path: "/login/".to_owned() }, ..Config::default() };
    assert_eq!(config.local_url("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80/login");
    assert_eq!(config.local_url("[::]:80".parse().unwrap()), "http://[::1]:80/login");
    assert_eq!(Config::default().local_url("192.0.2.1:80".parse().unwrap()), "http://192.0.2.1:80");
}

#[test]
fn a_certificate_needs_its_key_and_a_key_its_certificate() {
    for (name, given) in [("WEIR_TLS__CERTIFICATE", "tls.crt"), ("WEIR_TLS__KEY", "tls.key")] {
        assert_eq!(refusal("", &[(name, given)], &[]), "tls.certificate and tls.key belong together");
    }
    let folder = Folder::new();
    let environment = [("WEIR_LISTEN_TLS", "0.0.0.0:443"), ("WEIR_TLS__CERTIFICATE", "a"), ("WEIR_TLS__KEY", "b")];
    let config = load(&folder.0, &environment, &[], b"").unwrap().config;
    assert_eq!(config.listen_tls.map(|address| address.port()), Some(443));
    assert_eq!(config.tls.key, Some(PathBuf::from("b")));
}
