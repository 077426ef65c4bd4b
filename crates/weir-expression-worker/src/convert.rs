//! Values of the wire and values of the interpreter.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike};
use monty_types::{
    ExcType, MontyDate, MontyDateTime, MontyObject, MontyTime, MontyTimeDelta, MontyUuid, ObjectRef,
    unstable::{self, ClassTypeNode, MontyGraph, MontyNode, NodeId},
};
use num_bigint::BigInt;
use weir_expression::{MAX_VALUE_DEPTH, Object, Raise, Value};

/// Attributes of the class of a host object by which the prelude knows it.
const IS_HOST: &str = "_weir_is_host";
const IS_SET: &str = "_weir_is_set";
/// Attribute of a host object with its text.
const TEXT: &str = "_weir_text";
/// The class whose objects are loaded into lists.
const SET_CLASS: &str = "QuerySet";
/// Ids below are those of classes and objects that the worker itself provides.
const FIRST_HANDLE: u128 = 1 << 64;
const FIRST_CLASS: u128 = 1 << 65;

/// How the handle of an imported class begins.
pub(crate) const MODEL: &str = "model:";

/// Exceptions that no built-in class stands for, and the class that nothing else raises and that stands for them.
const STAND_INS: &[(&str, ExcType)] = &[
    ("SkipObject", ExcType::BinasciiIncomplete),
    ("DoesNotExist", ExcType::CsvError),
    ("MultipleObjectsReturned", ExcType::DecimalClamped),
];

/// Exceptions of the host and the class they become.
const HOST_EXCEPTIONS: &[(&str, ExcType)] = &[
    ("ObjectDoesNotExist", ExcType::CsvError),
    ("RequestException", ExcType::OSError),
    ("HTTPError", ExcType::OSError),
    ("ConnectionError", ExcType::OSError),
    ("Timeout", ExcType::TimeoutError),
    ("JSONDecodeError", ExcType::JsonDecodeError),
    ("PermissionDenied", ExcType::PermissionError),
];

/// The interpreter's class for an exception name.
pub(crate) fn exception_type(class: &str) -> ExcType {
    let known = STAND_INS.iter().chain(HOST_EXCEPTIONS).find(|(name, _)| *name == class).map(|(_, kind)| *kind);
    known.or_else(|| class.parse().ok()).unwrap_or(ExcType::Exception)
}

/// The name of an exception class as an administrator knows it.
pub(crate) fn exception_name(kind: ExcType) -> String {
    let stand_in = STAND_INS.iter().find(|(_, stand_in)| *stand_in == kind);
    stand_in.map_or_else(
        || kind.to_string().rsplit('.').next().unwrap_or_default().to_owned(),
        |(name, _)| (*name).to_owned(),
    )
}

/// Why a value cannot leave the interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// Nested too deeply.
    Deep,
    /// Too many bytes.
    Long,
}

impl TooLarge {
    /// In words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Deep => "value is nested too deeply",
            Self::Long => "value is too large",
        }
    }
}

/// The host's handles and the classes of its objects, under the ids the interpreter knows them by.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    handles: Vec<String>,
    known: HashMap<String, u128>,
    classes: HashMap<String, u128>,
    /// Classes the expression imported, with the handle the host knows them by.
    models: HashMap<u128, String>,
}

impl Handles {
    fn id_of(&mut self, handle: &str) -> MontyUuid {
        if let Some(id) = self.known.get(handle) {
            return MontyUuid::from_u128(*id);
        }
        let id = FIRST_HANDLE + self.handles.len() as u128;
        self.handles.push(handle.to_owned());
        self.known.insert(handle.to_owned(), id);
        MontyUuid::from_u128(id)
    }

    /// The handle of an id the interpreter names.
    pub(crate) fn handle(&self, id: MontyUuid) -> Option<&str> {
        let id = u128::from_be_bytes(*id.as_bytes());
        if let Some(model) = self.models.get(&id) {
            return Some(model);
        }
        let index = id.checked_sub(FIRST_HANDLE)?;
        self.handles.get(usize::try_from(index).ok()?).map(String::as_str)
    }

