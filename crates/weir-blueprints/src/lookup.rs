//! Finds objects by the values of their fields, for identifiers, `!Find` and export.

use serde_json::Value;
use uuid::Uuid;
use weir_core::{Backing, Field, Map, Reference, ResourceType, validate};
use weir_resource::{ListQuery, Snapshot, Stored, Unit, Visible};

use crate::error::BlueprintError;

type Result<T> = std::result::Result<T, BlueprintError>;

/// Pages of a table that are looked through when the database cannot tell by itself.
const MAX_PAGES: u64 = 50;

/// How a value is compared, named by the end of the field: `name__istartswith`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Exact,
    IgnoreCase,
    Contains,
    ContainsIgnoreCase,
    StartsWith,
    EndsWith,
    In,
    IsNull,
}

impl Comparison {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "exact" => Self::Exact,
            "iexact" => Self::IgnoreCase,
            "contains" => Self::Contains,
            "icontains" => Self::ContainsIgnoreCase,
            "startswith" => Self::StartsWith,
            "endswith" => Self::EndsWith,
            "in" => Self::In,
            "isnull" => Self::IsNull,
            _ => return None,
        })
    }
}

/// A field, the way from there to a value, and what the value must be.
struct Test<'a> {
    name: &'a str,
    field: Option<&'static Field>,
    path: Vec<&'a str>,
    comparison: Comparison,
    expected: Value,
}

impl<'a> Test<'a> {
    fn read(kind: &'static ResourceType, name: &'a str, expected: &Value) -> Result<Self> {
        let mut path: Vec<&str> = name.split("__").collect();
        let base = path.remove(0);
        let field = kind.find_field(base);
        if field.is_none() && !is_key(kind, base) {
            return Err(BlueprintError::invalid(format!("{} has no field {base}", kind.model)));
        }
        let mut comparison = Comparison::Exact;
        if let Some(found) = path.last().and_then(|last| Comparison::read(last)) {
            comparison = found;
            path.pop();
        }
        // What the blueprint gives in another form (`"10"` for 10) is brought to the stored one.
        let normal = field
            .filter(|_| path.is_empty() && comparison == Comparison::Exact)
            .and_then(|field| validate::check_kind(&field.kind, expected).ok());
        Ok(Self { name: base, field, path, comparison, expected: normal.unwrap_or_else(|| expected.clone()) })
    }

    fn passes(&self, snapshot: &Snapshot, object: &Stored) -> bool {
        let start = match self.field {
            Some(field) => object.doc.get(self.name).cloned().unwrap_or_else(|| field.default.clone()),
            None => object.pk_value(),
        };
        let reference = self.field.and_then(|field| field.reference.as_ref());
        let found = walk(snapshot, vec![start], &self.path, reference);
        found.iter().any(|value| self.matches(snapshot, value, reference.is_some() && self.path.is_empty()))
    }

    fn matches(&self, snapshot: &Snapshot, value: &Value, is_reference: bool) -> bool {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match self.comparison {
            Comparison::Exact => equal(snapshot, value, &self.expected, is_reference),
            Comparison::IgnoreCase => text(value).to_lowercase() == text(&self.expected).to_lowercase(),
            Comparison::Contains if !value.is_string() => contains(value, &self.expected),
            Comparison::Contains => text(value).contains(&text(&self.expected)),
            Comparison::ContainsIgnoreCase => text(value).to_lowercase().contains(&text(&self.expected).to_lowercase()),
            Comparison::StartsWith => text(value).starts_with(&text(&self.expected)),
            Comparison::EndsWith => text(value).ends_with(&text(&self.expected)),
            Comparison::In => {
                let items = self.expected.as_array().map(Vec::as_slice).unwrap_or_default();
                items.iter().any(|expected| equal(snapshot, value, expected, is_reference))
            }
            Comparison::IsNull => value.is_null() == (self.expected != Value::Bool(false)),
        }
    }
}

fn is_key(kind: &ResourceType, name: &str) -> bool {
    name == "pk" || name == kind.pk
}

/// Follows references and keys of JSON objects.
fn walk(snapshot: &Snapshot, start: Vec<Value>, path: &[&str], reference: Option<&Reference>) -> Vec<Value> {
    let Some((next, rest)) = path.split_first() else { return start };
    let mut found = Vec::new();
    for value in start {
        let items = match value {
            Value::Array(items) if reference.is_some() => items,
            value => vec![value],
        };
        for item in items {
            let Some(reference) = reference else {
                found.extend(item.get(*next).cloned());
                continue;
            };
            let key = reference.target(&item).and_then(|key| Uuid::parse_str(&key).ok());
            if let Some(object) = key.and_then(|key| snapshot.find(key)) {
                let hop = object.kind.find_field(next).and_then(|field| field.reference.as_ref());
                let value = if is_key(object.kind, next) {
                    Some(Stored::of(object).pk_value())
                } else {
                    object.doc.get(*next).cloned()
                };
                found.extend(walk(snapshot, value.into_iter().collect(), rest, hop));
            }
        }
        if reference.is_none() {
            found = walk(snapshot, found, rest, None);
        }
    }
    found
}

