//! Python's `%` formatting and its texts for values, as far as a blueprint can see them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::limits::MAX_FORMAT_WIDTH;

/// Formats like Python's `template % tuple(arguments)`. Problems are said in one sentence.
pub fn format_percent(template: &str, arguments: &[Value], max_bytes: usize) -> Result<String, String> {
    let mut arguments = arguments.iter();
    let mut out = String::new();
    let mut rest = template;
    while let Some(position) = rest.find('%') {
        let (before, after) = rest.split_at_checked(position).unwrap_or((rest, ""));
        out.push_str(before);
        let mut chars = after.chars();
        chars.next();
        let spec = Spec::read(&mut chars, &mut arguments)?;
        out.push_str(&spec.apply(&mut arguments)?);
        if out.len() > max_bytes {
            return Err("the text becomes too long".to_owned());
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    match arguments.next() {
        None => Ok(out),
        Some(_) => Err("there are more values than conversions".to_owned()),
    }
}

/// Whether Python would call a value true.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Python's `str()`.
pub fn python_str(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => python_repr(other),
    }
}

fn python_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => float_repr(float),
            _ => number.to_string(),
        },
        Value::String(text) => text_repr(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(python_repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", text_repr(key), python_repr(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

fn text_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() && u32::from(c) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

fn ascii_repr(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let code = u32::from(c);
        let _ = match code {
            0..0x80 => write!(out, "{c}"),
            0x80..0x100 => write!(out, "\\x{code:02x}"),
            0x100..0x1_0000 => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    out
}

/// Shortest digits that give the number back; powers of ten only outside 1e-4 … 1e16.
fn float_repr(number: f64) -> String {
    let shortest = format!("{number:e}");
    let exponent: i32 = shortest.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        return python_exponent(&shortest);
    }
    let plain = format!("{number}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

/// `1.5e7` as `1.5e+07`.
fn python_exponent(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else { return text.to_owned() };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[derive(Default)]
struct Spec {
    alternate: bool,
    zero: bool,
    left: bool,
    space: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

impl Spec {
    fn read<'v>(
        chars: &mut std::str::Chars<'_>,
        arguments: &mut impl Iterator<Item = &'v Value>,
    ) -> Result<Self, String> {
        let mut spec = Self::default();
        let mut next = chars.next();
        if next == Some('(') {
            return Err("named conversions are not possible, values are given in order".to_owned());
        }
        while let Some(flag) = next {
            match flag {
                '#' => spec.alternate = true,
                '0' => spec.zero = true,
                '-' => spec.left = true,
                ' ' => spec.space = true,
                '+' => spec.plus = true,
                _ => break,
            }
            next = chars.next();
        }
        if let Some(width) = read_size(&mut next, chars, arguments)? {
            spec.left |= width < 0;
            spec.width = size(width)?;
        }
        if next == Some('.') {
            next = chars.next();
            spec.precision = Some(size(read_size(&mut next, chars, arguments)?.unwrap_or(0).max(0))?);
        }
        if matches!(next, Some('h' | 'l' | 'L')) {
            next = chars.next();
        }
        spec.conversion = next.ok_or("the text ends inside a conversion")?;
        Ok(spec)
    }

    fn apply<'v>(&self, arguments: &mut impl Iterator<Item = &'v Value>) -> Result<String, String> {
        if self.conversion == '%' {
            return Ok("%".to_owned());
        }
        if !"diouxXeEfFgGcrsa".contains(self.conversion) {
            return Err(format!("%{} is no conversion", self.conversion));
        }
        let value = arguments.next().ok_or("there are fewer values than conversions")?;
        match self.conversion {
            's' => Ok(self.pad_text(&python_str(value))),
            'r' => Ok(self.pad_text(&python_repr(value))),
            'a' => Ok(self.pad_text(&ascii_repr(&python_repr(value)))),
            'c' => Ok(self.pad_text(&character(value)?.to_string())),
            'd' | 'i' | 'u' => Ok(self.pad_number(self.integer(value, true)?)),
            'o' | 'x' | 'X' => Ok(self.pad_number(self.integer(value, false)?)),
            _ => Ok(self.pad_number(self.float(value)?)),
        }
    }

    fn pad_text(&self, text: &str) -> String {
        let text: String = match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.to_owned(),
        };
        let missing = " ".repeat(self.width.saturating_sub(text.chars().count()));
        if self.left { text + &missing } else { missing + &text }
    }

    fn pad_number(&self, number: Digits) -> String {
        let sign = match (number.negative, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        let length = sign.len() + number.prefix.len() + number.digits.len();
        let missing = self.width.saturating_sub(length);
        let Digits { prefix, digits, .. } = number;
        if self.left {
            format!("{sign}{prefix}{digits}{}", " ".repeat(missing))
        } else if self.zero {
            format!("{sign}{prefix}{}{digits}", "0".repeat(missing))
        } else {
            format!("{}{sign}{prefix}{digits}", " ".repeat(missing))
        }
    }

    fn integer(&self, value: &Value, truncate: bool) -> Result<Digits, String> {
        let needs = || format!("%{} needs a number, not {}", self.conversion, python_repr(value));
        let number: i128 = match value {
            Value::Bool(yes) => i128::from(*yes),
            Value::Number(number) => {
                let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                match (whole, number.as_f64()) {
                    (Some(whole), _) => whole,
                    (None, Some(float)) if truncate && float.abs() < 1e38 => truncated(float).ok_or_else(needs)?,
                    _ => return Err(needs()),
                }
            }
            _ => return Err(needs()),
        };
        let magnitude = number.unsigned_abs();
        let (prefix, digits) = match self.conversion {
            'o' => ("0o", format!("{magnitude:o}")),
            'x' => ("0x", format!("{magnitude:x}")),
            'X' => ("0X", format!("{magnitude:X}")),
            _ => ("", magnitude.to_string()),
        };
        let width = self.precision.unwrap_or(0);
        let digits = format!("{digits:0>width$}");
        Ok(Digits { negative: number < 0, prefix: if self.alternate { prefix } else { "" }, digits })
    }

    fn float(&self, value: &Value) -> Result<Digits, String> {
        let number = match value {
            Value::Bool(yes) => f64::from(u8::from(*yes)),
            Value::Number(number) => number.as_f64().ok_or("a number is out of range")?,
            _ => return Err(format!("%{} needs a number, not {}", self.conversion, python_repr(value))),
        };
        let magnitude = number.abs();
        let precision = self.precision.unwrap_or(6);
        let digits = match self.conversion.to_ascii_lowercase() {
            'e' => python_exponent(&format!("{magnitude:.precision$e}")),
            'f' => format!("{magnitude:.precision$}"),
            _ => self.general(magnitude, precision.max(1)),
        };
        let digits = if self.conversion.is_ascii_uppercase() { digits.to_uppercase() } else { digits };
        Ok(Digits { negative: number.is_sign_negative(), prefix: "", digits })
    }

    /// `%g`: the shorter of the two notations, without trailing zeros.
    fn general(&self, magnitude: f64, precision: usize) -> String {
        let scientific = format!("{magnitude:.*e}", precision - 1);
        let exponent: i64 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
        let places = i64::try_from(precision).unwrap_or(i64::MAX);
        if exponent < -4 || exponent >= places {
            let text = python_exponent(&scientific);
            let (mantissa, power) = text.split_once('e').unwrap_or((&text, "+00"));
            return format!("{}e{power}", self.shortened(mantissa));
        }
        let decimals = usize::try_from(places - 1 - exponent).unwrap_or(0);
        self.shortened(&format!("{magnitude:.decimals$}")).to_owned()
    }

    fn shortened<'t>(&self, digits: &'t str) -> &'t str {
        if self.alternate || !digits.contains('.') {
            return digits;
        }
        digits.trim_end_matches('0').trim_end_matches('.')
    }
}

struct Digits {
    negative: bool,
    prefix: &'static str,
    digits: String,
}

fn truncated(float: f64) -> Option<i128> {
    // The plain text of a float has all its digits before the dot.
    format!("{:.0}", float.trunc()).parse().ok()
}

fn character(value: &Value) -> Result<char, String> {
    let found = match value {
        Value::String(text) => {
            let mut chars = text.chars();
            chars.next().filter(|_| chars.next().is_none())
        }
        Value::Number(number) => number.as_u64().and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32),
        _ => None,
    };
    found.ok_or_else(|| "%c needs one character or its number".to_owned())
}

/// Digits, or `*` for the next value.
fn read_size<'v>(
    next: &mut Option<char>,
    chars: &mut std::str::Chars<'_>,
    arguments: &mut impl Iterator<Item = &'v Value>,
) -> Result<Option<i64>, String> {
    if *next == Some('*') {
        *next = chars.next();
        let value = arguments.next().and_then(Value::as_i64).ok_or("* needs a whole number")?;
        return Ok(Some(value));
    }
    let mut digits = String::new();
    while let Some(digit) = next.filter(char::is_ascii_digit) {
        digits.push(digit);
        *next = chars.next();
    }
    if digits.is_empty() {
        return Ok(None);
    }
    digits.parse().map(Some).map_err(|_| "a width is too large".to_owned())
}

fn size(number: i64) -> Result<usize, String> {
    usize::try_from(number.unsigned_abs())
        .ok()
        .filter(|n| *n <= MAX_FORMAT_WIDTH)
        .ok_or_else(|| format!("widths above {MAX_FORMAT_WIDTH} are not allowed"))
}