    fn class_id(&mut self, class: &str) -> MontyUuid {
        let next = FIRST_CLASS + self.classes.len() as u128;
        MontyUuid::from_u128(*self.classes.entry(class.to_owned()).or_insert(next))
    }

    /// A value for the interpreter. Objects with the same handle and attributes are one object in it.
    pub(crate) fn import(&mut self, value: &Value) -> Result<MontyObject, Raise> {
        let mut import =
            Import { handles: self, graph: MontyGraph::new(), classes: HashMap::new(), objects: HashMap::new() };
        let root = import.push(value);
        let graph = import.graph;
        unstable::object_from_graph(graph, root).map_err(|error| Raise::new("ValueError", error.to_string()))
    }

    /// A value from the interpreter of at most this many bytes.
    pub(crate) fn export(&self, value: ObjectRef<'_>, bytes: usize) -> Result<Value, TooLarge> {
        Export { handles: self, left: bytes }.value(value, 0)
    }
}

struct Import<'a, 'v> {
    handles: &'a mut Handles,
    graph: MontyGraph,
    classes: HashMap<String, NodeId>,
    objects: HashMap<&'v str, (&'v Object, NodeId)>,
}

impl<'v> Import<'_, 'v> {
    fn push(&mut self, value: &'v Value) -> NodeId {
        let node = match value {
            Value::None => MontyNode::None,
            Value::Bool(value) => MontyNode::Bool(*value),
            Value::Int(value) => MontyNode::Int(*value),
            Value::BigInt(text) => text.parse::<BigInt>().map_or(MontyNode::None, MontyNode::BigInt),
            Value::Float(value) => MontyNode::Float(*value),
            Value::Decimal(text) => MontyNode::Decimal(text.clone()),
            Value::Str(text) | Value::Repr(text) => MontyNode::String(text.clone()),
            Value::Bytes(bytes) => MontyNode::Bytes(bytes.clone()),
            Value::List(items) => MontyNode::List(self.push_all(items)),
            Value::Tuple(items) => MontyNode::Tuple(self.push_all(items)),
            Value::Set(items) => MontyNode::Set(self.push_all(items)),
            Value::Dict(pairs) => {
                MontyNode::Dict(pairs.iter().map(|(key, value)| (self.push(key), self.push(value))).collect())
            }
            Value::DateTime(value) => {
                MontyNode::DateTime(datetime(&value.naive_local(), Some(value.offset().local_minus_utc())))
            }
            Value::NaiveDateTime(value) => MontyNode::DateTime(datetime(value, None)),
            Value::Date(value) => {
                MontyNode::Date(MontyDate { year: value.year(), month: small(value.month()), day: small(value.day()) })
            }
            Value::Time(value) => MontyNode::Time(MontyTime {
                hour: small(value.hour()),
                minute: small(value.minute()),
                second: small(value.second()),
                microsecond: micros(value),
                offset_seconds: None,
                timezone_name: None,
                fold: 0,
            }),
            Value::TimeDelta(total) => MontyNode::TimeDelta(timedelta(*total)),
            Value::IpAddress(address) => MontyNode::String(address.to_string()),
            Value::Exception { class, message } => {
                MontyNode::Exception { exc_type: exception_type(class), arg: Some(message.clone()) }
            }
            Value::Object(object) => return self.push_object(object),
        };
        self.graph.push(node)
    }

    fn push_all(&mut self, items: &'v [Value]) -> Vec<NodeId> {
        items.iter().map(|item| self.push(item)).collect()
    }

    fn push_text(&mut self, text: &str) -> NodeId {
        self.graph.push(MontyNode::String(text.to_owned()))
    }

    fn push_object(&mut self, object: &'v Object) -> NodeId {
        if let Some((known, node)) = self.objects.get(object.id.as_str())
            && *known == object
        {
            return *node;
        }
        if object.id.starts_with(MODEL) {
            return self.push_model(&object.id);
        }
        let mut attrs: Vec<(NodeId, NodeId)> =
            object.attrs.iter().map(|(name, value)| (self.push_text(name), self.push(value))).collect();
        if let Some(text) = &object.text {
            attrs.push((self.push_text(TEXT), self.push_text(text)));
        }
        let class_type = self.push_class(&object.class);
        let instance_id = self.handles.id_of(&object.id);
        let node = self.graph.push(MontyNode::ClassInstance { class_type, instance_id, attrs });
        self.objects.insert(&object.id, (object, node));
        node
    }

    /// An imported model is the class of its instances, so that `isinstance` works.
    fn push_model(&mut self, handle: &str) -> NodeId {
        let class = handle.rsplit('.').next().unwrap_or_default();
        let id = self.handles.class_id(class);
        self.handles.models.insert(u128::from_be_bytes(*id.as_bytes()), handle.to_owned());
        self.push_class(class)
    }

    fn push_class(&mut self, class: &str) -> NodeId {
        if let Some(node) = self.classes.get(class) {
            return *node;
        }
        let yes = self.graph.push(MontyNode::Bool(true));
        let mut attrs = vec![(self.push_text(IS_HOST), yes)];
        if class == SET_CLASS {
            attrs.push((self.push_text(IS_SET), yes));
        }
        let id = self.handles.class_id(class);
        let node = self.graph.push(MontyNode::ClassType(Box::new(ClassTypeNode {
            name: class.to_owned(),
            id,
            host_defined: true,
            is_dataclass: false,
            attrs,
        })));
        self.classes.insert(class.to_owned(), node);
        node
    }
}

