//! Recursive descent with a bounded depth.

use super::{
    Comparison, Field, MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, MAX_PATH, MAX_VALUES, Node, Order, QueryError, Test,
    Value,
    lexer::{Token, split},
};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use weir_core::validate::parse_time;

const TEXTS: [(&str, &str); 5] =
    [("pk", "id"), ("event_uuid", "id"), ("action", "action"), ("app", "app"), ("client_ip", "client_ip")];
const TIMES: [&str; 2] = ["created", "expires"];
const JSON: [&str; 3] = ["user", "context", "brand"];

pub(super) fn parse(text: &str) -> Result<Node, QueryError> {
    if text.len() > MAX_LENGTH {
        return Err(QueryError::new(MAX_LENGTH, format!("a query has at most {MAX_LENGTH} bytes")));
    }
    let mut parser = Parser { tokens: split(text)?, next: 0, end: text.len(), comparisons: 0 };
    let node = parser.any(0)?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    comparisons: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += 1;
        token
    }

    fn unexpected(&self, wanted: &str) -> QueryError {
        QueryError::new(self.at(), format!("expected {wanted}"))
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next += 1;
        }
        found
    }

    fn any(&mut self, depth: usize) -> Result<Node, QueryError> {
        let mut parts = vec![self.all(depth)?];
        while self.take_word("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Node, QueryError> {
        let mut parts = vec![self.part(depth)?];
        while self.take_word("and") {
            parts.push(self.part(depth)?);
        }
        Ok(one_or(parts, Node::All))
    }

    fn part(&mut self, depth: usize) -> Result<Node, QueryError> {
        if depth >= MAX_DEPTH {
            return Err(QueryError::new(self.at(), format!("nested more than {MAX_DEPTH} deep")));
        }
        if self.take_word("not") {
            return Ok(Node::Not(Box::new(self.part(depth + 1)?)));
        }
        if self.peek() == Some(&Token::Open) {
            self.next += 1;
            let inner = self.any(depth + 1)?;
            return match self.take() {
                Some(Token::Close) => Ok(inner),
                _ => {
                    self.next -= 1;
                    Err(self.unexpected("`)`"))
                }
            };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, QueryError> {
        self.comparisons += 1;
        if self.comparisons > MAX_COMPARISONS {
            return Err(QueryError::new(self.at(), format!("more than {MAX_COMPARISONS} comparisons")));
        }
        let at = self.at();
        let Some(Token::Word(name)) = self.peek().cloned() else { return Err(self.unexpected("the name of a field")) };
        self.next += 1;
        let field = field(&name, at)?;
        let negated = self.take_word("not");
        let at = self.at();
        let (negated, test) = match self.take() {
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("in") => (negated, Test::In(self.list(&field)?)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("startswith") => {
                (negated, Test::StartsWith(self.text()?))
            }
            Some(Token::Sign(sign)) if !negated => match sign {
                "=" => (false, Test::Is(self.value(&field)?)),
                "!=" => (true, Test::Is(self.value(&field)?)),
                "~" => (false, Test::Contains(self.text()?)),
                "!~" => (true, Test::Contains(self.text()?)),
                "<" => (false, Test::Order(Order::Less, self.ordered(&field)?)),
                "<=" => (false, Test::Order(Order::AtMost, self.ordered(&field)?)),
                ">" => (false, Test::Order(Order::More, self.ordered(&field)?)),
                _ => (false, Test::Order(Order::AtLeast, self.ordered(&field)?)),
            },
            _ => return Err(QueryError::new(at, "expected an operator")),
        };
        if matches!(field, Field::Time(_)) && matches!(test, Test::Contains(_) | Test::StartsWith(_)) {
            return Err(QueryError::new(at, "times are compared with = != < <= > >= and in"));
        }
        let node = Node::Compare(Comparison { field, test });
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn list(&mut self, field: &Field) -> Result<Vec<Value>, QueryError> {
        if self.peek() != Some(&Token::Open) {
            return Err(self.unexpected("`(`"));
        }
        self.next += 1;
        let mut values = Vec::new();
        loop {
            if values.len() >= MAX_VALUES {
                return Err(QueryError::new(self.at(), format!("more than {MAX_VALUES} values")));
            }
            values.push(self.value(field)?);
            match self.peek() {
                Some(Token::Comma) => self.next += 1,
                Some(Token::Close) => {
                    self.next += 1;
                    return Ok(values);
                }
                _ => return Err(self.unexpected("`,` or `)`")),
            }
        }
    }

    fn text(&mut self) -> Result<String, QueryError> {
        match self.peek().cloned() {
            Some(Token::Text(text) | Token::Number(text)) => {
                self.next += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("a text in quotation marks")),
        }
    }

    fn ordered(&mut self, field: &Field) -> Result<Value, QueryError> {
        let at = self.at();
        match self.value(field)? {
            Value::None | Value::Bool(_) => Err(QueryError::new(at, "this value has no order")),
            value => Ok(value),
        }
    }

    fn value(&mut self, field: &Field) -> Result<Value, QueryError> {
        let at = self.at();
        let value = match self.peek() {
            Some(Token::Text(text)) => Value::Text(text.clone()),
            Some(Token::Number(text)) => number(text, at)?,
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "none" | "null" => Value::None,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => return Err(self.unexpected("a value (texts stand in quotation marks)")),
            },
            _ => return Err(self.unexpected("a value")),
        };
        self.next += 1;
        match (field, value) {
            (Field::Time(_), Value::Text(text)) => match time(&text) {
                Some(time) => Ok(Value::Time(time, text)),
                None => Err(QueryError::new(at, "this is no date")),
            },
            (Field::Time(_), value @ (Value::Time(..) | Value::None)) => Ok(value),
            (Field::Time(_), _) => Err(QueryError::new(at, "this is no date")),
            (_, value) => Ok(value),
        }
    }
}

fn one_or(mut parts: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            many(parts)
        }
    }
}

fn field(name: &str, at: usize) -> Result<Field, QueryError> {
    if let Some((_, column)) = TEXTS.iter().find(|(known, _)| *known == name) {
        return Ok(Field::Text(column));
    }
    if let Some(column) = TIMES.iter().find(|known| **known == name) {
        return Ok(Field::Time(column));
    }
    let mut parts = name.split('.');
    let root = parts.next().unwrap_or_default();
    let Some(column) = JSON.iter().find(|known| **known == root) else {
        let known = "action, app, client_ip, created, expires, pk, user, context, brand";
        return Err(QueryError::new(at, format!("unknown field; there are {known}")));
    };
    let path: Vec<String> = parts.map(str::to_owned).collect();
    // Digits in front would mean a place in a list to one database and a key to the other.
    let is_name = |part: &String| part.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if path.len() > MAX_PATH || !path.iter().all(is_name) {
        return Err(QueryError::new(at, format!("a path has at most {MAX_PATH} names that begin with letters")));
    }
    Ok(Field::Json(column, path))
}

fn number(text: &str, at: usize) -> Result<Value, QueryError> {
    if let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) {
        return Ok(Value::Number(number, text.to_owned()));
    }
    match time(text) {
        Some(time) => Ok(Value::Time(time, text.to_owned())),
        None => Err(QueryError::new(at, "this is neither a number nor a date")),
    }
}

/// A date, or a time with its zone.
fn time(text: &str) -> Option<DateTime<Utc>> {
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(day) => Some(day.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => parse_time(text),
    }
}
