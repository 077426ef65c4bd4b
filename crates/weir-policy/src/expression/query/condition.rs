//! Conditions as Python's keyword arguments and `Q` objects say them.

use weir_expression::{Call, Raise, Value};

/// A condition over the rows of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Every one; true when there are none.
    All(Vec<Condition>),
    /// One of them; true when there are none, as an empty `Q`.
    Any(Vec<Condition>),
    /// Not this one. What cannot be compared counts as not met before it is turned around.
    Not(Box<Condition>),
    /// A look-up such as `groups__name__iexact` with its value.
    Test(String, Value),
}

/// Look-ups at the end of a path.
pub const LOOK_UPS: [&str; 17] = [
    "exact",
    "iexact",
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "in",
    "gt",
    "gte",
    "lt",
    "lte",
    "range",
    "isnull",
    "regex",
    "iregex",
];

/// The most look-ups of one query.
const MOST: usize = 200;

/// The condition of a call of `filter`, `exclude` or `get`.
pub fn of_call(call: &Call) -> Result<Condition, Raise> {
    of_arguments(&call.args, &call.kwargs)
}

/// The condition of positional `Q` objects and named look-ups.
pub fn of_arguments(args: &[Value], kwargs: &[(String, Value)]) -> Result<Condition, Raise> {
    let mut left = MOST;
    let mut all = Vec::new();
    for arg in args {
        all.push(of_q(arg, &mut left)?);
    }
    for (path, value) in kwargs {
        all.push(test(path, value, &mut left)?);
    }
    Ok(Condition::All(all))
}

fn test(path: &str, value: &Value, left: &mut usize) -> Result<Condition, Raise> {
    *left = left.checked_sub(1).ok_or_else(|| Raise::new("ValueError", "The query has too many conditions."))?;
    Ok(Condition::Test(path.to_owned(), value.clone()))
}

/// A `Q` object: its class lives in the worker, so what arrives here are its attributes.
fn of_q(value: &Value, left: &mut usize) -> Result<Condition, Raise> {
    let wrong = || Raise::new("TypeError", "Positional arguments of a query must be Q objects.");
    if let Value::Tuple(pair) | Value::List(pair) = value {
        let [Value::Str(path), value] = pair.as_slice() else { return Err(wrong()) };
        return test(path, value, left);
    }
    let q = value.as_object().filter(|o| o.class == "Q").ok_or_else(wrong)?;
    let children = q.find_attr("children").and_then(Value::as_items).ok_or_else(wrong)?;
    let children = children.iter().map(|child| of_q(child, left)).collect::<Result<Vec<_>, Raise>>()?;
    let joined = match q.find_attr("connector").and_then(Value::as_str) {
        Some("OR") => Condition::Any(children),
        _ => Condition::All(children),
    };
    let is_negated = q.find_attr("negated").is_some_and(Value::is_truthy);
    Ok(if is_negated { Condition::Not(Box::new(joined)) } else { joined })
}

/// The parts of a look-up: the path and the comparison at its end. `fixed` parts at the front belong to the path.
pub fn split(parts: &[String], fixed: usize) -> (&[String], &str) {
    match parts.split_last() {
        Some((last, path)) if path.len() >= fixed && LOOK_UPS.contains(&last.as_str()) => (path, last.as_str()),
        _ => (parts, "exact"),
    }
}

/// The parts of a path.
pub fn parts(path: &str) -> Vec<String> {
    path.split("__").map(str::to_owned).collect()
}

/// The exception for a name that is no field.
pub fn unknown_field(name: &str, choices: &str) -> Raise {
    Raise::new("FieldError", format!("Cannot resolve keyword '{name}' into field. Choices are: {choices}"))
}

/// The exception for a comparison that is not served.
pub fn unsupported(look_up: &str) -> Raise {
    Raise::new("FieldError", format!("Unsupported lookup '{look_up}'."))
}

/// Whether an exception says that a name is no field.
pub fn is_unknown_field(raise: &Raise) -> bool {
    raise.class == "FieldError" && raise.message.starts_with("Cannot resolve keyword")
}
