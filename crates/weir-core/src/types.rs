//! Field types that carry meaning: the derived schema of a definition tells storage, validation and forms what they are.

use crate::duration;
use chrono::TimeDelta;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt, hash::Hash, marker::PhantomData};
use uuid::Uuid;

/// What a [`Ref`] may point to.
pub trait RefTarget: 'static {
    /// `app_label.model` of one kind, or the name of a family (`authentik_flows.stage`).
    const MODEL: &'static str;
    /// Objects are documents known by numbers ([`crate::resource::Family::is_numbered`]).
    const NUMBERED: bool = false;
    /// The type of its primary key.
    type Pk: Clone
        + fmt::Debug
        + PartialEq
        + Eq
        + Hash
        + Ord
        + Serialize
        + for<'a> Deserialize<'a>
        + JsonSchema
        + Send
        + Sync;
}

/// A reference to an object by primary key; deletion of the target follows the field's rule.
pub struct Ref<T: RefTarget>(pub T::Pk, PhantomData<fn() -> T>);

impl<T: RefTarget> Ref<T> {
    /// A reference to this key.
    pub fn new(pk: T::Pk) -> Self {
        Self(pk, PhantomData)
    }
    /// The key.
    pub fn pk(&self) -> &T::Pk {
        &self.0
    }
}
impl<T: RefTarget<Pk = Uuid>> Ref<T> {
    /// The key of a target addressed by UUID.
    pub fn uuid(&self) -> Uuid {
        self.0
    }
}
impl<T: RefTarget> Clone for Ref<T> {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}
impl<T: RefTarget> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", T::MODEL, self.0)
    }
}
impl<T: RefTarget> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T: RefTarget> Eq for Ref<T> {}
impl<T: RefTarget> Serialize for Ref<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}
impl<'de, T: RefTarget> Deserialize<'de> for Ref<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        T::Pk::deserialize(d).map(Self::new)
    }
}
impl<T: RefTarget> JsonSchema for Ref<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Ref_{}", T::MODEL).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::Pk::json_schema(generator);
        schema.insert("x-ref".to_owned(), T::MODEL.into());
        if T::NUMBERED {
            schema.insert("x-numbered".to_owned(), true.into());
        }
        schema
    }
}

/// A value that is accepted but never given back: not in answers, events, logs or exports.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "writeOnly": true})
    }
}

/// A text with a wire format of its own.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn inline_schema() -> bool { true }
            fn json_schema(_: &mut SchemaGenerator) -> Schema { json_schema!($schema) }
        }
        impl From<&str> for $name { fn from(text: &str) -> Self { Self(text.to_owned()) } }
    };
}

text_type!(
    /// Source of an expression; checked when saved.
    Expression, {"type": "string", "x-kind": "expression", "minLength": 1}
);
text_type!(
    /// Letters, digits, `-` and `_`: addresses an object in URLs.
    Slug, {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$", "minLength": 1}
);
text_type!(
    /// A span of time as `hours=1;minutes=2`.
    DurationText, {"type": "string", "x-kind": "duration", "minLength": 1}
);

impl DurationText {
    /// The span; an unreadable stored text counts as zero, which every reader treats as the strict end.
    pub fn delta(&self) -> TimeDelta {
        duration::parse(&self.0).unwrap_or_default()
    }
}
