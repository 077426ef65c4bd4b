//! What an expression may ask of the server while it runs.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Value;

/// A Python exception, to be raised where the expression asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// Name of the class: a built-in one, `DoesNotExist`, `MultipleObjectsReturned`, `SkipObject` or one of
    /// `requests` (`RequestException`, `HTTPError`, `ConnectionError`, `Timeout`). Any other becomes `Exception`.
    pub class: String,
    /// Its text.
    pub message: String,
}

impl Raise {
    /// An exception of a class.
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class: class.into(), message: message.into() }
    }

    /// The exception of a missing attribute; `hasattr` and `getattr` with a default understand it.
    pub fn no_attribute(class: &str, name: &str) -> Self {
        Self::new("AttributeError", format!("'{class}' object has no attribute '{name}'"))
    }

    /// The exception of a name that nothing stands for.
    pub fn no_function(name: &str) -> Self {
        Self::new("NameError", format!("name '{name}' is not defined"))
    }
}

/// A call of a function or method that the host answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Handle of the object for a method; none for a function. Calling the object itself has the name `__call__`,
    /// loading a `QuerySet` into a list the name `__iter__` (no arguments, answer a list).
    pub object: Option<String>,
    /// The object as the expression left it, with changed attributes. Only for `save`.
    pub receiver: Option<Value>,
    /// Function or method name. The function `__import__` asks for a module of `authentik` or `django` that the
    /// worker does not know: the arguments are the module's dotted name and the name to take from it, or none.
    pub name: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Named arguments, in order.
    pub kwargs: Vec<(String, Value)>,
}

impl Call {
    /// The argument at a position or, failing that, of a name.
    pub fn arg(&self, index: usize, name: &str) -> Option<&Value> {
        self.args.get(index).or_else(|| self.kwarg(name))
    }

    /// The argument of a name.
    pub fn kwarg(&self, name: &str) -> Option<&Value> {
        self.kwargs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// The server's side of a run.
///
/// Handles are the strings that the host put into [`crate::Object::id`]; they mean something to it alone and only
/// during the run. Two handles exist without the host's doing: `requests` (the HTTP session) and
/// `model:<module>.<Name>` for classes imported from `authentik`.
#[async_trait]
pub trait Host: Send {
    /// An attribute that did not come with the object. A missing one is [`Raise::no_attribute`].
    async fn attribute(&mut self, object: &str, name: &str) -> Result<Value, Raise>;

    /// A function or a method.
    async fn call(&mut self, call: Call) -> Result<Value, Raise>;
}

/// A host that knows nothing, for expressions that only compute.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoHost;

#[async_trait]
impl Host for NoHost {
    async fn attribute(&mut self, object: &str, name: &str) -> Result<Value, Raise> {
        Err(Raise::no_attribute(object, name))
    }

    async fn call(&mut self, call: Call) -> Result<Value, Raise> {
        match &call.object {
            Some(object) => Err(Raise::no_attribute(object, &call.name)),
            None => Err(Raise::no_function(&call.name)),
        }
    }
}
