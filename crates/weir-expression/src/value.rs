//! The Python values that cross between the server and an expression.

use std::net::IpAddr;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime};

/// One Python value.
///
/// Equality is by structure; two dictionaries with the same pairs in another order differ.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int` of up to 64 bits.
    Int(i64),
    /// A larger `int`, in decimal.
    BigInt(String),
    /// A `float`.
    Float(f64),
    /// A `decimal.Decimal`, as `str()` shows it.
    Decimal(String),
    /// A `str`.
    Str(String),
    /// A `bytes`.
    Bytes(Vec<u8>),
    /// A `list`.
    List(Vec<Value>),
    /// A `tuple`.
    Tuple(Vec<Value>),
    /// A `set` or `frozenset`.
    Set(Vec<Value>),
    /// A `dict`, in insertion order.
    Dict(Vec<(Value, Value)>),
    /// A `datetime.datetime` with an offset.
    DateTime(DateTime<FixedOffset>),
    /// A `datetime.datetime` without one.
    NaiveDateTime(NaiveDateTime),
    /// A `datetime.date`.
    Date(NaiveDate),
    /// A `datetime.time` (offsets are not carried).
    Time(NaiveTime),
    /// A `datetime.timedelta`, in microseconds.
    TimeDelta(i64),
    /// An address object of `ipaddress` when it is the value of a variable; its text anywhere deeper.
    IpAddress(IpAddr),
    /// Something that lives on the host (a user, a request) or an instance of a class the expression defined.
    Object(Box<Object>),
    /// An exception that was not raised but used as a value.
    Exception {
        /// Name of the class.
        class: String,
        /// Its text.
        message: String,
    },
    /// What has no counterpart here (functions, modules, cycles), as its `repr()`. Only ever comes out.
    Repr(String),
}

/// A value of [`Value::Object`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object {
    /// Name of the class, as `type(x).__name__` shows it. A class named `QuerySet` is loaded into a list (by a call of
    /// `__iter__`) wherever the expression uses it as a value.
    pub class: String,
    /// The host's handle. Missing attributes and all method calls are asked of the host under this handle. Empty for
    /// instances of a class that the expression itself defined.
    pub id: String,
    /// What `str(x)` and f-strings show. Without it they show class and attributes.
    pub text: Option<String>,
    /// Attributes sent along; these the expression reads (and changes, on its own copy) without asking.
    pub attrs: Vec<(String, Value)>,
}

impl Object {
    /// An object of a class, known to the host under a handle.
    pub fn new(class: impl Into<String>, id: impl Into<String>) -> Self {
        Self { class: class.into(), id: id.into(), text: None, attrs: Vec::new() }
    }

    /// Adds an attribute that needs no question.
    #[must_use]
    pub fn attr(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attrs.push((name.into(), value.into()));
        self
    }

    /// Sets what `str(x)` shows.
    #[must_use]
    pub fn shown_as(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The attribute of this name, if it was sent along.
    pub fn find_attr(&self, name: &str) -> Option<&Value> {
        self.attrs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl Value {
    /// A `str`.
    pub fn str(text: impl Into<String>) -> Self {
        Self::Str(text.into())
    }

    /// A `list`.
    pub fn list(items: impl IntoIterator<Item = impl Into<Self>>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// A `dict` with text keys.
    pub fn dict(pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<Self>)>) -> Self {
        Self::Dict(pairs.into_iter().map(|(key, value)| (Self::Str(key.into()), value.into())).collect())
    }

    /// Whether Python takes the value for true.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::BigInt(text) => text != "0",
            Self::Decimal(text) => {
                text.chars().any(|digit| matches!(digit, '1'..='9' | 'a'..='z' | 'A'..='D' | 'F'..='Z'))
            }
            Self::Str(text) => !text.is_empty(),
            Self::Bytes(bytes) => !bytes.is_empty(),
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => !items.is_empty(),
            Self::Dict(pairs) => !pairs.is_empty(),
            Self::TimeDelta(micros) => *micros != 0,
            _ => true,
        }
    }

    /// The text of a `str`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an `int` of up to 64 bits; a `bool` counts, as in Python.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// The value of a `bool`.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The items of a list, tuple or set.
    pub fn as_items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of a `dict`.
    pub fn as_pairs(&self) -> Option<&[(Self, Self)]> {
        match self {
            Self::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The entry of a `dict` under a text key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_pairs()?.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// Python's name of the type.
    pub fn type_name(&self) -> &str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::BigInt(_) => "int",
            Self::Float(_) => "float",
            Self::Decimal(_) => "Decimal",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Set(_) => "set",
            Self::Dict(_) => "dict",
            Self::DateTime(_) | Self::NaiveDateTime(_) => "datetime",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::TimeDelta(_) => "timedelta",
            Self::IpAddress(IpAddr::V4(_)) => "IPv4Address",
            Self::IpAddress(IpAddr::V6(_)) => "IPv6Address",
            Self::Object(object) => &object.class,
            Self::Exception { class, .. } => class,
            Self::Repr(_) => "object",
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or_else(|_| Self::BigInt(value.to_string()), Self::Int)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(value)
    }
}

impl From<IpAddr> for Value {
    fn from(value: IpAddr) -> Self {
        Self::IpAddress(value)
    }
}

impl From<DateTime<chrono::Utc>> for Value {
    fn from(value: DateTime<chrono::Utc>) -> Self {
        Self::DateTime(value.fixed_offset())
    }
}

impl From<Object> for Value {
    fn from(value: Object) -> Self {
        Self::Object(Box::new(value))
    }
}

impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::List(items)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}
