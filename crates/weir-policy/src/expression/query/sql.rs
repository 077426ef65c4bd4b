//! Conditions and orders as SQL. Names come from the schema, values become parameters, wildcards have no meaning.

use super::{
    condition::{Condition, parts, split, unknown_field, unsupported},
    schema::{Field, Holds, Relation, Table},
};
use chrono::{DateTime, NaiveTime, Utc};
use weir_expression::{Raise, Value};
use weir_store::{Dialect, Val};

/// The most values of one `__in`.
const MOST_IN: usize = 1000;
/// The longest way over relations.
const MOST_RELATIONS: usize = 6;

/// A statement in the making.
pub struct Sql {
    dialect: Dialect,
    /// Its values so far.
    pub vals: Vec<Val>,
    aliases: usize,
}

impl Sql {
    /// An empty one.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, vals: Vec::new(), aliases: 0 }
    }

    /// Adds a value; gives its placeholder.
    pub fn push(&mut self, val: impl Into<Val>) -> String {
        self.vals.push(val.into());
        format!("${}", self.vals.len())
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// A condition over the rows of `table` under `alias`.
    pub fn condition(&mut self, table: &'static Table, alias: &str, condition: &Condition) -> Result<String, Raise> {
        let (items, glue) = match condition {
            Condition::All(items) => (items, " AND "),
            Condition::Any(items) => (items, " OR "),
            Condition::Not(inner) => {
                let inner = self.condition(table, alias, inner)?;
                return Ok(format!("NOT COALESCE(({inner}), FALSE)"));
            }
            Condition::Test(path, value) => return self.path(table, alias, &parts(path), value, 0),
        };
        if items.is_empty() {
            return Ok("1 = 1".to_owned());
        }
        let items: Vec<String> = items.iter().map(|i| self.condition(table, alias, i)).collect::<Result<_, _>>()?;
        Ok(format!("({})", items.join(glue)))
    }

    fn path(
        &mut self,
        table: &'static Table,
        alias: &str,
        parts: &[String],
        value: &Value,
        depth: usize,
    ) -> Result<String, Raise> {
        let Some((first, rest)) = parts.split_first() else { return Err(unknown_field("", &table.choices())) };
        if let Some(relation) = table.find_relation(first) {
            return self.relation(relation, alias, rest, value, depth);
        }
        let field = table.find_field(first).ok_or_else(|| unknown_field(first, &table.choices()))?;
        if field.holds == Holds::Json {
            return self.json(&column(alias, field), rest, value);
        }
        match rest {
            [] => self.test(field, alias, "exact", value),
            [look_up] => self.test(field, alias, look_up, value),
            [first, ..] => Err(unsupported(first)),
        }
    }

    fn relation(
        &mut self,
        relation: &'static Relation,
        alias: &str,
        rest: &[String],
        value: &Value,
        depth: usize,
    ) -> Result<String, Raise> {
        if depth >= MOST_RELATIONS {
            return Err(Raise::new("FieldError", "The look-up crosses too many relations."));
        }
        let (other, link) = (self.alias(), self.alias());
        let name = |text: &str| text.replace("{b}", &other).replace("{l}", &link);
        let inner = match rest {
            [look_up] if look_up == "isnull" => "1 = 1".to_owned(),
            // A relation itself is compared by key.
            [] => self.path(relation.to, &other, &["pk".to_owned()], value, depth + 1)?,
            [look_up] if look_up == "in" => {
                self.path(relation.to, &other, &["pk".to_owned(), "in".to_owned()], value, depth + 1)?
            }
            rest => self.path(relation.to, &other, rest, value, depth + 1)?,
        };
        let not = if rest == ["isnull"] && value.is_truthy() { "NOT " } else { "" };
        Ok(format!(
            "{alias}.\"{}\" {not}IN (SELECT {} FROM {} WHERE {inner})",
            relation.own,
            name(relation.key),
            name(relation.from)
        ))
    }

    fn test(&mut self, field: &Field, alias: &str, look_up: &str, value: &Value) -> Result<String, Raise> {
        let column = column(alias, field);
        match (look_up, value) {
            ("isnull", value) => {
                return Ok(format!("{column} IS {}NULL", if value.is_truthy() { "" } else { "NOT " }));
            }
            ("exact" | "iexact", Value::None) => return Ok(format!("{column} IS NULL")),
            ("exact", value) => {
                let mark = self.convert(field, value)?;
                return Ok(format!("{column} = {mark}"));
            }
            ("gt" | "gte" | "lt" | "lte", value) => {
                let mark = self.convert(field, value)?;
                return Ok(format!("{column} {} {mark}", comparison(look_up)));
            }
            ("in", value) => {
                let marks: Vec<String> =
                    list(value)?.iter().map(|item| self.convert(field, item)).collect::<Result<_, _>>()?;
                return Ok(if marks.is_empty() {
                    "1 = 0".to_owned()
                } else {
                    format!("{column} IN ({})", marks.join(", "))
                });
            }
            ("range", value) => {
                let [from, to] = list(value)? else { return Err(Raise::new("ValueError", "range needs two values.")) };
                let (from, to) = (self.convert(field, from)?, self.convert(field, to)?);
                return Ok(format!("{column} BETWEEN {from} AND {to}"));
            }
            _ => {}
        }
        let text = scalar_text(value)?;
        let shown = if field.holds == Holds::Text { column } else { format!("CAST({column} AS TEXT)") };
        match (field.folded, look_up.strip_prefix('i')) {
            // The folded column knows more letters than the database does.
            (Some(folded), Some(plain)) if is_text_look_up(plain) => {
                self.text_test(&format!("{alias}.\"{folded}\""), plain, text.to_lowercase())
            }
            _ => self.text_test(&shown, look_up, text),
        }
    }

    fn text_test(&mut self, shown: &str, look_up: &str, text: String) -> Result<String, Raise> {
        let (shown, look_up, text) = match look_up.strip_prefix('i') {
            Some(plain) if is_text_look_up(plain) => (format!("LOWER({shown})"), plain, text.to_lowercase()),
            _ => (shown.to_owned(), look_up, text),
        };
        if text.is_empty() && look_up != "exact" && is_text_look_up(look_up) {
            return Ok(format!("{shown} IS NOT NULL"));
        }
        let length = text.chars().count();
        let mark = self.push(text);
        Ok(match look_up {
            "exact" => format!("{shown} = {mark}"),
            "contains" => self.dialect.contains(&shown, &mark),
            "startswith" => format!("substr({shown}, 1, {length}) = {mark}"),
            "endswith" => {
                format!("(length({shown}) >= {length} AND substr({shown}, length({shown}) - {length} + 1) = {mark})")
            }
            other => return Err(unsupported(other)),
        })
    }

    fn json(&mut self, column: &str, rest: &[String], value: &Value) -> Result<String, Raise> {
        let (keys, look_up) = match rest.split_last() {
            Some((last, keys)) if last == "has_key" => (keys, "has_key"),
            _ => split(rest, 0),
        };
        if keys.len() > 20 {
            return Err(Raise::new("FieldError", "The path is too long."));
        }
        if look_up == "has_key" {
            let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let key = scalar_text(value)?;
            keys.push(&key);
            let path = self.dialect.json_path(&keys);
            let path = self.push(path);
            return Ok(self.dialect.json_has(column, &path));
        }
        self.json_test(column, keys, look_up, value, 0)
    }

    fn json_test(
        &mut self,
        column: &str,
        keys: &[String],
        look_up: &str,
        value: &Value,
        depth: usize,
    ) -> Result<String, Raise> {
        // A dictionary asks for each of its entries, as containment does.
        if let (Value::Dict(pairs), "exact" | "contains") = (value, look_up) {
            if depth > 20 {
                return Err(Raise::new("ValueError", "The value is nested too deeply."));
            }
            let mut all = vec!["1 = 1".to_owned()];
            for (key, value) in pairs {
                let mut deeper = keys.to_vec();
                deeper.push(key.key_text());
                all.push(self.json_test(column, &deeper, look_up, value, depth + 1)?);
            }
            return Ok(format!("({})", all.join(" AND ")));
        }
        if let (Some(items), "exact" | "contains") = (value.as_items(), look_up) {
            let mut all = vec!["1 = 1".to_owned()];
            for item in items.iter().take(MOST_IN) {
                all.push(self.json_test(column, keys, "contains", item, depth + 1)?);
            }
            return Ok(format!("({})", all.join(" AND ")));
        }
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let path = self.dialect.json_path(&names);
        let path = self.push(path);
        let shown = format!("({})", self.dialect.json_text(column, &path));
        match (look_up, value) {
            ("isnull", value) => {
                // A key that is absent, not one that holds null.
                let has = self.dialect.json_has(column, &path);
                Ok(if value.is_truthy() { format!("NOT ({has})") } else { has })
            }
            ("exact" | "iexact", Value::None) => Ok(format!("{shown} IS NULL")),
            ("contains", value) => {
                let text = scalar_text(value)?;
                let json = value.to_json().to_string();
                let (text, json) = (self.push(text), self.push(json));
                Ok(self.dialect.json_holds(column, &path, &text, &json))
            }
            ("gt" | "gte" | "lt" | "lte", Value::Int(_) | Value::Float(_)) => {
                let number = match value {
                    #[expect(clippy::cast_precision_loss, reason = "JSON numbers are floating point")]
                    Value::Int(number) => *number as f64,
                    Value::Float(number) => *number,
                    _ => f64::NAN,
                };
                let mark = self.push(number);
                Ok(format!("{} {} {mark}", self.dialect.json_number(column, &path), comparison(look_up)))
            }
            ("gt" | "gte" | "lt" | "lte", value) => {
                let text = scalar_text(value)?;
                let mark = self.push(text);
                Ok(format!("{shown} {} {mark}", comparison(look_up)))
            }
            ("in", value) => {
                let marks: Vec<String> =
                    list(value)?.iter().map(|item| Ok(self.push(scalar_text(item)?))).collect::<Result<_, Raise>>()?;
                Ok(if marks.is_empty() { "1 = 0".to_owned() } else { format!("{shown} IN ({})", marks.join(", ")) })
            }
            (look_up, value) => {
                let text = scalar_text(value)?;
                self.text_test(&shown, look_up, text)
            }
        }
    }

    /// The placeholder of a value in a column's type.
    fn convert(&mut self, field: &Field, value: &Value) -> Result<String, Raise> {
        let refuse = |what: &str| {
            let shown: String = value.key_text().chars().take(100).collect();
            Raise::new("ValueError", format!("Field '{}' expected {what} but got '{shown}'.", field.name))
        };
        let key = value.as_object().map(|o| o.id.split_once(':').map_or(o.id.as_str(), |(_, key)| key));
        let val = match field.holds {
            Holds::Int => {
                let number = match (value, key) {
                    (Value::Str(text), _) => text.trim().parse().ok(),
                    (_, Some(key)) => key.parse().ok(),
                    (value, None) => value.as_int(),
                };
                Val::from(number.ok_or_else(|| refuse("a number"))?)
            }
            Holds::Uuid => {
                let text = key.or_else(|| value.as_str()).ok_or_else(|| refuse("a UUID"))?;
                Val::from(uuid::Uuid::parse_str(text).map_err(|_| refuse("a UUID"))?)
            }
            Holds::Bool => {
                let flag = match value {
                    Value::Bool(flag) => Some(*flag),
                    Value::Int(number @ (0 | 1)) => Some(*number == 1),
                    _ => None,
                };
                Val::from(flag.ok_or_else(|| refuse("a truth value"))?)
            }
            Holds::Time => Val::from(time(value).ok_or_else(|| refuse("a time"))?),
            Holds::Text | Holds::Json => Val::from(scalar_text(value)?),
        };
        Ok(self.push(val))
    }

    /// What to order by: names with `-` in front for descending. The key comes last, so that the order is total.
    pub fn order(
        &mut self,
        table: &'static Table,
        alias: &str,
        names: &[String],
        reversed: bool,
    ) -> Result<String, Raise> {
        let mut out = Vec::new();
        for name in names {
            let (name, down) = name.strip_prefix('-').map_or((name.as_str(), false), |rest| (rest, true));
            let parts = parts(name);
            let first = parts.first().map(String::as_str).unwrap_or_default();
            let field = table.find_field(first).ok_or_else(|| unknown_field(first, &table.choices()))?;
            let keys: Vec<&str> = parts.iter().skip(1).map(String::as_str).collect();
            let expression = match (keys.is_empty(), field.holds) {
                (true, _) => column(alias, field),
                (false, Holds::Json) => {
                    let path = self.dialect.json_path(&keys);
                    let path = self.push(path);
                    format!("({})", self.dialect.json_text(&column(alias, field), &path))
                }
                (false, _) => return Err(unsupported(keys.first().copied().unwrap_or_default())),
            };
            out.push(format!("{expression}{}", if down == reversed { "" } else { " DESC" }));
        }
        if let Some(pk) = table.pk() {
            out.push(format!("{}{}", column(alias, pk), if reversed { " DESC" } else { "" }));
        }
        Ok(out.join(", "))
    }
}

