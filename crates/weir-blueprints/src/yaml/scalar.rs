//! The types of plain scalars in YAML 1.1, as PyYAML resolves and constructs them.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::{Number, Value};

/// A scalar that looks like a type but is no value of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalarError(pub String);

/// The value of an unquoted scalar; `None` means it is just text.
pub fn plain_value(text: &str) -> Result<Option<Value>, ScalarError> {
    let Some(first) = text.chars().next() else { return Ok(Some(Value::Null)) };
    let value = match first {
        '~' | 'n' | 'N' if is_null(text) => Some(Value::Null),
        'y' | 'Y' | 'n' | 'N' | 't' | 'T' | 'f' | 'F' | 'o' | 'O' => boolean(text).map(Value::Bool),
        '0'..='9' | '+' | '-' | '.' => return numeric(text),
        _ => None,
    };
    Ok(value)
}

fn numeric(text: &str) -> Result<Option<Value>, ScalarError> {
    if let Some(value) = float(text)? {
        return Ok(Some(value));
    }
    if let Some(value) = integer(text) {
        return Ok(Some(value));
    }
    timestamp(text)
}

fn is_null(text: &str) -> bool {
    matches!(text, "~" | "null" | "Null" | "NULL")
}

/// YAML 1.1 booleans; single letters are text, as in PyYAML.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn all(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '_' || allowed(c))
}

/// Binary, octal (leading 0), decimal, hexadecimal and sexagesimal integers, underscores allowed.
pub fn integer(text: &str) -> Option<Value> {
    let (negative, body) = split_sign(text);
    let octal = |c: char| ('0'..='7').contains(&c);
    let magnitude = if body == "0" {
        "0".to_owned()
    } else if let Some(digits) = body.strip_prefix("0b").filter(|d| all(d, |c| matches!(c, '0' | '1'))) {
        in_radix(digits, 2)?
    } else if let Some(digits) = body.strip_prefix("0x").filter(|d| all(d, |c| c.is_ascii_hexdigit())) {
        in_radix(digits, 16)?
    } else if let Some(digits) = body.strip_prefix('0').filter(|d| all(d, octal)) {
        // `0_` is zero: nothing is left of it without the underscore.
        if digits.chars().all(|c| c == '_') { "0".to_owned() } else { in_radix(digits, 8)? }
    } else if !body.starts_with(|c: char| ('1'..='9').contains(&c)) {
        return None;
    } else if body.contains(':') {
        sexagesimal(body)?
    } else if all(body, |c| c.is_ascii_digit()) {
        body.replace('_', "")
    } else {
        return None;
    };
    Some(signed(negative, magnitude))
}

fn in_radix(digits: &str, radix: u32) -> Option<String> {
    let digits = digits.replace('_', "");
    if digits.is_empty() {
        return None;
    }
    u128::from_str_radix(&digits, radix).ok().map(|n| n.to_string())
}

fn sexagesimal(body: &str) -> Option<String> {
    let mut parts = body.split(':');
    let head = parts.next().filter(|p| all(p, |c| c.is_ascii_digit()))?;
    let mut total: u128 = head.replace('_', "").parse().ok()?;
    for part in parts {
        if part.is_empty() || part.len() > 2 || !part.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let digit: u128 = part.parse().ok().filter(|n| *n < 60)?;
        total = total.checked_mul(60)?.checked_add(digit)?;
    }
    Some(total.to_string())
}

/// A JSON number where one fits. Longer integers stay digits: as text fields (client ids, phone numbers) they are right.
fn signed(negative: bool, magnitude: String) -> Value {
    let text = if negative && magnitude != "0" { format!("-{magnitude}") } else { magnitude };
    if let Ok(n) = text.parse::<i64>() {
        return Value::from(n);
    }
    text.parse::<u64>().map_or(Value::String(text), Value::from)
}

/// Floats need a dot, and exponents a sign: `1e5` is text.
pub fn float(text: &str) -> Result<Option<Value>, ScalarError> {
    let (negative, body) = split_sign(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(ScalarError(format!("{text} is not a finite number")));
    }
    let signless = body.len() == text.len();
    let Some((whole, rest)) = body.split_once('.') else { return Ok(None) };
    let digits = |c: char| c.is_ascii_digit();
    let starts_right = whole.starts_with(|c: char| c.is_ascii_digit());
    let number = if whole.contains(':') {
        if !starts_right || !(rest.is_empty() || all(rest, digits)) {
            return Ok(None);
        }
        let Some(whole) = sexagesimal_float(whole) else { return Ok(None) };
        let fraction: f64 = format!("0.{}0", rest.replace('_', "")).parse().unwrap_or(0.0);
        whole + fraction
    } else {
        let (fraction, exponent) = match rest.split_once(['e', 'E']) {
            Some((fraction, exponent)) => (fraction, Some(exponent)),
            None => (rest, None),
        };
        let whole_ok = starts_right && all(whole, digits);
        let leading_dot = whole.is_empty() && signless && fraction.starts_with(|c: char| c.is_ascii_digit());
        let fraction_ok = fraction.is_empty() && whole_ok || all(fraction, digits);
        let exponent_ok = exponent.is_none_or(|e| {
            e.strip_prefix(['+', '-']).is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()))
        });
        if !((whole_ok || leading_dot) && fraction_ok && exponent_ok) {
            return Ok(None);
        }
        let text = format!("0{whole}.{fraction}0e{}", exponent.unwrap_or("0")).replace('_', "");
        text.parse().map_err(|_| ScalarError(format!("{body} is not a number")))?
    };
    let number = if negative { -number } else { number };
    match Number::from_f64(number) {
        Some(number) => Ok(Some(Value::Number(number))),
        None => Err(ScalarError(format!("{text} is too large a number"))),
    }
}

