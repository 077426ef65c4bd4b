//! The walk over the syntax tree.

use std::collections::{BTreeSet, HashSet};

use ruff_python_ast::{
    CmpOp, Comprehension, ConversionFlag, Expr, ExprAttribute, ExprCall, ExprCompare, InterpolatedStringElement, Stmt,
    StmtDelete, StmtFunctionDef,
    token::{Token, TokenKind},
    visitor::{Visitor, walk_comprehension, walk_expr, walk_interpolated_string_element, walk_stmt},
};
use ruff_text_size::{Ranged, TextRange, TextSize};

use crate::builtin::MESSAGE;

use super::{
    LINE,
    edit::Edits,
    generators::{Scope, yields},
    locate,
};

/// Methods of database managers and query sets, with what decides whether a call is rewritten. The position in the
/// list is the number by which the prelude knows the method.
pub(crate) const SET_METHODS: &[(&str, Method)] = &[
    ("exists", Method::Final),
    ("first", Method::Final),
    ("last", Method::Final),
    ("count", Method::Final),
    ("all", Method::Set),
    ("filter", Method::Set),
    ("exclude", Method::Set),
    ("order_by", Method::Set),
    ("values", Method::Set),
    ("values_list", Method::Set),
    ("distinct", Method::Set),
    ("annotate", Method::Set),
    ("select_related", Method::Set),
    ("prefetch_related", Method::Set),
    ("only", Method::Set),
    ("iterator", Method::Set),
    ("none", Method::Set),
    ("all_groups", Method::Set),
    ("all_roles", Method::Set),
    ("app_entitlements", Method::Set),
];

/// Methods of query sets that plain values have too, or that give something else: they are not rewritten, but a query
/// they are called on at once is not loaded.
const SET_ANSWERS: &[&str] = &["get", "get_or_create", "earliest", "latest", "contains"];

/// What a method of [`SET_METHODS`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// A plain value; only without arguments (`list.count(x)` is something else).
    Final,
    /// A query set, loaded into a list unless another of these methods is called on it at once.
    Set,
}

/// Methods that the interpreter does not have, or of which the host has to see the object, and the helper instead.
const METHOD_HELPERS: &[(&str, &str)] = &[
    ("bit_length", "_weir_bit_length"),
    ("from_bytes", "_weir_from_bytes"),
    ("save", "_weir_save"),
    ("to_bytes", "_weir_to_bytes"),
    ("translate", "_weir_translate"),
];

/// Attributes that are classes of exceptions, and the helper instead.
const EXCEPTION_ATTRIBUTES: &[(&str, &str)] =
    &[("DoesNotExist", "_weir_e_DoesNotExist"), ("MultipleObjectsReturned", "_weir_e_MultipleObjectsReturned")];

/// Built-in classes whose methods are used as functions (`key=str.lower`), which the interpreter does not know.
const UNBOUND: &[(&str, &[&str])] = &[
    (
        "str",
        &[
            "lower",
            "upper",
            "strip",
            "lstrip",
            "rstrip",
            "title",
            "capitalize",
            "casefold",
            "swapcase",
            "isdigit",
            "isalpha",
            "isalnum",
            "isupper",
            "islower",
            "isspace",
            "isnumeric",
            "isdecimal",
            "split",
            "splitlines",
            "encode",
            "startswith",
            "endswith",
            "replace",
            "join",
            "format",
            "zfill",
            "removeprefix",
            "removesuffix",
        ],
    ),
    ("dict", &["get", "keys", "values", "items"]),
    ("list", &["count", "index", "copy"]),
    ("bytes", &["decode", "hex"]),
];

/// Names by which a source gets hold of addresses.
const ADDRESSES: &[&str] = &["ak_client_ip", "ip_address", "ip_network", "ipaddress"];

