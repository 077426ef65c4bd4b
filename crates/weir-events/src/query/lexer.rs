//! Splits the text into words, values and signs.

use super::QueryError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name, path or key word.
    Word(String),
    /// Something that begins like a number: a number, a date or a time.
    Number(String),
    /// A text in quotes.
    Text(String),
    /// An operator.
    Sign(&'static str),
    Open,
    Close,
    Comma,
}

const SIGNS: [&str; 9] = ["!=", "!~", ">=", "<=", "==", "=", "~", ">", "<"];

/// The tokens with their offsets.
pub(super) fn split(text: &str) -> Result<Vec<(usize, Token)>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        if first.is_whitespace() {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '"' | '\'' => quoted(rest, first, at)?,
            _ if first.is_ascii_digit()
                || (first == '-' && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit())) =>
            {
                let length = span(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | ':' | '.'));
                (Token::Number(rest.get(..length).unwrap_or_default().to_owned()), length)
            }
            _ if first.is_alphabetic() || first == '_' => {
                let length = span(rest, |c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
                (Token::Word(rest.get(..length).unwrap_or_default().to_owned()), length)
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(if *sign == "==" { "=" } else { sign }), sign.len()),
                None => return Err(QueryError::new(at, format!("unexpected character {first:?}"))),
            },
        };
        tokens.push((at, token));
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(tokens)
}

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token, usize), QueryError> {
    let mut content = String::new();
    let mut escaped = false;
    for (offset, character) in rest.char_indices().skip(1) {
        if escaped {
            content.push(match character {
                'n' => '\n',
                't' => '\t',
                other => other,
            });
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return Ok((Token::Text(content), offset + 1));
        } else {
            content.push(character);
        }
    }
    Err(QueryError::new(at, "the quotation mark is not closed"))
}
