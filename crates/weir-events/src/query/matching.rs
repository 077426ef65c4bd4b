//! A query asked of an event in memory.

use super::{Comparison, Field, Node, Order, Query, Test, Value};
use std::cmp::Ordering;
use weir_core::{Map, validate::parse_time};

type Json = serde_json::Value;

impl Query {
    /// Whether an event meets the query. The event has the fields of the interface: `pk`, `user`, `action`, `app`,
    /// `context`, `client_ip`, `created`, `expires`, `brand`; what is absent counts as None.
    pub fn matches(&self, event: &Map) -> bool {
        meets(&self.root, event)
    }
}

// The parser bounds the depth.
fn meets(node: &Node, event: &Map) -> bool {
    match node {
        Node::All(parts) => parts.iter().all(|part| meets(part, event)),
        Node::Any(parts) => parts.iter().any(|part| meets(part, event)),
        Node::Not(part) => !meets(part, event),
        Node::Compare(comparison) => compare(comparison, event),
    }
}

fn compare(comparison: &Comparison, event: &Map) -> bool {
    match &comparison.field {
        Field::Text(column) => {
            let key = if *column == "id" { "pk" } else { column };
            let text = event.get(key).and_then(Json::as_str);
            test_text(&comparison.test, text)
        }
        Field::Time(column) => {
            let time = event.get(*column).and_then(Json::as_str).and_then(parse_time);
            let against = |value: &Value| match (time, value) {
                (Some(time), Value::Time(other, _)) => Some(time.timestamp_micros().cmp(&other.timestamp_micros())),
                _ => None,
            };
            let is = |value: &Value| match value {
                Value::None => time.is_none(),
                value => against(value) == Some(Ordering::Equal),
            };
            match &comparison.test {
                Test::Is(value) => is(value),
                Test::In(values) => values.iter().any(is),
                Test::Order(order, value) => against(value).is_some_and(|found| order.allows(found)),
                Test::Contains(_) | Test::StartsWith(_) => false,
            }
        }
        Field::Json(column, path) => {
            let root = event.get(*column).unwrap_or(&Json::Null);
            let found = path.iter().try_fold(root, |value, key| value.as_object()?.get(key)).unwrap_or(&Json::Null);
            let text = match found {
                Json::Null => None,
                Json::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            test_json(&comparison.test, found, text.as_deref())
        }
    }
}

fn test_json(test: &Test, found: &Json, text: Option<&str>) -> bool {
    let is = |value: &Value| match value {
        Value::Number(number, _) => found.as_f64() == Some(*number),
        value => value.as_text() == text,
    };
    match test {
        Test::Is(value) => is(value),
        Test::In(values) => values.iter().any(is),
        Test::Order(order, Value::Number(number, _)) => {
            found.as_f64().and_then(|found| found.partial_cmp(number)).is_some_and(|found| order.allows(found))
        }
        other => test_text(other, text),
    }
}

fn test_text(test: &Test, text: Option<&str>) -> bool {
    match test {
        Test::Is(value) => value.as_text() == text,
        Test::In(values) => values.iter().any(|value| value.as_text() == text),
        Test::Order(order, value) => match (text, value.as_text()) {
            (Some(text), Some(other)) => order.allows(text.cmp(other)),
            _ => false,
        },
        Test::Contains(part) => text.is_some_and(|text| text.to_lowercase().contains(&part.to_lowercase())),
        Test::StartsWith(part) => text.is_some_and(|text| text.starts_with(part.as_str())),
    }
}

impl Order {
    fn allows(self, found: Ordering) -> bool {
        match self {
            Self::Less => found == Ordering::Less,
            Self::AtMost => found != Ordering::Greater,
            Self::More => found == Ordering::Greater,
            Self::AtLeast => found != Ordering::Less,
        }
    }
}