struct Export<'a> {
    handles: &'a Handles,
    left: usize,
}

impl Export<'_> {
    fn charge(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.left = self.left.checked_sub(bytes.saturating_add(8)).ok_or(TooLarge::Long)?;
        Ok(())
    }

    fn value(&mut self, value: ObjectRef<'_>, depth: usize) -> Result<Value, TooLarge> {
        // Below the limit of the wire by what surrounds the value there.
        if depth + 4 > MAX_VALUE_DEPTH {
            return Err(TooLarge::Deep);
        }
        let node = unstable::node(value);
        self.charge(payload(node))?;
        let items = |this: &mut Self, ids: &[NodeId]| -> Result<Vec<Value>, TooLarge> {
            ids.iter().map(|id| this.value(unstable::child(value, *id), depth + 1)).collect()
        };
        Ok(match node {
            MontyNode::None => Value::None,
            MontyNode::Bool(value) => Value::Bool(*value),
            MontyNode::Int(value) => Value::Int(*value),
            MontyNode::BigInt(number) => Value::BigInt(number.to_string()),
            MontyNode::Float(value) => Value::Float(*value),
            MontyNode::Decimal(text) => Value::Decimal(text.clone()),
            MontyNode::String(text) | MontyNode::Path(text) => Value::Str(text.clone()),
            MontyNode::Bytes(bytes) => Value::Bytes(bytes.clone()),
            MontyNode::List(ids) => Value::List(items(self, ids)?),
            MontyNode::Tuple(ids) | MontyNode::NamedTuple { values: ids, .. } => Value::Tuple(items(self, ids)?),
            MontyNode::Set(ids) | MontyNode::FrozenSet(ids) => Value::Set(items(self, ids)?),
            MontyNode::Dict(pairs) => Value::Dict(
                pairs
                    .iter()
                    .map(|(key, item)| {
                        let key = self.value(unstable::child(value, *key), depth + 1)?;
                        Ok((key, self.value(unstable::child(value, *item), depth + 1)?))
                    })
                    .collect::<Result<_, TooLarge>>()?,
            ),
            MontyNode::Date(date) => from_date(date).map_or_else(|| Value::Repr(value.py_repr()), Value::Date),
            MontyNode::DateTime(moment) => from_datetime(moment).unwrap_or_else(|| Value::Repr(value.py_repr())),
            MontyNode::Time(time) => NaiveTime::from_hms_micro_opt(
                time.hour.into(),
                time.minute.into(),
                time.second.into(),
                time.microsecond,
            )
            .map_or_else(|| Value::Repr(value.py_repr()), Value::Time),
            MontyNode::TimeDelta(delta) => Value::TimeDelta(
                (i64::from(delta.days) * 86_400 + i64::from(delta.seconds))
                    .saturating_mul(1_000_000)
                    .saturating_add(i64::from(delta.microseconds)),
            ),
            MontyNode::Exception { exc_type, arg } => {
                Value::Exception { class: exception_name(*exc_type), message: arg.clone().unwrap_or_default() }
            }
            MontyNode::ClassInstance { instance_id, attrs, .. } => self.object(value, *instance_id, attrs, depth)?,
            MontyNode::ClassType(class) => match self.handles.handle(class.id) {
                Some(handle) => Object::new("ModelBase", handle).into(),
                None => Value::Repr(value.py_repr()),
            },
            MontyNode::Repr(text) | MontyNode::Cycle(text) => Value::Repr(text.clone()),
            _ => Value::Repr(value.py_repr()),
        })
    }

    fn object(
        &mut self,
        value: ObjectRef<'_>,
        id: MontyUuid,
        attrs: &[(NodeId, NodeId)],
        depth: usize,
    ) -> Result<Value, TooLarge> {
        let class = value.type_name();
        let mut object = Object::new(class, self.handles.handle(id).unwrap_or_default());
        for (name, attr) in attrs {
            let Some(name) = unstable::child(value, *name).as_str() else { continue };
            let attr = unstable::child(value, *attr);
            if name == TEXT {
                object.text = attr.as_str().map(ToOwned::to_owned);
            } else {
                self.charge(name.len())?;
                object.attrs.push((name.to_owned(), self.value(attr, depth + 1)?));
            }
        }
        Ok(match (class, object.find_attr("compressed"), object.find_attr("hex")) {
            // The address objects of the prelude.
            ("_WeirAddress" | "_WeirNetwork", Some(Value::Str(text)), _) => {
                text.parse().map_or_else(|_| Value::Str(text.clone()), Value::IpAddress)
            }
            ("_WeirUuid", _, Some(Value::Str(hex))) => Value::Str(dashed(hex)),
            _ => object.into(),
        })
    }
}

