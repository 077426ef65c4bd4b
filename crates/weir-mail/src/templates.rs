//! Templates: ours, and the administrator's folder whose files win over ours of the same name.

use crate::{Letterhead, Locale, text};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, context, escape_formatter,
    value::{Kwargs, Object, Serde, Value as Jinja, from_args},
};
use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Component, Path, PathBuf},
    sync::Arc,
};
use weir_core::{Map, validate};

macro_rules! ours {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!(concat!("../templates/", $name)))),+] };
}

/// Our templates with the parts they are made of.
const OURS: &[(&str, &str)] = ours![
    "email/layout.html",
    "email/layout.txt",
    "email/parts.html",
    "email/password_reset.html",
    "email/password_reset.txt",
    "email/account_confirmation.html",
    "email/account_confirmation.txt",
    "email/email_otp.html",
    "email/email_otp.txt",
    "email/event_notification.html",
    "email/event_notification.txt",
    "email/invitation.html",
    "email/invitation.txt",
    "email/setup.html",
    "email/setup.txt",
];

/// Those that are offered, with what they are for.
const OFFERED: &[(&str, &str)] = &[
    ("email/password_reset.html", "Way back into an account"),
    ("email/account_confirmation.html", "Confirmation of an address"),
    ("email/email_otp.html", "One-time code"),
    ("email/event_notification.html", "Notification of an event"),
    ("email/invitation.html", "Invitation"),
];

/// Steps of one rendering; ours take a few hundred.
const FUEL: u64 = 500_000;
/// Largest template file and largest mail, bytes.
const LARGEST: usize = 512 * 1024;
/// Files looked at in the administrator's folder, and how deep.
const MOST_FILES: usize = 1000;
const DEEPEST: usize = 8;

/// A template that is unknown or broken. Names template and line, never the values put in.
#[derive(Debug, thiserror::Error)]
#[error("{template}: {text}")]
pub struct TemplateError {
    /// The template that was asked for.
    pub template: String,
    /// What is wrong.
    pub text: String,
}

/// A template on offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateInfo {
    /// Its name, as stages keep it.
    pub name: String,
    /// What it is for.
    pub description: String,
}

/// What a template is filled with.
#[derive(Debug)]
pub struct Letter<'a> {
    /// How it looks and in which language.
    pub head: &'a Letterhead,
    /// Variables.
    pub data: &'a Map,
}

/// A rendered template.
#[derive(Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The page.
    pub html: String,
    /// The same as plain text.
    pub text: String,
}

/// All templates.
#[derive(Debug)]
pub struct Templates {
    ours: Environment<'static>,
    folder: Option<PathBuf>,
}

impl Templates {
    /// Ours and those of a folder, which may be missing.
    ///
    /// # Errors
    /// When one of ours is broken, which is a defect.
    pub fn new(folder: Option<PathBuf>) -> Result<Self, TemplateError> {
        let mut env = Environment::new();
        env.set_auto_escape_callback(|name| if name.ends_with(".txt") { AutoEscape::None } else { AutoEscape::Html });
        // Debug errors list the variables they met, and those are secret.
        env.set_debug(false);
        env.set_fuel(Some(FUEL));
        env.set_formatter(write_value);
        // What is missing is empty: a person without some attribute must get their mail all the same.
        env.set_undefined_behavior(UndefinedBehavior::Chainable);
        for (name, text) in OURS {
            env.add_template(name, text).map_err(|error| failed(name, &error))?;
        }
        Ok(Self { ours: env, folder })
    }

    /// Every template that can be chosen, ours first. Asks the file system.
    pub fn list(&self) -> Vec<TemplateInfo> {
        let info = |name: &str, text: &str| TemplateInfo { name: name.to_owned(), description: text.to_owned() };
        let mut all: Vec<TemplateInfo> = OFFERED.iter().map(|(name, text)| info(name, text)).collect();
        for name in self.folder.as_deref().map(files).unwrap_or_default() {
            if !OURS.iter().any(|(ours, _)| *ours == name) {
                all.push(info(&name, "Template of this site"));
            }
        }
        all
    }

    /// Whether a template can be chosen.
    pub fn knows(&self, name: &str) -> bool {
        OFFERED.iter().any(|(ours, _)| *ours == name)
            || (name.ends_with(".html") && self.path(name).is_some_and(|path| fs::File::open(path).is_ok()))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        confined(self.folder.as_deref()?, name)
    }

    /// Renders a template and its twin `.txt`; without one the text is made from the page.
    ///
    /// # Errors
    /// When it is unknown or broken, or the result too large.
    pub fn render(&self, name: &str, letter: &Letter<'_>) -> Result<Rendered, TemplateError> {
        let mut env = self.ours.clone();
        let mut theirs = Vec::new();
        if let Some(folder) = self.folder.clone() {
            theirs = OURS.iter().map(|(ours, _)| *ours).filter(|ours| confined(&folder, ours).is_some()).collect();
            for ours in &theirs {
                env.remove_template(ours);
            }
            env.set_loader(move |name| load(&folder, name));
        }
        let context = variables(letter);
        let html = render(&env, name, &context)?;
        let twin = format!("{}.txt", name.trim_end_matches(".html"));
        let has_twin =
            self.path(&twin).is_some() || (!theirs.contains(&name) && OURS.iter().any(|(ours, _)| *ours == twin));
        let text = if has_twin { text::tidy(&render(&env, &twin, &context)?) } else { text::from_html(&html) };
        Ok(Rendered { html, text })
    }
}

