//! Merging the sources: defaults, file, environment, flags. The later wins.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    Config, ConfigError, file,
    settings::{Kind, Secrecy, Setting, find, nearest, settings},
};

/// Name of the file that is read when none is named.
const DEFAULT_FILE: &str = "weir.toml";
/// Variable that names the file.
const FILE_VARIABLE: &str = "WEIR_CONFIG";
/// Longest file with a secret or with settings.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody has set it.
    Default,
    /// The settings file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// What settings are made from; tests give each part by hand.
pub struct Inputs<'a> {
    /// Folder that paths start from.
    pub folder: &'a Path,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Flags, by the key of their setting.
    pub flags: Vec<(String, String)>,
    /// The standard input, read at most once.
    pub stdin: &'a mut dyn Read,
}

/// Settings with their origin.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Where each comes from, by key; those not named have their default.
    pub sources: BTreeMap<String, Source>,
    /// What the administrator should know, one line each.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Where a setting comes from.
    pub fn source(&self, key: &str) -> Source {
        self.sources.get(key).cloned().unwrap_or(Source::Default)
    }
}

/// The values found so far; a later layer replaces those of an earlier one.
#[derive(Default)]
struct Values(BTreeMap<String, (Value, Source)>);

impl Loaded {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// The first thing that cannot be used, by its name and place.
    pub fn from(inputs: Inputs<'_>) -> Result<Self, ConfigError> {
        let mut warnings = Vec::new();
        let (environment, named_file) = from_environment(inputs.environment, &mut warnings);
        let mut layers = Vec::new();
        if let Some((path, text)) = read_settings(inputs.folder, inputs.file.or(named_file))? {
            let layer = file::parse(&path, &text)?;
            layers.push(layer.into_iter().map(|(key, value)| (key, value, Source::File(path.clone()))).collect());
        }
        layers.push(typed(environment)?);
        let flags = inputs.flags.into_iter().map(|(key, text)| {
            let flag = find(&key).map_or_else(|| key.clone(), |setting| setting.flag.clone());
            (key, text, Source::Flag(flag))
        });
        layers.push(typed(flags.collect())?);
        let mut values = Values::default();
        let mut secrets = Secrets { folder: inputs.folder, stdin: Some(inputs.stdin) };
        for layer in layers {
            values.add(layer, &mut secrets)?;
        }
        let config: Config = serde_json::from_value(values.tree())
            .map_err(|error| ConfigError(format!("the settings do not fit together: {error}")))?;
        config.check()?;
        let sources = values.0.into_iter().map(|(key, (_, source))| (key, source)).collect();
        Ok(Self { config, sources, warnings })
    }
}

impl Values {
    fn add(&mut self, layer: Vec<(String, Value, Source)>, secrets: &mut Secrets<'_>) -> Result<(), ConfigError> {
        let mut files = Vec::new();
        let mut given = Vec::new();
        for (key, value, source) in layer {
            let Some(setting) = find(&key) else { continue };
            check(setting, &value, &source)?;
            match &setting.file_of {
                Some(secret) => files.push((secret.clone(), value, source)),
                None => {
                    given.push(key.clone());
                    self.0.insert(key, (value, source));
                }
            }
        }
        for (key, path, source) in files {
            if given.contains(&key) {
                return Err(ConfigError(format!("{source}: {key} is given in two ways; keep one")));
            }
            let text = secrets.read(path.as_str().unwrap_or_default(), &source)?;
            self.0.insert(key, (text.into(), source));
        }
        Ok(())
    }

    /// As one JSON document.
    fn tree(&self) -> Value {
        let mut root = Map::new();
        for (key, (value, _)) in &self.0 {
            insert(&mut root, key, value.clone());
        }
        Value::Object(root)
    }
}

