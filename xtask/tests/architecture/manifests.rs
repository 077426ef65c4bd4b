//! Which crate may depend on which, and which crate alone may name a library.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A crate and what it stands on. What those stand on is allowed too.
const LAYERS: &[(&str, &[&str])] = &[
    ("weir-core", &[]),
    ("weir-geo", &[]),
    ("weir-pages", &[]),
    ("weir-webauthn", &[]),
    ("weir-expression", &[]),
    ("weir-expression-worker", &["weir-expression"]),
    ("weir-contract", &["weir-core"]),
    ("weir-crypto", &["weir-core"]),
    ("weir-store", &["weir-core"]),
    ("weir-events", &["weir-store"]),
    ("weir-resource", &["weir-events", "weir-geo"]),
    ("weir-identity", &["weir-resource", "weir-crypto"]),
    ("weir-pki", &["weir-identity"]),
    ("weir-mail", &["weir-identity"]),
    ("weir-policy", &["weir-mail", "weir-expression"]),
    ("weir-flow", &["weir-policy"]),
    ("weir-stages", &["weir-http", "weir-crypto", "weir-webauthn"]),
    ("weir-sources", &["weir-http"]),
    ("weir-applications", &["weir-http"]),
    ("weir-audit", &["weir-http"]),
    ("weir-sync", &["weir-applications", "weir-sources"]),
    ("weir-blueprints", &["weir-flow"]),
    ("weir-http", &["weir-flow", "weir-pki", "weir-contract", "weir-pages", "weir-blueprints"]),
    (
        "weir",
        &[
            "weir-applications",
            "weir-audit",
            "weir-http",
            "weir-sources",
            "weir-stages",
            "weir-sync",
            "weir-expression-worker",
        ],
    ),
    ("weir-testkit", &["weir"]),
    ("xtask", &["weir-crypto"]),
];

/// A library and the crates that alone may list it in their manifests.
const KEEPERS: &[(&str, &[&str])] = &[
    ("sqlx", &["weir-store"]),
    ("sea-orm", &["weir-store"]),
    ("lettre", &["weir-mail"]),
    ("maxminddb", &["weir-geo"]),
    ("monty", &["weir-expression-worker"]),
    ("openssl", &[]),
    ("native-tls", &[]),
];

/// Who must stay free of a library, with the reason a reader should see.
const PURE: &[(&str, &[&str], &str)] = &[
    ("weir-core", &["tokio", "axum", "reqwest"], "definitions do no I/O"),
    ("weir-resource", &["axum"], "objects are read and written by blueprints and flows too"),
    ("weir-flow", &["axum", "reqwest", "hyper"], "the engine knows no HTTP, so that tests and replays can run it"),
    ("weir-policy", &["axum"], "policies know no HTTP server"),
    ("weir-pages", &["axum"], "pages turn data into text"),
    ("weir-webauthn", &["tokio", "axum", "reqwest", "rand"], "ceremonies are functions of their input"),
];

struct Package {
    name: String,
    /// Name and kind; the kind of a normal dependency is empty.
    dependencies: Vec<(String, String)>,
}

impl Package {
    fn normal(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().filter(|(_, kind)| kind.is_empty()).map(|(name, _)| name.as_str())
    }
}

fn packages() -> Result<Vec<Package>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(super::root()?);
    let output = cargo.output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    Ok(packages
        .iter()
        .map(|package| {
            let dependencies = package.get("dependencies").and_then(Value::as_array);
            let dependencies =
                dependencies.into_iter().flatten().map(|it| (text(it, "name"), text(it, "kind"))).collect();
            Package { name: text(package, "name"), dependencies }
        })
        .collect())
}

fn is_ours(name: &str) -> bool {
    name == "weir" || name.starts_with("weir-")
}

/// Everything below a crate in [`LAYERS`].
fn below(name: &str) -> BTreeSet<&'static str> {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = layers.get(name).map(|under| under.to_vec()).unwrap_or_default();
    while let Some(next) = open.pop() {
        if let Some((next, under)) = layers.get_key_value(next)
            && found.insert(*next)
        {
            open.extend(under.iter());
        }
    }
    found
}

#[test]
fn every_crate_has_a_layer_and_no_layer_stands_on_itself() {
    let known: BTreeSet<_> = LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let there: BTreeSet<_> = packages().unwrap().into_iter().map(|package| package.name).collect();
    assert_eq!(known, there, "LAYERS names exactly the crates of the workspace");
    for (name, _) in LAYERS {
        assert!(!below(name).contains(name), "{name} stands on itself");
    }
}

#[test]
fn a_crate_depends_only_on_the_layers_below_it() {
    let mut wrong = Vec::new();
    for package in packages().unwrap() {
        let below = below(&package.name);
        let bad = package.normal().filter(|name| is_ours(name) && !below.contains(name));
        wrong.extend(bad.map(|name| format!("{} → {name}", package.name)));
    }
    assert!(wrong.is_empty(), "against LAYERS: {wrong:#?}");
}

#[test]
fn a_library_with_one_keeper_is_named_nowhere_else() {
    let mut wrong = Vec::new();
    for package in packages().unwrap() {
        for (library, keepers) in KEEPERS {
            let is_named = package.dependencies.iter().any(|(name, _)| name == library);
            if is_named && !keepers.contains(&package.name.as_str()) {
                wrong.push(format!("{} names {library}, which only {keepers:?} may", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_pure_crate_stays_pure() {
    let mut wrong = Vec::new();
    for package in packages().unwrap() {
        for (name, libraries, reason) in PURE.iter().filter(|(name, ..)| *name == package.name) {
            let bad = package.normal().filter(|library| libraries.contains(library));
            wrong.extend(bad.map(|library| format!("{name} must not depend on {library}: {reason}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