fn sexagesimal_float(whole: &str) -> Option<f64> {
    let mut parts = whole.split(':');
    let head = parts.next().filter(|p| all(p, |c| c.is_ascii_digit()))?;
    let mut total: f64 = head.replace('_', "").parse().ok()?;
    for part in parts {
        if part.is_empty() || part.len() > 2 || !part.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let digit: f64 = part.parse().ok().filter(|n: &f64| *n < 60.0)?;
        total = total * 60.0 + digit;
    }
    Some(total)
}

/// Dates and times become ISO 8601 text, which is what the API takes.
pub fn timestamp(text: &str) -> Result<Option<Value>, ScalarError> {
    let Some(parts) = TimestampParts::split(text) else { return Ok(None) };
    match parts.to_iso() {
        Some(iso) => Ok(Some(Value::String(iso))),
        None => Err(ScalarError(format!("{text} is not a date"))),
    }
}

struct TimestampParts<'a> {
    date: [&'a str; 3],
    time: Option<([&'a str; 3], &'a str, &'a str)>,
}

impl<'a> TimestampParts<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (year, rest) = take_digits(text, 4, 4)?;
        let (month, rest) = take_digits(rest.strip_prefix('-')?, 1, 2)?;
        let (day, rest) = take_digits(rest.strip_prefix('-')?, 1, 2)?;
        let date = [year, month, day];
        if rest.is_empty() {
            return (month.len() == 2 && day.len() == 2).then_some(Self { date, time: None });
        }
        let blanks = rest.trim_start_matches([' ', '\t']);
        let rest = if blanks.len() < rest.len() { blanks } else { rest.strip_prefix(['T', 't'])? };
        let (hour, rest) = take_digits(rest, 1, 2)?;
        let (minute, rest) = take_digits(rest.strip_prefix(':')?, 2, 2)?;
        let (second, rest) = take_digits(rest.strip_prefix(':')?, 2, 2)?;
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => take_digits(rest, 0, usize::MAX)?,
            None => ("", rest),
        };
        let zone = rest.trim_start_matches([' ', '\t']);
        is_zone(zone).then_some(Self { date, time: Some(([hour, minute, second], fraction, zone)) }).filter(|_| {
            // Blanks may stand before a zone, not at the end.
            !zone.is_empty() || rest.is_empty()
        })
    }

    fn to_iso(&self) -> Option<String> {
        let [year, month, day] = self.date;
        let date = NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
        let Some(([hour, minute, second], fraction, zone)) = self.time else { return Some(date.to_string()) };
        let micros: u32 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        let second: u32 = second.parse().ok().filter(|s| *s < 60)?;
        let time = NaiveTime::from_hms_micro_opt(hour.parse().ok()?, minute.parse().ok()?, second, micros)?;
        let naive = NaiveDateTime::new(date, time);
        let digits = if micros == 0 { "" } else { "%.6f" };
        if zone.is_empty() {
            return Some(naive.format(&format!("%Y-%m-%dT%H:%M:%S{digits}")).to_string());
        }
        let offset = offset_seconds(zone)?;
        let moment: DateTime<FixedOffset> = naive.and_local_timezone(FixedOffset::east_opt(offset)?).single()?;
        let suffix = if offset == 0 { "Z" } else { "%:z" };
        Some(moment.format(&format!("%Y-%m-%dT%H:%M:%S{digits}{suffix}")).to_string())
    }
}

fn is_zone(zone: &str) -> bool {
    if zone.is_empty() || zone == "Z" {
        return true;
    }
    let Some((_, rest)) = zone.strip_prefix(['+', '-']).and_then(|rest| take_digits(rest, 1, 2)) else { return false };
    rest.is_empty()
        || rest.strip_prefix(':').and_then(|rest| take_digits(rest, 2, 2)).is_some_and(|(_, r)| r.is_empty())
}

fn offset_seconds(zone: &str) -> Option<i32> {
    if zone == "Z" {
        return Some(0);
    }
    let (negative, body) = split_sign(zone);
    let (hours, minutes) = body.split_once(':').unwrap_or((body, "0"));
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    Some(if negative { -seconds } else { seconds })
}

fn take_digits(text: &str, least: usize, most: usize) -> Option<(&str, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (count >= least).then(|| text.split_at_checked(count)).flatten()
}
