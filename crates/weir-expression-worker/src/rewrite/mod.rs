//! From the source an administrator wrote to the source the interpreter runs.
//!
//! The source is the body of a function, so it is wrapped into one. Then its syntax tree decides on changes to the text:
//! what the interpreter does not know is expressed by what it knows (`yield`, `del`, some imports), and where Python
//! would ask an object for its text or its items without a call in sight, a call is put, because only calls can be
//! answered by the host.

mod edit;
mod generators;
mod imports;
mod visit;

use std::collections::{BTreeSet, HashSet};

use monty::source_within_nesting_bound;
use ruff_python_ast::{Stmt, token::TokenKind};
use ruff_python_parser::parse_module;
use ruff_text_size::{Ranged, TextRange, TextSize};
use weir_expression::SyntaxProblem;

pub(crate) use imports::PYTHON_MODULES;

use edit::Edits;
use visit::Rewriter;

/// Name of the function around the source.
pub(crate) const MAIN: &str = "_weir_main";

/// Name of the global with the line that is being executed.
pub(crate) const LINE: &str = "_weir_line";

const INDENT: &str = "    ";

/// A rewritten source: the definition of [`MAIN`].
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// The new text.
    pub(crate) text: String,
    /// For each line of the text (from 0) the line of the original (from 1).
    pub(crate) lines: Vec<u32>,
    /// Whether the source yields, so that the list of what it yielded is the result.
    pub(crate) is_generator: bool,
    /// All names it uses.
    pub(crate) names: HashSet<String>,
    /// Modules it imports that are written in Python here.
    pub(crate) modules: BTreeSet<&'static str>,
    /// Helpers the rewriting put.
    pub(crate) helpers: BTreeSet<&'static str>,
}

/// Rewrites a source into a function of the given parameters.
pub(crate) fn rewrite(source: &str, parameters: &[&str]) -> Result<Rewritten, SyntaxProblem> {
    let wrapped = wrap(source, parameters);
    if !source_within_nesting_bound(&wrapped, 0) {
        return Err(problem("too many nested parentheses or blocks", 1, 1));
    }
    let parsed = parse_module(&wrapped).map_err(|error| {
        let (line, column) = locate(&wrapped, error.location.start());
        // What is missing at the end is missed behind the last line.
        let last = u32::try_from(source.trim_end().lines().count()).unwrap_or(u32::MAX).max(1);
        let (line, column) = if line > last { (last, 1) } else { (line, column) };
        problem(&error.error.to_string(), line, column)
    })?;
    let module = parsed.syntax();
    let (Some(Stmt::FunctionDef(main)), None) = (module.body.first(), module.body.get(1)) else {
        return Err(problem("unexpected unindent", 1, 1));
    };
    let mut edits = Edits::default();
    restore_strings(&wrapped, parsed.tokens(), &mut edits);
    let mut rewriter = Rewriter::new(&wrapped, parsed.tokens(), edits);
    rewriter.visit_main(main);
    let Rewriter { edits, names, modules, helpers, is_generator, .. } = rewriter;
    let (text, lines) = edits.apply(&wrapped).ok_or_else(|| problem("this combination is not supported", 1, 1))?;
    // The first line is the `def`, so the lines of the wrapped text (from 0) are those of the source (from 1).
    Ok(Rewritten { text, lines, is_generator, names, modules, helpers })
}

/// Puts the source under a `def`.
fn wrap(source: &str, parameters: &[&str]) -> String {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source).replace("\r\n", "\n").replace('\r', "\n");
    let mut text = format!("def {MAIN}({}):\n", parameters.join(", "));
    let is_empty = source.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    for line in source.split('\n') {
        text.push_str(INDENT);
        text.push_str(line);
        text.push('\n');
    }
    if is_empty {
        text.push_str(INDENT);
        text.push_str("pass\n");
    }
    text
}

/// Takes the indentation out of strings that span lines: it is part of the string there.
fn restore_strings(text: &str, tokens: &[ruff_python_ast::token::Token], edits: &mut Edits) {
    for token in tokens {
        if !matches!(token.kind(), TokenKind::String | TokenKind::FStringMiddle) {
            continue;
        }
        let start = token.start().to_usize();
        let Some(inside) = text.get(start..token.end().to_usize()) else { continue };
        for (offset, _) in inside.match_indices('\n') {
            let at = start + offset + 1;
            let (Ok(from), Ok(length)) = (TextSize::try_from(at), TextSize::try_from(INDENT.len())) else { continue };
            // A middle piece of an f-string may end with the line, the indentation then belongs to the next piece.
            if text.get(at..at + INDENT.len()) == Some(INDENT) && from + length <= token.end() {
                edits.replace(TextRange::at(from, length), "");
            }
        }
    }
}

fn problem(message: &str, line: u32, column: u32) -> SyntaxProblem {
    SyntaxProblem { message: message.to_owned(), line, column, is_unsupported: false }
}

/// Line and column in the source of a position in the wrapped text.
fn locate(text: &str, at: TextSize) -> (u32, u32) {
    let before = text.get(..at.to_usize()).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    (
        u32::try_from(line.max(1)).unwrap_or(u32::MAX),
        u32::try_from(column.saturating_sub(INDENT.len()) + 1).unwrap_or(u32::MAX),
    )
}