fn column(alias: &str, field: &Field) -> String {
    format!("{alias}.\"{}\"", field.column)
}

fn is_text_look_up(name: &str) -> bool {
    ["exact", "contains", "startswith", "endswith"].contains(&name)
}

fn comparison(look_up: &str) -> &'static str {
    match look_up {
        "gt" => ">",
        "gte" => ">=",
        "lt" => "<",
        _ => "<=",
    }
}

/// The items of a value for `__in`.
fn list(value: &Value) -> Result<&[Value], Raise> {
    let items = value.as_items().ok_or_else(|| Raise::new("TypeError", "This look-up needs a list of values."))?;
    if items.len() > MOST_IN {
        return Err(Raise::new("ValueError", format!("At most {MOST_IN} values can be looked up at once.")));
    }
    Ok(items)
}

/// A scalar as JSON columns show it, fit for a parameter.
fn scalar_text(value: &Value) -> Result<String, Raise> {
    let text = match value {
        Value::List(_) | Value::Tuple(_) | Value::Set(_) | Value::Dict(_) => {
            return Err(Raise::new("TypeError", "This look-up needs a single value."));
        }
        Value::Object(object) => object.id.split_once(':').map_or(object.id.as_str(), |(_, key)| key).to_owned(),
        other => other.key_text(),
    };
    // Neither database takes them, raw or escaped.
    if text.contains('\0') || text.contains("\\u0000") {
        return Err(Raise::new("ValueError", "A string literal cannot contain NUL (0x00) characters."));
    }
    Ok(text)
}

/// An instant; one without offset is UTC.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::DateTime(time) => Some(time.to_utc()),
        Value::NaiveDateTime(time) => Some(time.and_utc()),
        Value::Date(date) => Some(date.and_time(NaiveTime::MIN).and_utc()),
        Value::Str(text) => weir_core::validate::parse_time(text),
        _ => None,
    }
}
