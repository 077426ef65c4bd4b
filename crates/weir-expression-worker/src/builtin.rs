//! What the worker itself provides beside the prelude: the logger, the session, imported models.

use monty_types::{MontyObject, MontyUuid};
use weir_expression::{Object, Raise, Value};

use crate::convert::MODEL;

/// Functions that only the host can answer.
pub(crate) const HOST_FUNCTIONS: &[&str] = &[
    "ak_call_policy",
    "ak_create_event",
    "ak_create_jwt",
    "ak_create_jwt_raw",
    "ak_is_group_member",
    "ak_send_email",
    "ak_user_by",
    "ak_user_has_authenticator",
    "resolve_dns",
    "reverse_dns",
];

/// `ak_message`.
pub(crate) const MESSAGE: &str = "ak_message";
/// Hands the context out before an exception ends the run.
pub(crate) const KEEP: &str = "_weir_keep";
/// An import of a package that the interpreter does not have.
pub(crate) const IMPORT: &str = "_weir_import";

/// Ids of the loggers; a logger made by `bind` has the next one.
const FIRST_LOGGER: u128 = 1 << 32;
/// Id of the class of the loggers.
const LOGGER_CLASS: u128 = 1;
/// The handle of the HTTP session.
const SESSION: &str = "requests";

/// The loggers of a run: for each the values bound to it.
#[derive(Debug)]
pub(crate) struct Loggers {
    bound: Vec<Vec<(String, Value)>>,
}

impl Default for Loggers {
    fn default() -> Self {
        Self { bound: vec![Vec::new()] }
    }
}

impl Loggers {
    /// The logger everybody starts with.
    pub(crate) fn first() -> MontyObject {
        logger(0)
    }

    /// The values bound to the logger of an id, if it is one.
    pub(crate) fn bound(&self, id: MontyUuid) -> Option<&Vec<(String, Value)>> {
        let index = u128::from_be_bytes(*id.as_bytes()).checked_sub(FIRST_LOGGER)?;
        self.bound.get(usize::try_from(index).ok()?)
    }

    /// A logger with these values.
    pub(crate) fn bind(&mut self, values: Vec<(String, Value)>) -> MontyObject {
        self.bound.push(values);
        logger(self.bound.len() - 1)
    }
}

fn logger(index: usize) -> MontyObject {
    let class = MontyObject::class_type("Logger", MontyUuid::from_u128(LOGGER_CLASS), true, false, []);
    MontyObject::class_instance(class, MontyUuid::from_u128(FIRST_LOGGER + index as u128), [])
}

/// Levels of a logger's methods; `None` for a method that writes nothing.
pub(crate) fn log_level(method: &str) -> Option<&'static str> {
    Some(match method {
        "debug" => "debug",
        "info" | "msg" => "info",
        "warning" | "warn" => "warning",
        "error" | "err" => "error",
        "critical" | "fatal" => "critical",
        "exception" => "exception",
        _ => return None,
    })
}

/// The HTTP session, before the host's handle is known to the interpreter.
pub(crate) fn session() -> Object {
    Object::new("Session", SESSION)
}

/// The answer to an import that needs no host.
pub(crate) enum Imported {
    /// A value as the host gives them.
    Value(Value),
    /// A function that gives the logger.
    GetLogger,
    /// The host has to know.
    AskHost,
    /// There is no such thing.
    Missing,
}

/// Looks at `from module import name`, or `import module` without a name.
pub(crate) fn import(module: &str, name: Option<&str>) -> Imported {
    match (module, name) {
        ("requests", None) => Imported::Value(session().into()),
        ("structlog" | "structlog.stdlib", Some("get_logger")) => Imported::GetLogger,
        (module, Some(name)) if is_models(module) && is_class(name) => {
            Imported::Value(Object::new("ModelBase", format!("{MODEL}{module}.{name}")).into())
        }
        (_, Some(_)) => Imported::AskHost,
        (_, None) => Imported::Missing,
    }
}

/// Whether a name reads like a class and not like a constant or a function.
fn is_class(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase()) && name.contains(|char: char| char.is_ascii_lowercase())
}

fn is_models(module: &str) -> bool {
    module.starts_with("authentik.") && module.ends_with(".models")
}

/// The exception of a module that does not exist.
pub(crate) fn no_module(module: &str) -> Raise {
    Raise::new("ModuleNotFoundError", format!("No module named '{module}'"))
}
