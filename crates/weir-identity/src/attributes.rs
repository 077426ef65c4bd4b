//! Free attributes: deep merge, and filters over them.

use serde_json::Value;
use weir_core::{ApiError, Map};
use weir_resource::Condition;
use weir_store::{Dialect, Val, escape_like};

/// The object of a JSON value, empty when it is none.
pub fn object(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Lays `over` on top of `base`: objects merge at every depth, lists take the entries they lack, the rest is replaced.
pub fn merge(base: &mut Map, over: &Map) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            (Some(Value::Array(below)), Value::Array(above)) => {
                for item in above {
                    if !below.contains(item) {
                        below.push(item.clone());
                    }
                }
            }
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The conditions of the list parameter `attributes`: an object of paths, `{"department__name__icontains": "x"}`.
///
/// # Errors
/// 400 when the value is no JSON object or asks for something that cannot be compared.
pub fn conditions(dialect: Dialect, column: &str, text: &str) -> Result<Condition, ApiError> {
    let refuse = |sentence: &str| ApiError::field("attributes", sentence);
    let wanted = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return Err(refuse("Value must be valid JSON and an object.")),
        Err(_) => return Err(refuse("Value must be valid JSON.")),
    };
    let mut parts = Vec::new();
    let mut vals = Vec::new();
    for (path, value) in &wanted {
        let mut keys: Vec<String> = path.split("__").map(str::to_owned).collect();
        let look_up = match keys.last() {
            Some(last) if keys.len() > 1 && LOOK_UPS.contains(&last.as_str()) => keys.pop().unwrap_or_default(),
            Some(last) if keys.len() > 1 && OTHER_LOOK_UPS.contains(&last.as_str()) => {
                return Err(refuse(NOT_COMPARED));
            }
            _ => "exact".to_owned(),
        };
        if keys.iter().any(String::is_empty) || keys.len() > 20 {
            return Err(refuse("Invalid attribute path."));
        }
        one(dialect, column, &keys, &look_up, value, &mut parts, &mut vals).ok_or_else(|| refuse(NOT_COMPARED))?;
    }
    if parts.len() > CONDITIONS {
        return Err(refuse("Too many conditions."));
    }
    let sql = if parts.is_empty() { "1 = 1".to_owned() } else { parts.join(" AND ") };
    Ok(Condition::new(sql, vals))
}

/// Conditions of one filter.
const CONDITIONS: usize = 64;

const NOT_COMPARED: &str = "This comparison is not supported.";

const LOOK_UPS: [&str; 15] = [
    "exact",
    "iexact",
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "isnull",
    "in",
    "gt",
    "gte",
    "lt",
    "lte",
    "has_key",
];

/// Look-ups that others know: whoever names one does not mean a key.
const OTHER_LOOK_UPS: [&str; 6] = ["regex", "iregex", "range", "has_keys", "has_any_keys", "contained_by"];

/// The comparison of numbers that a look-up means.
fn comparison(look_up: &str) -> Option<&'static str> {
    Some(match look_up {
        "gt" => ">",
        "gte" => ">=",
        "lt" => "<",
        "lte" => "<=",
        _ => return None,
    })
}

/// A scalar as the database shows it.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

fn one(
    dialect: Dialect,
    column: &str,
    keys: &[String],
    look_up: &str,
    value: &Value,
    parts: &mut Vec<String>,
    vals: &mut Vec<Val>,
) -> Option<()> {
    // An object asks for each of its members, as containment does.
    if let (Value::Object(map), "exact" | "contains") = (value, look_up) {
        for (key, value) in map {
            let mut deeper = keys.to_vec();
            deeper.push(key.clone());
            if deeper.len() > 20 {
                return None;
            }
            one(dialect, column, &deeper, look_up, value, parts, vals)?;
        }
        return Some(());
    }
    if let (Value::String(key), "has_key") = (value, look_up) {
        let mut deeper = keys.to_vec();
        deeper.push(key.clone());
        return one(dialect, column, &deeper, "isnull", &Value::Bool(false), parts, vals);
    }
    // A list is contained when each of its entries is.
    if let (Value::Array(items), "contains") = (value, look_up) {
        for item in items {
            let quoted = Value::String(serde_json::to_string(item).ok().filter(|_| item.is_string())?);
            one(dialect, column, keys, look_up, &quoted, parts, vals)?;
        }
        return Some(());
    }
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let path = dialect.json_path(&names);
    let compared = comparison(look_up);
    let found = match compared {
        Some(_) => dialect.json_number(column, "?"),
        None => dialect.json_text(column, "?"),
    };
    // The expression of SQLite names the path several times.
    let uses = found.matches('?').count();
    let like = |pattern: String| (format!("({found}) LIKE ? ESCAPE '\\'"), vec![Val::from(pattern)]);
    let like_ci = |pattern: String| (dialect.like_ci(&format!("({found})"), "?"), vec![Val::from(pattern)]);
    let (sql, right) = match (look_up, value) {
        (_, Value::Number(number)) if compared.is_some() => {
            (format!("({found}) {} ?", compared?), vec![Val::Float(Some(number.as_f64()?))])
        }
        // Written by us and by PostgreSQL.
        ("exact", Value::Array(items)) => {
            let items: Option<Vec<String>> =
                items.iter().map(|i| scalar(i).and_then(|_| serde_json::to_string(i).ok())).collect();
            let items = items?;
            let texts = [",", ", "].map(|comma| Val::from(format!("[{}]", items.join(comma))));
            (format!("({found}) IN (?, ?)"), texts.to_vec())
        }
        ("exact", Value::Null) | ("isnull", Value::Bool(true)) => (format!("({found}) IS NULL"), vec![]),
        ("isnull", Value::Bool(false)) => (format!("({found}) IS NOT NULL"), vec![]),
        ("exact", value) => (format!("({found}) = ?"), vec![scalar(value)?.into()]),
        ("iexact", value) => (format!("LOWER({found}) = LOWER(?)"), vec![scalar(value)?.into()]),
        ("contains", value) => like(format!("%{}%", escape_like(&scalar(value)?))),
        ("icontains", value) => like_ci(format!("%{}%", escape_like(&scalar(value)?))),
        ("startswith", value) => like(format!("{}%", escape_like(&scalar(value)?))),
        ("istartswith", value) => like_ci(format!("{}%", escape_like(&scalar(value)?))),
        ("endswith", value) => like(format!("%{}", escape_like(&scalar(value)?))),
        ("iendswith", value) => like_ci(format!("%{}", escape_like(&scalar(value)?))),
        ("in", Value::Array(items)) if !items.is_empty() && items.len() <= 100 => {
            let items: Option<Vec<Val>> = items.iter().map(|v| scalar(v).map(Val::from)).collect();
            let items = items?;
            (format!("({found}) IN ({})", vec!["?"; items.len()].join(", ")), items)
        }
        _ => return None,
    };
    parts.push(sql);
    vals.extend(std::iter::repeat_n(path, uses));
    vals.extend(right);
    Some(())
}
