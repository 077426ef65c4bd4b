//! How long a file and a function may be.

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::Visit;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 80;

/// What is longer for a reason, with its length: it may shrink, never grow. A function is named `file::function`.
/// Do not add to this list what can be cut in two.
const EXCEPTIONS: &[(&str, usize, &str)] = &[];

#[derive(Default)]
struct Functions {
    found: Vec<(String, usize)>,
}

impl Functions {
    fn note(&mut self, name: &syn::Ident, whole: &impl Spanned, attributes: &[syn::Attribute]) {
        // Comments and attributes above a function are not its length.
        let first = attributes.last().map_or_else(|| whole.span().start().line, |last| last.span().end().line + 1);
        self.found.push((name.to_string(), (whole.span().end().line + 1).saturating_sub(first)));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note(&item.sig.ident, item, &item.attrs);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note(&item.sig.ident, item, &item.attrs);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.note(&item.sig.ident, item, &item.attrs);
        syn::visit::visit_trait_item_fn(self, item);
    }
}

fn functions(text: &str) -> Result<Vec<(String, usize)>> {
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse_file(text)?);
    Ok(functions.found)
}

/// Everything over its limit: name and lines.
fn too_long() -> Result<Vec<(String, usize)>> {
    let mut long = Vec::new();
    for (path, text) in super::sources::all()? {
        let path = path.to_string_lossy().into_owned();
        let lines = text.lines().count();
        let functions = functions(&text).with_context(|| path.clone())?;
        // A table of cases reads well at any length.
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        let functions = functions.into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES && !is_test);
        long.extend(functions.map(|(name, lines)| (format!("{path}::{name}"), lines)));
        if lines > FILE_LINES {
            long.push((path, lines));
        }
    }
    Ok(long)
}

#[test]
fn files_and_functions_stay_short_enough_to_read() {
    let long = too_long().unwrap();
    let allowed = |name: &str| EXCEPTIONS.iter().find(|(known, ..)| *known == name).map_or(0, |(_, lines, _)| *lines);
    let grown: Vec<_> = long.iter().filter(|(name, lines)| *lines > allowed(name)).collect();
    assert!(grown.is_empty(), "over {FILE_LINES} lines a file or {FUNCTION_LINES} a function: {grown:#?}");
}

#[test]
fn an_exception_that_is_no_longer_needed_goes() {
    let long = too_long().unwrap();
    let stale = |(name, lines, _): &&(&str, usize, &str)| !long.iter().any(|(is, now)| is == name && now == lines);
    let stale: Vec<_> = EXCEPTIONS.iter().filter(stale).collect();
    assert!(stale.is_empty(), "shorter than the list says, or short enough now: {stale:#?}");
}

#[test]
fn the_length_of_a_function_is_without_what_stands_above_it() {
    let text = "/// Help.\n#[inline]\nfn one() {\n    two();\n}\nstruct A;\nimpl A {\n    fn two() {}\n}\n";
    assert_eq!(functions(text).unwrap(), [("one".to_owned(), 3), ("two".to_owned(), 1)]);
}
