//! The rewriting, by its text.

use proptest::prelude::*;

use crate::rewrite::{Rewritten, rewrite};

/// The rewritten body without the marks of the lines.
fn body(source: &str) -> String {
    let Rewritten { text, .. } = rewrite(source, &[]).unwrap();
    let unmarked = |line: &str| {
        let (before, mark) = line.split_once("_weir_line = ")?;
        Some(before.to_owned() + mark.split_once("; ")?.1)
    };
    let lines = text.lines().skip(1).map(|line| line.strip_prefix("    ").unwrap_or(line));
    let kept = lines.filter(|line| !line.trim().is_empty() && *line != "global _weir_line");
    let kept = kept.filter(|line| line.contains(';') || !line.contains("_weir_line = "));
    kept.map(|line| unmarked(line).unwrap_or_else(|| line.to_owned())).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_needs_no_change_stays_as_it_is() {
    for source in ["return user.name", "x = [a.b(c) for d in [1]]\nreturn x", "if a:\n    return 'str(x)'\nreturn 1"] {
        assert_eq!(body(source), source);
    }
}

#[test]
fn methods_of_query_sets_become_calls_of_a_helper() {
    assert_eq!(body("a.filter(b=1)"), "_weir_set(5, True, a, b=1)");
    assert_eq!(body("a.filter(b=1).exists()"), "_weir_set(0, False, _weir_set(5, False, a, b=1))");
    assert_eq!(body("(a or b).all()[0]"), "_weir_set(4, True, (a or b))[0]");
    assert_eq!(body("a.filter(x for x in y)"), "a.filter(x for x in _weir_rows((y)))");
    assert_eq!(body("a.count(1)"), "a.count(1)");
    assert_eq!(body("a.save()"), "_weir_save(a)");
}

#[test]
fn interpolated_objects_show_their_text() {
    assert_eq!(body("f'{a}{b!r}{c!s:>{d}}{e=}'"), "f'{_weir_str((a))}{b!r}{_weir_str((c))!s:>{_weir_str((d))}}{e=}'");
    assert_eq!(body("str(a)"), "str(_weir_str((a)))");
    assert_eq!(body("ak_message(a)"), "ak_message(str(_weir_str((a))))");
    assert_eq!(body("ak_message('a')"), "ak_message('a')");
}

#[test]
fn addresses_are_compared_by_their_numbers() {
    assert_eq!(body("ak_client_ip < b <= c"), "_weir_order((ak_client_ip)) < _weir_order((b)) <= _weir_order((c))");
    assert_eq!(body("ak_client_ip in b"), "ak_client_ip in b");
    assert_eq!(body("a < b"), "a < b");
}

#[test]
fn a_nested_generator_gets_a_list() {
    assert_eq!(
        body("def f():\n    yield 1\nreturn f"),
        "def f():\n    _weir_gen = []\n    _weir_gen.append(( 1))\n    return iter(_weir_gen)\nreturn f"
    );
}

#[test]
fn imports_are_taken_from_here_or_asked_of_the_host() {
    assert_eq!(body("import re, hmac as h"), "import re; h = _weir_m_hmac");
    assert_eq!(
        body("from authentik.core.models import User as U"),
        "U = _weir_import(\"authentik.core.models\", \"User\")"
    );
    assert_eq!(body("from datetime import datetime"), "from datetime import datetime");
}

#[test]
fn each_line_knows_where_it_came_from() {
    let source = "from urllib.parse import (\n    quote,\n)\nif a:\n    b = 1\nreturn c";
    let Rewritten { text, lines, .. } = rewrite(source, &[]).unwrap();
    let line_of = |part: &str| {
        let line = text.lines().position(|line| line.contains(part)).unwrap();
        lines[line]
    };
    assert_eq!((line_of("quote ="), line_of("if a"), line_of("b = 1"), line_of("return c")), (1, 4, 5, 6));
    assert!(text.contains("_weir_line = 6; return c"));
}

proptest! {
    #[test]
    fn any_text_is_rewritten_or_refused(source in "([a-z]{1,3}|[ ().,:=\n'\"\\[\\]{}#]|yield |del |return |import |from |def |for |in |f'|\\.filter\\(|lambda|\n    ){0,40}") {
        if let Ok(rewritten) = rewrite(&source, &["user"]) {
            prop_assert_eq!(rewritten.text.lines().count(), rewritten.lines.len().saturating_sub(usize::from(rewritten.text.ends_with('\n'))));
        }
    }
}