/// Collects the changes.
pub(super) struct Rewriter<'a> {
    pub(super) text: &'a str,
    tokens: &'a [Token],
    pub(super) edits: Edits,
    pub(super) names: HashSet<String>,
    pub(super) modules: BTreeSet<&'static str>,
    pub(super) helpers: BTreeSet<&'static str>,
    pub(super) is_generator: bool,
    scopes: Vec<Scope>,
    /// Calls whose result another set method is called on at once.
    chained: HashSet<TextRange>,
    /// Whether the source may compare addresses, whose class cannot say which of two is less.
    has_addresses: bool,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(text: &'a str, tokens: &'a [Token], edits: Edits) -> Self {
        Self {
            text,
            tokens,
            edits,
            names: HashSet::new(),
            modules: BTreeSet::new(),
            helpers: BTreeSet::new(),
            is_generator: false,
            scopes: vec![Scope::Main],
            chained: HashSet::new(),
            has_addresses: ADDRESSES.iter().any(|name| text.contains(name)),
        }
    }

    pub(super) fn visit_main(&mut self, main: &'a StmtFunctionDef) {
        self.is_generator = yields(&main.body);
        if let Some(first) = main.body.first()
            && let Some(indent) = self.own_line(first)
        {
            self.edits.open(first.start(), format!("global {LINE}\n{indent}"));
        }
        self.visit_body(&main.body);
    }

    pub(super) fn scope(&self) -> Scope {
        self.scopes.last().copied().unwrap_or(Scope::Main)
    }

    /// The first token of a kind in a range.
    pub(super) fn find_token(&self, range: TextRange, kind: TokenKind) -> Option<TextRange> {
        let first = self.tokens.partition_point(|token| token.start() < range.start());
        self.tokens
            .get(first..)?
            .iter()
            .take_while(|token| token.end() <= range.end())
            .find(|token| token.kind() == kind)
            .map(Ranged::range)
    }

    /// Puts an assignment of the line before a statement of the main function.
    fn mark(&mut self, statement: &Stmt) {
        let line = locate(self.text, statement.start()).0;
        let is_compound = matches!(
            statement,
            Stmt::FunctionDef(_)
                | Stmt::ClassDef(_)
                | Stmt::For(_)
                | Stmt::While(_)
                | Stmt::If(_)
                | Stmt::With(_)
                | Stmt::Match(_)
                | Stmt::Try(_)
        );
        match self.own_line(statement).filter(|_| is_compound) {
            Some(indent) => self.edits.open(statement.start(), format!("{LINE} = {line}\n{indent}")),
            None if is_compound => {}
            None => self.edits.open(statement.start(), format!("{LINE} = {line}; ")),
        }
    }

    /// Puts a call of a helper around an expression.
    fn wrap(&mut self, helper: &'static str, expr: &'a Expr) {
        self.helpers.insert(helper);
        self.edits.open(expr.start(), format!("{helper}(("));
        self.visit_expr(expr);
        self.edits.close(expr.end(), "))");
    }

    /// `a < b` of addresses is the order of their numbers.
    fn visit_order(&mut self, compare: &'a ExprCompare) -> bool {
        let is_order = |op: &CmpOp| matches!(op, CmpOp::Lt | CmpOp::LtE | CmpOp::Gt | CmpOp::GtE);
        let is_found = self.has_addresses && compare.ops.iter().all(is_order);
        if is_found {
            for operand in compare.operands.iter() {
                self.wrap("_weir_order", operand);
            }
        }
        is_found
    }

    /// What a loop runs over may be a query set that no method call in sight has loaded.
    fn visit_iterable(&mut self, iterable: &'a Expr) {
        match iterable {
            Expr::Name(_) | Expr::Attribute(_) | Expr::Subscript(_) => self.wrap("_weir_rows", iterable),
            Expr::Call(call) if matches!(*call.func, Expr::Attribute(_)) => self.wrap("_weir_rows", iterable),
            _ => self.visit_expr(iterable),
        }
    }

    fn visit_function(&mut self, function: &'a StmtFunctionDef) {
        for decorator in &function.decorator_list {
            self.visit_decorator(decorator);
        }
        self.visit_parameters(&function.parameters);
        let is_generator = !function.is_async && yields(&function.body);
        self.scopes.push(Scope::Function { is_generator });
        if is_generator {
            self.open_generator(function);
        }
        self.visit_body(&function.body);
        if is_generator {
            self.close_generator(function);
        }
        self.scopes.pop();
    }

    /// `del a[b]` becomes a call, `del a[b:c]` an assignment, `del a` forgets the value.
    fn rewrite_delete(&mut self, statement: &'a StmtDelete) {
        let is_simple = |target: &Expr| matches!(target, Expr::Subscript(_) | Expr::Name(_) | Expr::Attribute(_));
        if !statement.targets.iter().all(is_simple) {
            return;
        }
        self.helpers.insert("_weir_del");
        // What follows has to begin where the statement did.
        let after = self.text.get(statement.start().to_usize() + "del".len()..).unwrap_or_default();
        let blanks = after.len() - after.trim_start_matches([' ', '\t']).len();
        let Ok(length) = TextSize::try_from("del".len() + blanks) else { return };
        self.edits.replace(TextRange::at(statement.start(), length), "");
        let mut previous: Option<TextSize> = None;
        for target in &statement.targets {
            if let Some(end) = previous
                && let Some(comma) = self.find_token(TextRange::new(end, target.start()), TokenKind::Comma)
            {
                self.edits.replace(comma, ";");
            }
            previous = Some(target.end());
            match target {
                Expr::Subscript(subscript) if !matches!(*subscript.slice, Expr::Slice(_)) => {
                    let between = TextRange::new(subscript.value.end(), subscript.slice.start());
                    let Some(bracket) = self.find_token(between, TokenKind::Lsqb) else { continue };
                    self.edits.open(target.start(), "_weir_del((");
                    self.visit_expr(&subscript.value);
                    self.edits.replace(bracket, "), (");
                    self.visit_expr(&subscript.slice);
                    self.edits.replace(TextRange::at(target.end() - TextSize::of(']'), TextSize::of(']')), "))");
                }
                Expr::Subscript(_) => {
                    self.visit_expr(target);
                    self.edits.close(target.end(), " = []");
                }
                _ => {
                    self.visit_expr(target);
                    self.edits.close(target.end(), " = None");
                }
            }
        }
    }

    fn visit_call(&mut self, call: &'a ExprCall) -> bool {
        match &*call.func {
            Expr::Attribute(attribute) => self.visit_method_call(call, attribute),
            Expr::Name(name) if name.id.as_str() == "bytes" && call.arguments.keywords.is_empty() => {
                self.helpers.insert("_weir_bytes");
                self.edits.replace(name.range(), "_weir_bytes");
                self.visit_arguments(&call.arguments);
                true
            }
            Expr::Name(name) if name.id.as_str() == "str" && call.arguments.keywords.is_empty() => {
                let [argument] = &*call.arguments.args else { return false };
                if matches!(argument, Expr::Generator(_) | Expr::Starred(_)) {
                    return false;
                }
                self.visit_expr(&call.func);
                self.wrap("_weir_str", argument);
                true
            }
            // A message is text: objects of the host and of the prelude are asked for theirs.
            Expr::Name(name) if name.id.as_str() == MESSAGE && call.arguments.keywords.is_empty() => {
                let [argument] = &*call.arguments.args else { return false };
                if matches!(argument, Expr::Generator(_) | Expr::Starred(_) | Expr::StringLiteral(_)) {
                    return false;
                }
                self.visit_expr(&call.func);
                self.edits.open(argument.start(), "str(");
                self.wrap("_weir_str", argument);
                self.edits.close(argument.end(), ")");
                true
            }
            _ => false,
        }
    }

    /// Turns `x.filter(a)` into a call of a helper with `x` and `a`, so that the helper can load the result.
    fn visit_method_call(&mut self, call: &'a ExprCall, attribute: &'a ExprAttribute) -> bool {
        let arguments = &call.arguments;
        let is_plain = arguments.is_empty();
        let name = attribute.attr.as_str();
        let (helper, options) = if let Some((_, helper)) = METHOD_HELPERS.iter().find(|(method, _)| *method == name) {
            (*helper, String::new())
        } else {
            if let Expr::Call(inner) = &*attribute.value
                && SET_ANSWERS.contains(&name)
            {
                self.chained.insert(inner.range());
            }
            let Some(index) = SET_METHODS.iter().position(|(method, _)| *method == name) else { return false };
            let kind = SET_METHODS.get(index).map(|(_, kind)| *kind);
            if kind == Some(Method::Final) && !is_plain {
                return false;
            }
            if let Expr::Call(inner) = &*attribute.value {
                self.chained.insert(inner.range());
            }
            let loads = kind == Some(Method::Set) && !self.chained.contains(&call.range());
            ("_weir_set", format!("{index}, {}, ", if loads { "True" } else { "False" }))
        };
        let is_bare_generator = matches!(&*arguments.args, [Expr::Generator(generator)] if !generator.parenthesized);
        let between = TextRange::new(attribute.value.end(), attribute.attr.start());
        let Some(dot) = self.last_dot(between).filter(|_| !is_bare_generator) else { return false };
        self.helpers.insert(helper);
        self.edits.open(call.start(), format!("{helper}({options}"));
        self.visit_expr(&attribute.value);
        let opening = arguments.range().start() + TextSize::of('(');
        self.edits.replace(TextRange::new(dot.start(), opening), if is_plain { "" } else { ", " });
        self.visit_arguments(arguments);
        true
    }

    fn last_dot(&self, range: TextRange) -> Option<TextRange> {
        let first = self.tokens.partition_point(|token| token.start() < range.start());
        let inside = self.tokens.get(first..)?.iter().take_while(|token| token.end() <= range.end());
        inside.filter(|token| token.kind() == TokenKind::Dot).last().map(Ranged::range)
    }

    /// `Model.DoesNotExist` and `requests.exceptions`: only names of the prelude can be caught.
    fn visit_exception(&mut self, attribute: &'a ExprAttribute) -> bool {
        let name = attribute.attr.as_str();
        let is_session = matches!(&*attribute.value, Expr::Name(value) if value.id.as_str() == "requests");
        let helper = if is_session && name == "exceptions" {
            Some("_weir_m_requests_exceptions")
        } else if is_session && matches!(name, "RequestException" | "HTTPError" | "ConnectionError") {
            Some("_weir_e_RequestException")
        } else if is_session && name == "Timeout" {
            Some("_weir_e_Timeout")
        } else {
            EXCEPTION_ATTRIBUTES.iter().find(|(attr, _)| *attr == name).map(|(_, helper)| *helper)
        };
        let Some(helper) = helper.filter(|_| attribute.ctx.is_load()) else { return false };
        self.helpers.insert(helper);
        self.edits.replace(attribute.range(), helper);
        true
    }

    /// `str.lower` where it is not called.
    fn visit_unbound(&mut self, attribute: &'a ExprAttribute) -> bool {
        let Expr::Name(class) = &*attribute.value else { return false };
        let name = attribute.attr.as_str();
        let is_known = UNBOUND.iter().any(|(of, methods)| *of == class.id.as_str() && methods.contains(&name));
        if is_known && attribute.ctx.is_load() {
            self.edits.replace(
                attribute.range(),
                format!("(lambda _weir_s, *_weir_a, **_weir_k: _weir_s.{name}(*_weir_a, **_weir_k))"),
            );
        }
        is_known
    }
}