fn insert(into: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            into.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = into.entry(section).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Refuses a value by name and place; what a secret is, is not repeated.
fn check(setting: &Setting, value: &Value, source: &Source) -> Result<(), ConfigError> {
    let name = match source {
        Source::File(_) => format!("{source}: {}", setting.key),
        _ => source.to_string(),
    };
    let refuse = |why: String| Err(ConfigError(format!("{name}: {why}")));
    if let (Some(number), (least, most)) = (value.as_u64(), setting.range)
        && (least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most))
    {
        let bounds = match (least, most) {
            (Some(least), Some(most)) if least > 0 => format!("between {least} and {most}"),
            (_, Some(most)) => format!("at most {most}"),
            (least, None) => format!("at least {}", least.unwrap_or_default()),
        };
        return refuse(format!("{number} must be {bounds}"));
    }
    if setting.file_of.is_some() {
        return if value.is_string() { Ok(()) } else { refuse("must be a text".to_owned()) };
    }
    let mut alone = Map::new();
    insert(&mut alone, &setting.key, value.clone());
    match serde_json::from_value::<Config>(Value::Object(alone)) {
        Ok(_) => {}
        Err(_) if setting.secrecy != Secrecy::Open => return refuse("must be a text".to_owned()),
        Err(error) => return refuse(error.to_string()),
    }
    let is_flag = matches!(source, Source::Flag(_));
    if is_flag && setting.secrecy == Secrecy::Url && has_password(value.as_str().unwrap_or_default()) {
        let (variable, file) = (&setting.variable, &setting.flag);
        let why = "a password does not belong on the command line, where everybody on the machine can read it";
        return refuse(format!("{why}; use {variable}, --{file}-file or the settings file"));
    }
    Ok(())
}

fn has_password(url: &str) -> bool {
    let login = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    login.is_some_and(|(login, _)| login.contains(':')) || url.contains("password=")
}

type Texts = Vec<(String, String, Source)>;

/// The settings in the environment, and the file it names. Empty variables count as not set.
fn from_environment(environment: Vec<(String, String)>, warnings: &mut Vec<String>) -> (Texts, Option<PathBuf>) {
    let mut found = Vec::new();
    let mut file = None;
    for (name, text) in environment {
        if !name.starts_with("WEIR_") {
            continue;
        }
        if name == FILE_VARIABLE {
            file = (!text.is_empty()).then(|| PathBuf::from(text));
            continue;
        }
        match settings().iter().find(|setting| setting.variable == name) {
            Some(_) if text.is_empty() => {}
            Some(setting) => found.push((setting.key.clone(), text, Source::Environment(name))),
            None => {
                let known = settings().iter().map(|setting| setting.variable.as_str());
                let hint = nearest(&name, known).map(|known| format!("; did you mean {known}?")).unwrap_or_default();
                warnings.push(format!("the variable {name} is no setting and is ignored{hint}"));
            }
        }
    }
    (found, file)
}

fn typed(texts: Texts) -> Result<Vec<(String, Value, Source)>, ConfigError> {
    let read = |(key, text, source): (String, String, Source)| {
        let kind = find(&key).map_or(Kind::Text, |setting| setting.kind);
        let value = match kind {
            Kind::Text => text.into(),
            Kind::List => {
                let items = text.split([',', ' ']).filter(|item| !item.is_empty());
                items.map(Value::from).collect::<Vec<_>>().into()
            }
            Kind::Number => match text.trim().parse::<u64>() {
                Ok(number) => number.into(),
                Err(_) => return Err(ConfigError(format!("{source}: {text:?} is not a whole number"))),
            },
            Kind::Flag => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => true.into(),
                "false" | "0" | "no" | "off" => false.into(),
                _ => return Err(ConfigError(format!("{source}: {text:?} is neither true nor false"))),
            },
        };
        Ok((key, value, source))
    };
    texts.into_iter().map(read).collect()
}

/// The settings file that is named, or the one in the current folder if there is one.
fn read_settings(folder: &Path, named: Option<PathBuf>) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let (path, must_exist) = named.map_or_else(|| (PathBuf::from(DEFAULT_FILE), false), |path| (path, true));
    match read_text(&folder.join(&path)) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(error) => Err(ConfigError(format!("the settings file {}: {error}", path.display()))),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Where secrets are read from.
struct Secrets<'a> {
    folder: &'a Path,
    stdin: Option<&'a mut dyn Read>,
}

impl Secrets<'_> {
    /// The content of a file, or of the standard input, without the line's end.
    fn read(&mut self, path: &str, source: &Source) -> Result<String, ConfigError> {
        let refuse = |why: String| ConfigError(format!("{source}: {why}"));
        let text = if path == "-" {
            let stdin = self.stdin.take().ok_or_else(|| refuse("the standard input is already used".to_owned()))?;
            let mut text = String::new();
            let read = stdin.take(MAX_FILE_BYTES).read_to_string(&mut text);
            read.map(|_| text).map_err(|error| refuse(format!("the standard input: {error}")))?
        } else {
            read_text(&self.folder.join(path)).map_err(|error| refuse(format!("{path}: {error}")))?
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(refuse(format!("{path} is empty")));
        }
        Ok(text.to_owned())
    }
}