fn equal(snapshot: &Snapshot, value: &Value, expected: &Value, is_reference: bool) -> bool {
    match (value, expected) {
        (Value::Object(_), Value::Object(_)) => contains(value, expected),
        (Value::Array(items), expected) if !expected.is_array() => {
            items.iter().any(|item| equal(snapshot, item, expected, is_reference))
        }
        (Value::String(value), Value::String(expected)) if is_reference => {
            let own = |text: &str| {
                let id = Uuid::parse_str(text).ok()?;
                Some(snapshot.policy_target(id).map_or(id, |object| object.id))
            };
            value == expected || (own(value).is_some() && own(value) == own(expected))
        }
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            number.to_string() == *text
        }
        (value, expected) => value == expected,
    }
}

/// Whether `part` is contained in a JSON value: each of its keys with a value that contains its own.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|value| contains(value, part)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            part.iter().all(|part| whole.iter().any(|value| contains(value, part)))
        }
        (Value::Array(whole), part) => whole.contains(part),
        (whole, part) => whole == part,
    }
}

/// Whether a given value is the stored one, perhaps in another form.
pub(crate) fn is_same(snapshot: &Snapshot, field: &Field, stored: &Value, given: &Value) -> bool {
    let normal = validate::check_kind(&field.kind, given).unwrap_or_else(|_| given.clone());
    if *stored == normal {
        return true;
    }
    match (stored, &normal) {
        _ if field.reference.is_none() => false,
        (Value::Array(stored), Value::Array(given)) => {
            stored.len() == given.len()
                && stored.iter().zip(given).all(|(stored, given)| equal(snapshot, stored, given, true))
        }
        (Value::String(_), Value::String(_)) => equal(snapshot, stored, &normal, true),
        _ => false,
    }
}

/// The first object of a kind for which all conditions hold.
pub async fn find(
    unit: &mut Unit<'_>,
    kind: &'static ResourceType,
    conditions: &[(&str, &Value)],
) -> Result<Option<Stored>> {
    let tests =
        conditions.iter().map(|(name, value)| Test::read(kind, name, value)).collect::<Result<Vec<Test<'_>>>>()?;
    let key = tests.iter().find(|test| test.field.is_none() && test.comparison == Comparison::Exact);
    if let Some(key) = key {
        let found = unit.find(kind, &key_text(&key.expected)).await?;
        // The key decides; it may be that of the object's policy-binding side.
        let others = || tests.iter().filter(|test| test.field.is_some());
        return Ok(found.filter(|object| others().all(|test| test.passes(&unit.snapshot, object))));
    }
    match kind.backing {
        Backing::Document => {
            let snapshot = &unit.snapshot;
            let objects = snapshot.of_model(kind.model).map(|object| Stored::of(object));
            Ok(objects.into_iter().find(|object| tests.iter().all(|test| test.passes(snapshot, object))))
        }
        Backing::Table(_) => find_in_table(unit, kind, &tests).await,
    }
}

fn key_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn find_in_table(unit: &mut Unit<'_>, kind: &'static ResourceType, tests: &[Test<'_>]) -> Result<Option<Stored>> {
    let exact = |test: &&Test<'_>| test.path.is_empty() && test.comparison == Comparison::Exact;
    let unique = tests.iter().filter(exact).find(|test| kind.unique.contains(&[test.name].as_slice()));
    if let Some(unique) = unique {
        let row = unit.find_row(kind, unique.name, &key_text(&unique.expected)).await?;
        let snapshot = &unit.snapshot;
        return Ok(row.map(|row| row.stored).filter(|object| tests.iter().all(|test| test.passes(snapshot, object))));
    }
    let filterable = |name: &str| kind.filterable().any(|field| field.name == name);
    let mut parameters: Vec<(String, String)> = tests
        .iter()
        .filter(exact)
        .filter(|test| filterable(test.name) && (test.expected.is_string() || test.expected.is_number()))
        .map(|test| (test.name.to_owned(), key_text(&test.expected)))
        .collect();
    parameters.push(("page_size".to_owned(), "100".to_owned()));
    for number in 1..=MAX_PAGES {
        let mut query = ListQuery { parameters: parameters.clone() };
        query.parameters.push(("page".to_owned(), number.to_string()));
        let page = unit.list(kind, &query, &Visible::All).await?;
        let is_last = page.current * page.size >= page.count;
        let snapshot = &unit.snapshot;
        let hit = page.rows.into_iter().find(|object| tests.iter().all(|test| test.passes(snapshot, object)));
        if hit.is_some() || is_last {
            return Ok(hit);
        }
    }
    Ok(None)
}

/// The fields that tell an object from all others of its kind: the first unique set of which none is null.
pub fn natural_key(kind: &ResourceType, doc: &Map) -> Option<&'static [&'static str]> {
    let given = |field: &&str| doc.get(*field).is_some_and(|value| !value.is_null());
    kind.unique.iter().copied().find(|set| !set.is_empty() && set.iter().all(given))
}