fn failed(template: &str, error: &Error) -> TemplateError {
    let place = error.name().map(|name| format!(" (in {name}, line {})", error.line().unwrap_or(0)));
    // Details of what was asked for may quote the template, not the values: `debug` is off.
    let text = format!("{}{}", error.kind(), place.unwrap_or_default());
    TemplateError { template: template.to_owned(), text }
}

fn render(env: &Environment<'_>, name: &str, context: &Jinja) -> Result<String, TemplateError> {
    let template = env.get_template(name).map_err(|error| failed(name, &error))?;
    let out = template.render(context).map_err(|error| failed(name, &error))?;
    if out.len() > LARGEST {
        return Err(TemplateError { template: name.to_owned(), text: "the mail would be too large".to_owned() });
    }
    Ok(out)
}

fn variables(letter: &Letter<'_>) -> Jinja {
    let head = letter.head;
    let own = Jinja::from(Serde(letter.data));
    let expires = letter.data.get("expires").and_then(serde_json::Value::as_str).and_then(validate::parse_time);
    let until = expires.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string());
    let lifetime = letter.data.get("lifetime").and_then(serde_json::Value::as_i64);
    let shared = context! {
        brand => context! { title => &head.title, logo => &head.logo },
        base_url => &head.base_url,
        host => head.host(),
        lang => &head.locale.tag,
        dir => match head.locale.direction { crate::Direction::Ltr => "ltr", crate::Direction::Rtl => "rtl" },
        until,
        span => lifetime.map(|seconds| head.locale.span(seconds)),
        t => Jinja::from_object(Texts(head.locale)),
    };
    context! { ..own, ..shared }
}

/// `t("key", name=value)`: a text of the reader's language.
#[derive(Debug)]
struct Texts(&'static Locale);

impl Object for Texts {
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Jinja]) -> Result<Jinja, Error> {
        let (key, values): (&str, Kwargs) = from_args(args)?;
        let mut given: BTreeMap<&str, String> = BTreeMap::new();
        for name in values.args() {
            given.insert(name, values.get::<Jinja>(name)?.to_string());
        }
        let pairs: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(Jinja::from(self.0.text(key, &pairs)))
    }
}

/// Escapes text for elements and quoted attributes. The slash, which the usual formatter escapes as well, is harmless
/// in both and stands in every address.
fn write_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Jinja) -> Result<(), Error> {
    let is_html = matches!(state.auto_escape(), AutoEscape::Html);
    let Some(text) = value.as_str().filter(|_| is_html && !value.is_safe()) else {
        return escape_formatter(out, state, value);
    };
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        let (before, from) = rest.split_at(at);
        out.write_str(before)?;
        out.write_str(match from.as_bytes().first() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'"') => "&quot;",
            _ => "&#39;",
        })?;
        rest = from.get(1..).unwrap_or_default();
    }
    Ok(out.write_str(rest)?)
}

/// The file of a name inside the folder; none for a name that leads elsewhere, by itself or by links.
fn confined(folder: &Path, name: &str) -> Option<PathBuf> {
    let relative = Path::new(name);
    let is_plain = |part: Component<'_>| match part {
        Component::Normal(part) => part.to_str().is_some_and(|part| !part.starts_with('.')),
        _ => false,
    };
    if name.is_empty() || name.contains(['\\', '\0']) || !relative.components().all(is_plain) {
        return None;
    }
    let folder = folder.canonicalize().ok()?;
    let path = folder.join(relative).canonicalize().ok()?;
    (path.starts_with(&folder) && path.is_file()).then_some(path)
}

fn load(folder: &Path, name: &str) -> Result<Option<String>, Error> {
    let Some(path) = confined(folder, name) else { return Ok(None) };
    let unreadable = |text: &str| Error::new(ErrorKind::BadInclude, format!("{name}: {text}"));
    let mut text = String::new();
    let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX);
    let file = fs::File::open(path).map_err(|_| unreadable("cannot be read"))?;
    file.take(limit).read_to_string(&mut text).map_err(|_| unreadable("is no text"))?;
    if text.len() >= LARGEST {
        return Err(unreadable("is too large"));
    }
    Ok(Some(text))
}

/// Names of the readable `*.html` below a folder, in order.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), 0)];
    let mut seen = 0;
    while let Some((below, depth)) = open.pop() {
        let Ok(entries) = fs::read_dir(folder.join(&below)) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if seen > MOST_FILES || name.starts_with('.') {
                continue;
            }
            let name = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.path().is_dir() {
                if depth < DEEPEST {
                    open.push((name, depth + 1));
                }
            } else if name.ends_with(".html")
                && confined(folder, &name).is_some_and(|path| fs::File::open(path).is_ok())
            {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}