/// The bytes a node itself takes.
fn payload(node: &MontyNode) -> usize {
    match node {
        MontyNode::String(text)
        | MontyNode::Path(text)
        | MontyNode::Decimal(text)
        | MontyNode::Repr(text)
        | MontyNode::Cycle(text) => text.len(),
        MontyNode::Bytes(bytes) => bytes.len(),
        MontyNode::BigInt(number) => usize::try_from(number.bits() / 3).unwrap_or(usize::MAX),
        MontyNode::Exception { arg, .. } => arg.as_ref().map_or(0, String::len),
        _ => 0,
    }
}

fn dashed(hex: &str) -> String {
    let mut text = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn micros(time: &impl Timelike) -> u32 {
    // A leap second is shown as the last moment before it.
    (time.nanosecond() / 1000).min(999_999)
}

fn datetime(value: &NaiveDateTime, offset_seconds: Option<i32>) -> MontyDateTime {
    MontyDateTime {
        year: value.year(),
        month: small(value.month()),
        day: small(value.day()),
        hour: small(value.hour()),
        minute: small(value.minute()),
        second: small(value.second()),
        microsecond: micros(value),
        offset_seconds,
        timezone_name: None,
    }
}

fn timedelta(total: i64) -> MontyTimeDelta {
    const DAY: i64 = 86_400_000_000;
    let rest = total.rem_euclid(DAY);
    let part = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    MontyTimeDelta {
        days: part(total.div_euclid(DAY)),
        seconds: part(rest / 1_000_000),
        microseconds: part(rest % 1_000_000),
    }
}

fn from_date(date: &MontyDate) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(date.year, date.month.into(), date.day.into())
}

fn from_datetime(moment: &MontyDateTime) -> Option<Value> {
    let date = NaiveDate::from_ymd_opt(moment.year, moment.month.into(), moment.day.into())?;
    let naive =
        date.and_hms_micro_opt(moment.hour.into(), moment.minute.into(), moment.second.into(), moment.microsecond)?;
    match moment.offset_seconds {
        None => Some(Value::NaiveDateTime(naive)),
        Some(offset) => {
            let moment: DateTime<FixedOffset> = FixedOffset::east_opt(offset)?.from_local_datetime(&naive).single()?;
            Some(Value::DateTime(moment))
        }
    }
}
