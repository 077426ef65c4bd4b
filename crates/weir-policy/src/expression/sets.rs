//! Methods of query sets and managers.

use super::{
    host::Desk,
    query::{
        MOST_ROWS, Query, Shape,
        condition::{Condition, of_arguments, of_call},
    },
};
use weir_expression::{Call, Raise, Value};

/// Methods that would change something.
const CHANGES: [&str; 12] = [
    "add",
    "remove",
    "set",
    "clear",
    "create",
    "update",
    "delete",
    "update_or_create",
    "bulk_create",
    "bulk_update",
    "create_user",
    "save",
];

/// The exception of what would change something.
pub fn read_only() -> Raise {
    Raise::new("NotImplementedError", "Expressions can read objects but not change them.")
}

/// Answers a method.
pub async fn call(desk: &mut Desk<'_, '_, '_>, number: &str, call: &Call) -> Result<Value, Raise> {
    let query = number.parse::<usize>().ok().and_then(|number| desk.sets.get(number)).cloned();
    let query = query.ok_or_else(|| Raise::new("RuntimeError", "There is no such query."))?;
    if let Some(next) = refine(&query, call)? {
        return Ok(desk.set(next));
    }
    let class = query.class();
    match call.name.as_str() {
        "__iter__" => {
            let rows = query.rows(&mut desk.asking(), MOST_ROWS + 1).await?;
            if rows.len() > MOST_ROWS {
                let text =
                    format!("The query has more than {MOST_ROWS} rows: narrow it with filter(), or use count().");
                return Err(Raise::new("ValueError", text));
            }
            Ok(Value::List(rows))
        }
        "count" => Ok(query.count(&mut desk.asking()).await?.into()),
        "exists" => Ok((!query.rows(&mut desk.asking(), 1).await?.is_empty()).into()),
        "contains" => {
            let wanted = call.arg(0, "obj").cloned().unwrap_or(Value::None);
            let query = query.filter(Condition::Test("pk".to_owned(), wanted));
            Ok((query.count(&mut desk.asking()).await? > 0).into())
        }
        "first" => one(desk, query, false).await,
        "last" => one(desk, query, true).await,
        "earliest" | "latest" => {
            let is_latest = call.name == "latest";
            let query = Query { order: names(&call.args)?, ..query };
            match one(desk, query, is_latest).await? {
                Value::None => Err(missing(class)),
                found => Ok(found),
            }
        }
        "get" => {
            let query = query.filter(of_call(call)?);
            let mut rows = query.rows(&mut desk.asking(), 2).await?;
            match (rows.pop(), rows.is_empty()) {
                (Some(row), true) => Ok(row),
                (None, _) => Err(missing(class)),
                (Some(_), false) => {
                    let count = query.count(&mut desk.asking()).await?;
                    let text = format!("get() returned more than one {class} -- it returned {count}!");
                    Err(Raise::new("MultipleObjectsReturned", text))
                }
            }
        }
        "get_or_create" => {
            let kwargs: Vec<_> = call.kwargs.iter().filter(|(name, _)| name != "defaults").cloned().collect();
            let found = one(desk, query.filter(of_arguments(&call.args, &kwargs)?), false).await?;
            if found == Value::None { Err(read_only()) } else { Ok(Value::Tuple(vec![found, false.into()])) }
        }
        name if CHANGES.contains(&name) => Err(read_only()),
        name => Err(Raise::no_attribute("QuerySet", name)),
    }
}

fn missing(class: &str) -> Raise {
    Raise::new("DoesNotExist", format!("{class} matching query does not exist."))
}

async fn one(desk: &mut Desk<'_, '_, '_>, mut query: Query, turned: bool) -> Result<Value, Raise> {
    query.reversed ^= turned;
    Ok(query.rows(&mut desk.asking(), 1).await?.pop().unwrap_or(Value::None))
}

/// The query that a method makes of another one; none when the method wants an answer.
fn refine(query: &Query, call: &Call) -> Result<Option<Query>, Raise> {
    let query = query.clone();
    Ok(Some(match call.name.as_str() {
        "all" | "iterator" | "select_related" | "prefetch_related" | "only" | "defer" | "using" => query,
        "filter" => query.filter(of_call(call)?),
        "exclude" => query.filter(Condition::Not(Box::new(of_call(call)?))),
        "none" => query.none(),
        "reverse" => Query { reversed: !query.reversed, ..query },
        "distinct" => Query { distinct: true, ..query },
        "order_by" => {
            let order = names(&call.args)?;
            if order.iter().any(|name| name == "?") {
                return Err(Raise::new("FieldError", "Random order is not supported."));
            }
            Query { order, reversed: false, ..query }
        }
        "values" => Query { shape: Shape::Values(names(&call.args)?), ..query },
        "values_list" => {
            let flat = call.kwarg("flat").is_some_and(Value::is_truthy);
            let names = names(&call.args)?;
            if flat && names.len() > 1 {
                let text = "'flat' is not valid when values_list is called with more than one field.";
                return Err(Raise::new("TypeError", text));
            }
            Query { shape: Shape::Lists(names, flat), ..query }
        }
        _ => return Ok(None),
    }))
}

fn names(args: &[Value]) -> Result<Vec<String>, Raise> {
    args.iter()
        .map(|arg| arg.as_str().map(str::to_owned).ok_or_else(|| Raise::new("TypeError", "Expected names of fields.")))
        .collect()
}
