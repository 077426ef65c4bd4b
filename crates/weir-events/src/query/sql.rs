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
        let piece = render(dialect, &self.root, false);
        (piece.sql, piece.vals)
    }
}

fn render(dialect: Dialect, node: &Node, negated: bool) -> Piece {
    match node {
        Node::Not(part) => render(dialect, part, !negated),
        Node::All(parts) => join(dialect, parts, negated, if negated { " OR " } else { " AND " }),
        Node::Any(parts) => join(dialect, parts, negated, if negated { " AND " } else { " OR " }),
        Node::Compare(comparison) => leaf(dialect, comparison, negated),
    }
}

fn join(dialect: Dialect, parts: &[Node], negated: bool, word: &str) -> Piece {
    let mut all = Piece::default();
    for part in parts {
        let part = render(dialect, part, negated);
        all.sql.push_str(if all.sql.is_empty() { "(" } else { word });
        all.sql.push_str(&part.sql);
        all.vals.extend(part.vals);
    }
    all.sql.push(')');
    all
}

fn leaf(dialect: Dialect, comparison: &Comparison, negated: bool) -> Piece {
    let tests: Vec<Piece> = match &comparison.test {
        Test::In(values) => values.iter().map(|value| single(dialect, &comparison.field, &Wanted::Is(value))).collect(),
        Test::Is(value) => vec![single(dialect, &comparison.field, &Wanted::Is(value))],
        Test::Order(order, value) => vec![single(dialect, &comparison.field, &Wanted::Order(*order, value))],
        Test::Contains(part) => vec![single(dialect, &comparison.field, &Wanted::Contains(part))],
        Test::StartsWith(part) => vec![single(dialect, &comparison.field, &Wanted::StartsWith(part))],
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