impl<'a> Visitor<'a> for Rewriter<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if self.scope() == Scope::Main {
            self.mark(stmt);
        }
        match stmt {
            Stmt::ClassDef(_) => {
                self.scopes.push(Scope::Other);
                walk_stmt(self, stmt);
                self.scopes.pop();
            }
            Stmt::Delete(statement) => self.rewrite_delete(statement),
            Stmt::Import(statement) => self.rewrite_import(statement),
            Stmt::ImportFrom(statement) => self.rewrite_import_from(statement),
            Stmt::Return(statement) => {
                self.rewrite_return(statement);
            }
            Stmt::FunctionDef(function) => self.visit_function(function),
            Stmt::For(statement) if !statement.is_async => {
                self.visit_iterable(&statement.iter);
                self.visit_expr(&statement.target);
                self.visit_body(&statement.body);
                self.visit_body(&statement.orelse);
            }
            _ => walk_stmt(self, stmt),
        }
    }

    // Annotations are not evaluated, so nothing in them needs a change.
    fn visit_annotation(&mut self, _annotation: &'a Expr) {}

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        if comprehension.is_async {
            return walk_comprehension(self, comprehension);
        }
        self.visit_iterable(&comprehension.iter);
        self.visit_expr(&comprehension.target);
        for condition in &comprehension.ifs {
            self.visit_expr(condition);
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) => {
                self.names.insert(name.id.to_string());
            }
            Expr::Yield(inner) => self.rewrite_yield(inner.range(), inner.value.as_deref(), false),
            Expr::YieldFrom(inner) => self.rewrite_yield(inner.range(), Some(&inner.value), true),
            Expr::Lambda(_) => {
                self.scopes.push(Scope::Other);
                walk_expr(self, expr);
                self.scopes.pop();
            }
            Expr::Compare(compare) if self.visit_order(compare) => {}
            Expr::Call(call) if self.visit_call(call) => {}
            Expr::Attribute(attribute) if self.visit_unbound(attribute) || self.visit_exception(attribute) => {}
            _ => walk_expr(self, expr),
        }
    }

    fn visit_interpolated_string_element(&mut self, element: &'a InterpolatedStringElement) {
        match element {
            InterpolatedStringElement::Interpolation(part)
                if part.debug_text.is_none()
                    && matches!(part.conversion, ConversionFlag::None | ConversionFlag::Str)
                    && !matches!(*part.expression, Expr::Starred(_)) =>
            {
                self.wrap("_weir_str", &part.expression);
                for inner in part.format_spec.iter().flat_map(|spec| &spec.elements) {
                    self.visit_interpolated_string_element(inner);
                }
            }
            _ => walk_interpolated_string_element(self, element),
        }
    }
}
