//! Expressions that only look something up in the context are answered here, as the interpreter would: most policies of
//! the shipped flows are of this kind, and a sign-in need not wait for another process.
//!
//! Recognised is, between comments, one line `return [not] A` or `return [not] A [not] in B`, where `A` and `B` are
//! constants, `ak_is_sso_flow`, `context.get("key")` with or without a constant behind the key, or (`B` only) `context`.
//! Whatever else a source holds, it is the interpreter's.

use super::convert::to_value;
use serde_json::Value as Json;
use weir_core::Map;
use weir_expression::Value;
use weir_resource::Snapshot;

/// Keys whose values the interpreter sees as objects that are made for it.
const MADE: [&str; 4] = ["event", "flow_plan", "notification", "pending_user"];

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Constant(Value),
    IsSso,
    Entry { key: String, default: Value },
    Context,
}

#[derive(Clone, Debug, PartialEq)]
struct Simple {
    is_negated: bool,
    left: Operand,
    /// What it is looked for in.
    within: Option<(Operand, bool)>,
}

/// The value of a source that is simple enough, about this context.
pub fn answer(snapshot: &Snapshot, source: &str, context: &Map) -> Option<Value> {
    let simple = parse(source)?;
    let value = match &simple.within {
        None => value(snapshot, &simple.left, context)?,
        Some((place, is_absent)) => {
            let Value::Str(what) = value(snapshot, &simple.left, context)? else { return None };
            let found = match place {
                Operand::Context if MADE.contains(&what.as_str()) => return None,
                Operand::Context => context.contains_key(&what),
                place => contains(&value(snapshot, place, context)?, &what)?,
            };
            Value::Bool(found != *is_absent)
        }
    };
    Some(if simple.is_negated { Value::Bool(!value.is_truthy()) } else { value })
}

/// An entry of the context as expressions see it; not one of those that are made for them.
pub fn entry(snapshot: &Snapshot, key: &str, json: &Json) -> Value {
    match key {
        // What people typed or other systems said is never taken for an object.
        "prompt_data" | "info" | "token" | "properties" | "oauth_userinfo" => Value::from(json.clone()),
        _ => to_value(snapshot, json),
    }
}

fn value(snapshot: &Snapshot, operand: &Operand, context: &Map) -> Option<Value> {
    match operand {
        Operand::Constant(value) => Some(value.clone()),
        Operand::IsSso => {
            Some(context.get("is_sso").map_or(Value::Bool(false), |json| entry(snapshot, "is_sso", json)))
        }
        Operand::Entry { key, .. } if MADE.contains(&key.as_str()) => None,
        Operand::Entry { key, default } => {
            Some(context.get(key).map_or_else(|| default.clone(), |json| entry(snapshot, key, json)))
        }
        Operand::Context => None,
    }
}

/// Python's `in` for a text.
fn contains(place: &Value, what: &str) -> Option<bool> {
    match place {
        Value::Dict(_) => Some(place.get(what).is_some()),
        Value::List(items) => Some(items.iter().any(|item| item.as_str() == Some(what))),
        Value::Str(text) => Some(text.contains(what)),
        // An error, which the interpreter words.
        _ => None,
    }
}

fn parse(source: &str) -> Option<Simple> {
    // Other ends of lines than these, and what is longer than a line, are left to those who know Python.
    if source.contains(['\r', '\x0c', '\0']) {
        return None;
    }
    let is_code = |line: &&str| !line.trim_start_matches([' ', '\t']).is_empty() && !is_comment(line);
    let mut lines = source.split('\n').filter(is_code);
    let line = lines.next().filter(|line| line.is_ascii())?;
    if lines.next().is_some() {
        return None;
    }
    let mut tokens = Tokens { rest: line.strip_prefix("return")? };
    // A name may begin like the keyword.
    if !tokens.rest.starts_with([' ', '\t']) {
        return None;
    }
    let is_negated = tokens.takes("not");
    let left = tokens.operand()?;
    let is_absent = tokens.takes("not");
    let within = match tokens.takes("in") {
        true => Some((tokens.operand()?, is_absent)),
        false if is_absent => return None,
        false => None,
    };
    let rest = tokens.rest.trim_start_matches([' ', '\t']);
    (rest.is_empty() || rest.starts_with('#')).then_some(Simple { is_negated, left, within })
}

fn is_comment(line: &str) -> bool {
    line.trim_start_matches([' ', '\t']).starts_with('#')
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// A name or keyword, if one comes next.
    fn word(&mut self) -> Option<&'a str> {
        self.skip();
        let end = self.rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        // A quotation mark directly behind a name makes it a prefix of the text.
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) || rest.starts_with(['"', '\'']) {
            return None;
        }
        self.rest = rest;
        Some(word)
    }

    fn takes(&mut self, wanted: &str) -> bool {
        let before = self.rest;
        let taken = self.word() == Some(wanted);
        if !taken {
            self.rest = before;
        }
        taken
    }

    fn sign(&mut self, wanted: char) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A text without anything that means something else than itself.
    fn text(&mut self) -> Option<String> {
        self.skip();
        let mark = self.rest.chars().next().filter(|c| ['"', '\''].contains(c))?;
        let (text, rest) = self.rest.strip_prefix(mark)?.split_once(mark)?;
        // Texts in a row are one text; three marks begin another kind of text.
        if text.contains('\\') || rest.trim_start_matches([' ', '\t']).starts_with(['"', '\'']) {
            return None;
        }
        self.rest = rest;
        Some(text.to_owned())
    }

    fn constant(&mut self) -> Option<Value> {
        self.skip();
        if self.rest.starts_with(['"', '\'']) {
            return self.text().map(Value::Str);
        }
        if self.sign('{') {
            return self.sign('}').then(|| Value::Dict(Vec::new()));
        }
        if self.sign('[') {
            return self.sign(']').then(|| Value::List(Vec::new()));
        }
        match self.word()? {
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            "None" => Some(Value::None),
            _ => None,
        }
    }

    fn operand(&mut self) -> Option<Operand> {
        let before = self.rest;
        let word = self.word();
        if word == Some("ak_is_sso_flow") {
            return Some(Operand::IsSso);
        }
        let is_context = match word {
            Some("request") => self.sign('.') && self.takes("context"),
            word => word == Some("context"),
        };
        if !is_context {
            self.rest = before;
            return self.constant().map(Operand::Constant);
        }
        if !self.sign('.') {
            return Some(Operand::Context);
        }
        if !self.takes("get") || !self.sign('(') {
            return None;
        }
        let key = self.text()?;
        let default = if self.sign(',') { self.constant()? } else { Value::None };
        self.sign(')').then_some(Operand::Entry { key, default })
    }
}
