//! A query as a condition of SQL. Every value is a parameter.

use super::{Comparison, Field, Node, Order, Query, Test, Value};
use weir_store::{Dialect, Val, escape_like};

/// Text with `?` for each value.
#[derive(Default)]
struct Piece {
    sql: String,
    vals: Vec<Val>,
}

impl Query {
    /// The condition on the table of events, with `?` for each value in order.
    ///
    /// Negation is carried down to the comparisons: those that stay as they are can use an index, and the others also
    /// hold where there is no value, as in memory.
    pub fn to_sql(&self, dialect: Dialect) -> (String, Vec<Val>) {
        let piece = render(dialect, &self.root, Around::default());
        (piece.sql, piece.vals)
    }
}

/// What stands around a part of a query.
#[derive(Clone, Copy, Default)]
struct Around {
    /// The contrary is asked for.
    negated: bool,
    /// Something beside it, which has to hold as well, finds few events by an index of its own. Without statistics the
    /// databases may then still prefer the index over actions, which finds very many.
    narrowed: bool,
}

fn render(dialect: Dialect, node: &Node, around: Around) -> Piece {
    let negated = around.negated;
    match node {
        Node::Not(part) => render(dialect, part, Around { negated: !negated, ..around }),
        Node::All(parts) if !negated => {
            let narrowed = around.narrowed || parts.iter().any(is_narrow);
            join(dialect, parts, Around { narrowed, ..around }, " AND ")
        }
        Node::All(parts) => join(dialect, parts, around, " OR "),
        Node::Any(parts) => join(dialect, parts, around, if negated { " AND " } else { " OR " }),
        Node::Compare(comparison) => leaf(dialect, comparison, around),
    }
}

/// Whether few events meet this, and an index finds them.
fn is_narrow(node: &Node) -> bool {
    let Node::Compare(Comparison { field, test: Test::Is(value) }) = node else { return false };
    let is_text = matches!(value, Value::Text(text) if !text.is_empty());
    match field {
        Field::Text(column) => is_text && ["id", "client_ip"].contains(column),
        Field::Json("user", path) => match path.as_slice() {
            [key] if key == "username" => is_text,
            [key] if key == "pk" => matches!(value, Value::Number(..)),
            _ => false,
        },
        Field::Json("context", path) => is_text && subject(path).is_some(),
        _ => false,
    }
}

fn join(dialect: Dialect, parts: &[Node], around: Around, word: &str) -> Piece {
    let mut all = Piece::default();
    for part in parts {
        let part = render(dialect, part, around);
        all.sql.push_str(if all.sql.is_empty() { "(" } else { word });
        all.sql.push_str(&part.sql);
        all.vals.extend(part.vals);
    }
    all.sql.push(')');
    all
}

fn leaf(dialect: Dialect, comparison: &Comparison, around: Around) -> Piece {
    let negated = around.negated;
    let field = match &comparison.field {
        // An expression has no index.
        Field::Text("action") if around.narrowed => &Field::Text("(action || '')"),
        field => field,
    };
    let tests: Vec<Piece> = match &comparison.test {
        Test::In(values) => values.iter().map(|value| single(dialect, field, &Wanted::Is(value))).collect(),
        Test::Is(value) => vec![single(dialect, field, &Wanted::Is(value))],
        Test::Order(order, value) => vec![single(dialect, field, &Wanted::Order(*order, value))],
        Test::Contains(part) => vec![single(dialect, field, &Wanted::Contains(part))],
        Test::StartsWith(part) => vec![single(dialect, field, &Wanted::StartsWith(part))],
    };
    let mut all = Piece::default();
    for test in tests {
        all.sql.push_str(match (all.sql.is_empty(), negated) {
            (true, _) => "(",
            (false, true) => " AND ",
            (false, false) => " OR ",
        });
        // Where there is no value the comparison is NULL, and its contrary has to hold.
        all.sql.push_str(&if negated { format!("COALESCE(NOT ({}), 1 = 1)", test.sql) } else { test.sql });
        all.vals.extend(test.vals);
    }
    all.sql.push(')');
    all
}

