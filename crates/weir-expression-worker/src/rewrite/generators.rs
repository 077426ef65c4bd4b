//! `yield`: what is yielded is collected into a list.
//!
//! The body of the expression gives the list itself; a nested function gives an iterator over it. Nothing is lazy, so
//! an endless generator meets the time limit.

use ruff_python_ast::{
    Expr, Stmt, StmtFunctionDef, StmtReturn,
    token::TokenKind,
    visitor::{Visitor, walk_expr, walk_stmt},
};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::visit::Rewriter;

/// The list of the expression itself.
pub(crate) const MAIN_LIST: &str = "_weir_out";
/// The list of a nested function.
const NESTED_LIST: &str = "_weir_gen";

/// The function that the rewriting is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The expression's own body.
    Main,
    /// A nested function, and whether it yields.
    Function { is_generator: bool },
    /// A lambda or the body of a class.
    Other,
}

/// Whether a body yields, nested functions not counted.
pub(super) fn yields(body: &[Stmt]) -> bool {
    let mut search = Search { is_found: false };
    search.visit_body(body);
    search.is_found
}

struct Search {
    is_found: bool,
}

impl<'a> Visitor<'a> for Search {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if !self.is_found && !matches!(stmt, Stmt::FunctionDef(_) | Stmt::ClassDef(_)) {
            walk_stmt(self, stmt);
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Yield(_) | Expr::YieldFrom(_) => self.is_found = true,
            Expr::Lambda(_) => {}
            _ => walk_expr(self, expr),
        }
    }
}

impl<'a> Rewriter<'a> {
    fn list(&self) -> Option<&'static str> {
        match self.scope() {
            Scope::Main => Some(MAIN_LIST),
            Scope::Function { is_generator: true } => Some(NESTED_LIST),
            _ => None,
        }
    }

    /// `yield x` becomes an `append`, `yield from x` an `extend`.
    pub(super) fn rewrite_yield(&mut self, range: TextRange, value: Option<&'a Expr>, is_from: bool) {
        let Some(list) = self.list() else { return };
        let keyword = TextRange::at(range.start(), TextSize::of("yield"));
        let method = if is_from { "extend" } else { "append" };
        self.edits.replace(keyword, format!("{list}.{method}(("));
        if is_from && let Some(from) = self.find_token(range, TokenKind::From) {
            self.edits.replace(from, "");
        }
        match value {
            Some(value) => {
                self.visit_expr(value);
                self.edits.close(range.end(), "))");
            }
            None => self.edits.close(range.end(), "None))"),
        }
    }

    /// `return` in a nested generator ends it.
    pub(super) fn rewrite_return(&mut self, statement: &'a StmtReturn) {
        if self.scope() != (Scope::Function { is_generator: true }) {
            if let Some(value) = &statement.value {
                self.visit_expr(value);
            }
            return;
        }
        let keyword = TextRange::at(statement.start(), TextSize::of("return"));
        match &statement.value {
            None => self.edits.replace(keyword, format!("return iter({NESTED_LIST})")),
            Some(value) => {
                self.edits.replace(keyword, "return [(");
                self.visit_expr(value);
                self.edits.close(statement.end(), format!("), iter({NESTED_LIST})][1]"));
            }
        }
    }

    /// Gives a nested generator its list. To be called before its body is rewritten, so that the list comes before
    /// whatever opens the first statement.
    pub(super) fn open_generator(&mut self, function: &StmtFunctionDef) {
        let Some(first) = function.body.first() else { return };
        let text = match self.own_line(first) {
            Some(indent) => format!("{NESTED_LIST} = []\n{indent}"),
            None => format!("{NESTED_LIST} = []; "),
        };
        self.edits.open(first.start(), text);
    }

    /// Gives a nested generator its last `return`. To be called after its body was rewritten.
    pub(super) fn close_generator(&mut self, function: &StmtFunctionDef) {
        let (Some(first), Some(last)) = (function.body.first(), function.body.last()) else { return };
        let text = match self.own_line(first) {
            Some(indent) => format!("\n{indent}return iter({NESTED_LIST})"),
            None => format!("; return iter({NESTED_LIST})"),
        };
        self.edits.close(last.end(), text);
    }

    /// The indentation of a statement, unless the `def` is on the same line.
    pub(super) fn own_line(&self, statement: &Stmt) -> Option<&'a str> {
        let before = self.text.get(..statement.start().to_usize())?;
        let indent = before.rsplit('\n').next()?;
        indent.trim().is_empty().then_some(indent)
    }
}
