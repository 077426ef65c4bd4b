//! Values and JSON.

use serde_json::{Map, Number};

use crate::Value;

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::None,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => from_number(&number),
            serde_json::Value::String(text) => Self::Str(text),
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(map) => {
                Self::Dict(map.into_iter().map(|(key, value)| (Self::Str(key), Self::from(value))).collect())
            }
        }
    }
}

fn from_number(number: &Number) -> Value {
    if let Some(value) = number.as_i64() {
        Value::Int(value)
    } else if let Some(value) = number.as_u64() {
        Value::BigInt(value.to_string())
    } else {
        Value::Float(number.as_f64().unwrap_or(f64::NAN))
    }
}

impl Value {
    /// The value as JSON: tuples and sets become lists, objects their attributes, everything else without a JSON
    /// counterpart (dates, bytes, infinite numbers, large integers) its text.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::None => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::BigInt(text) => text.parse::<u64>().map_or_else(|_| text.clone().into(), Into::into),
            Self::Float(value) => {
                Number::from_f64(*value).map_or_else(|| float_text(*value).into(), serde_json::Value::Number)
            }
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => items.iter().map(Self::to_json).collect(),
            Self::Dict(pairs) => {
                pairs.iter().map(|(key, value)| (key.key_text(), value.to_json())).collect::<Map<_, _>>().into()
            }
            Self::Object(object) => {
                object.attrs.iter().map(|(name, value)| (name.clone(), value.to_json())).collect::<Map<_, _>>().into()
            }
            other => other.key_text().into(),
        }
    }

    /// What Python's `json` makes of a dictionary key, and a readable text for anything else.
    pub fn key_text(&self) -> String {
        match self {
            Self::None => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => float_text(*value),
            Self::BigInt(text) | Self::Decimal(text) | Self::Str(text) | Self::Repr(text) => text.clone(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::DateTime(value) => value.to_rfc3339(),
            Self::NaiveDateTime(value) => value.format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
            Self::Date(value) => value.to_string(),
            Self::Time(value) => value.format("%H:%M:%S%.f").to_string(),
            Self::TimeDelta(micros) => format!("{}", *micros as f64 / 1_000_000.0),
            Self::IpAddress(address) => address.to_string(),
            Self::Exception { message, .. } => message.clone(),
            Self::Object(object) => object.text.clone().unwrap_or_else(|| object.class.clone()),
            Self::List(_) | Self::Tuple(_) | Self::Set(_) | Self::Dict(_) => self.to_json().to_string(),
        }
    }
}

fn float_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        value.to_string()
    }
}