enum Wanted<'a> {
    Is(&'a Value),
    Order(Order, &'a Value),
    Contains(&'a str),
    StartsWith(&'a str),
}

fn single(dialect: Dialect, field: &Field, wanted: &Wanted<'_>) -> Piece {
    match (field, wanted) {
        (Field::Time(column), Wanted::Is(Value::Time(time, _))) => {
            Piece { sql: format!("{column} = ?"), vals: vec![(*time).into()] }
        }
        (Field::Time(column), Wanted::Order(order, Value::Time(time, _))) => {
            Piece { sql: format!("{column} {} ?", order.sign()), vals: vec![(*time).into()] }
        }
        (Field::Time(column), _) => Piece { sql: format!("{column} IS NULL"), vals: Vec::new() },
        // The two parts of the user that have a column of their own, and with it an index.
        (Field::Json("user", path), Wanted::Is(Value::Number(number, _)))
            if path.as_slice() == ["pk"] && *number > 0.0 && number.fract() == 0.0 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole, positive, and saturating is right")]
            Piece { sql: "user_id = ?".to_owned(), vals: vec![(*number as i64).into()] }
        }
        (Field::Json("user", path), Wanted::Is(Value::Text(name)))
            if path.as_slice() == ["username"] && !name.is_empty() =>
        {
            Piece { sql: "username = ?".to_owned(), vals: vec![name.into()] }
        }
        // What an event is about stands in a column too, without dashes: the index finds, the details decide.
        (Field::Json("context", path), Wanted::Is(Value::Text(key))) if subject(path).is_some() => {
            let exact = text(dialect, json_text(dialect, "context", path), wanted);
            let sql = format!("({} = ? AND {})", subject(path).unwrap_or_default(), exact.sql);
            let vals = std::iter::once(key.replace('-', "").into()).chain(exact.vals).collect();
            Piece { sql, vals }
        }
        (Field::Json(column, path), Wanted::Is(Value::Number(number, _))) if !path.is_empty() => {
            json_number(dialect, column, path, "=", *number)
        }
        (Field::Json(column, path), Wanted::Order(order, Value::Number(number, _))) if !path.is_empty() => {
            json_number(dialect, column, path, order.sign(), *number)
        }
        (Field::Json(column, path), wanted) => text(dialect, json_text(dialect, column, path), wanted),
        (Field::Text(column), wanted) => text(dialect, Piece { sql: (*column).to_owned(), vals: Vec::new() }, wanted),
    }
}

fn text(dialect: Dialect, found: Piece, wanted: &Wanted<'_>) -> Piece {
    let Piece { sql, mut vals } = found;
    let sql = match wanted {
        Wanted::Is(value) => match value.as_text() {
            None => format!("({sql}) IS NULL"),
            Some(text) => {
                vals.push(text.into());
                format!("{sql} = ?")
            }
        },
        Wanted::Order(order, value) => {
            vals.push(value.as_text().unwrap_or_default().into());
            // Letter by letter, whatever language the database sorts in.
            let collate = if dialect == Dialect::Postgres { " COLLATE \"C\"" } else { "" };
            format!("({sql}){collate} {} ?", order.sign())
        }
        Wanted::Contains(part) => {
            vals.push(format!("%{}%", escape_like(part)).into());
            dialect.like_ci(&format!("({sql})"), "?")
        }
        Wanted::StartsWith(part) => {
            let length = part.chars().count();
            vals.push((*part).into());
            format!("substr(({sql}), 1, {length}) = ?")
        }
    };
    Piece { sql, vals }
}

/// The column beside the details that tells what this path does.
fn subject(path: &[String]) -> Option<&'static str> {
    match path {
        [part, key] if part == "model" && key == "pk" => Some("object_pk"),
        [part, key] if part == "authorized_application" && key == "pk" => Some("application"),
        _ => None,
    }
}

fn quoted(column: &str) -> String {
    format!("\"{column}\"")
}

fn json_text(dialect: Dialect, column: &str, path: &[String]) -> Piece {
    if path.is_empty() {
        return Piece { sql: quoted(column), vals: Vec::new() };
    }
    filled(dialect, format!("({})", dialect.json_text(&quoted(column), "?")), path)
}

fn json_number(dialect: Dialect, column: &str, path: &[String], sign: &str, number: f64) -> Piece {
    let sql = format!("({})", dialect.json_number(&quoted(column), "?"));
    let mut piece = filled(dialect, sql, path);
    piece.sql.push_str(&format!(" {sign} ?"));
    piece.vals.push(number.into());
    piece
}

/// The path for each of its places.
fn filled(dialect: Dialect, sql: String, path: &[String]) -> Piece {
    let keys: Vec<&str> = path.iter().map(String::as_str).collect();
    let vals = vec![dialect.json_path(&keys); sql.matches('?').count()];
    Piece { sql, vals }
}

impl Order {
    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }
}
