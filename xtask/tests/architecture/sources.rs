//! Which files may name a library.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Every Rust source of the workspace, relative to its root, with its text.
pub fn all() -> Result<Vec<(PathBuf, String)>> {
    let root = super::root()?;
    let mut found = Vec::new();
    let mut open = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.strip_prefix(&root)?.to_path_buf(), std::fs::read_to_string(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The lines of code, not of comments, that use a library by its path.
fn lines_naming<'a>(text: &'a str, library: &str) -> Vec<&'a str> {
    let (path, import) = (format!("{library}::"), format!("use {library};"));
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let names_it = |line: &&str| {
        let before = line.find(&path).map(|at| line.get(..at).unwrap_or_default());
        let is_whole_word =
            before.is_some_and(|text| !text.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
        is_whole_word || line.contains(&import)
    };
    text.lines().filter(is_code).filter(names_it).collect()
}

fn is_in(path: &Path, crates: &[&str]) -> bool {
    crates.iter().any(|name| path.starts_with(Path::new("crates").join(name)))
}

fn violations(library: &str, allowed: impl Fn(&Path) -> bool) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (path, text) in all()? {
        if path.starts_with("xtask/tests/architecture") || allowed(&path) {
            continue;
        }
        wrong.extend(
            lines_naming(&text, library).into_iter().map(|line| format!("{}: {}", path.display(), line.trim())),
        );
    }
    Ok(wrong)
}

#[test]
fn only_the_store_speaks_to_the_sql_library() {
    let wrong = violations("sqlx", |path| is_in(path, &["weir-store"])).unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_worker_speaks_to_the_expression_engine() {
    let wrong = violations("monty", |path| is_in(path, &["weir-expression-worker"])).unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_http_framework_stays_at_the_edge() {
    let is_edge = |path: &Path| {
        is_in(path, &["weir-http", "weir", "weir-testkit"]) || path.file_name().is_some_and(|name| name == "routes.rs")
    };
    let wrong = violations("axum", is_edge).unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_name_counts_as_a_whole_word_and_not_in_comments() {
    let text = "use sqlx::Row;\n// sqlx::query\nlet x = my_sqlx::y();\nlet z: sqlx::Pool;\nuse crate::sqlx::a;";
    assert_eq!(lines_naming(text, "sqlx"), ["use sqlx::Row;", "let z: sqlx::Pool;"]);
}
