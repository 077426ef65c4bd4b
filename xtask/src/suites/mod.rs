//! `cargo xtask test`: every test of the project, each suite with its own set-up, and a plain account at the end.
//!
//! A suite whose part of the machine is missing (PostgreSQL, Chromium, …) is left out and named. In CI nothing may be
//! left out: there a missing part fails the run.

mod browser;
mod clients;
mod components;
pub mod contract;
mod faults;
mod nodes;
mod rust;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::postgres::{Durability, Postgres};
use crate::project::Project;
use crate::server::{Server, Settings};

/// What the command takes.
#[derive(clap::Args)]
pub struct Options {
    /// Fail when a part of the machine is missing, instead of leaving its tests out (also: CI=true)
    #[arg(long)]
    ci: bool,
    /// Only these suites; all without any
    suites: Vec<String>,
}

/// How a suite ended.
enum Outcome {
    Passed,
    Failed(String),
    /// What this machine lacks.
    Missing(String),
}

impl Outcome {
    fn of(is_success: bool) -> Self {
        if is_success { Self::Passed } else { Self::Failed("see above".to_owned()) }
    }
}

struct Suite {
    name: &'static str,
    what: &'static str,
    wants_postgres: bool,
    run: fn(&Session<'_>) -> Result<Outcome>,
}

/// In the order in which a mistake is cheapest to find.
const SUITES: &[Suite] = &[
    Suite { name: "format", what: "source formatting", wants_postgres: false, run: rust::format },
    Suite { name: "lint", what: "clippy, no warning allowed", wants_postgres: false, run: rust::lint },
    Suite {
        name: "dependencies",
        what: "licences and forbidden crates (cargo-deny)",
        wants_postgres: false,
        run: rust::dependencies,
    },
    Suite { name: "sqlite", what: "all Rust tests on SQLite", wants_postgres: false, run: rust::on_sqlite },
    Suite { name: "postgres", what: "all Rust tests on PostgreSQL", wants_postgres: true, run: rust::on_postgres },
    Suite {
        name: "rust-client",
        what: "the official Rust client on both databases",
        wants_postgres: true,
        run: clients::rust,
    },
    Suite {
        name: "python-client",
        what: "the official Python client on both databases",
        wants_postgres: true,
        run: clients::python,
    },
    Suite {
        name: "contract",
        what: "the whole API contract against a running server",
        wants_postgres: true,
        run: contract::suite,
    },
    Suite {
        name: "components",
        what: "mail, authenticators, proxies and providers as real servers on both databases",
        wants_postgres: true,
        run: components::suite,
    },
    Suite { name: "nodes", what: "two nodes on one PostgreSQL", wants_postgres: true, run: nodes::suite },
    Suite {
        name: "faults",
        what: "a killed server loses nothing it acknowledged; a database that goes away comes back",
        wants_postgres: true,
        run: faults::suite,
    },
    Suite { name: "pages", what: "every kind of page in Chromium", wants_postgres: false, run: browser::pages },
    Suite { name: "browser", what: "Chromium against a running server", wants_postgres: false, run: browser::suite },
];

/// What the suites of one run share.
struct Session<'a> {
    project: &'a Project,
    postgres: Option<Postgres>,
}

const NO_POSTGRES: &str = "PostgreSQL (initdb, postgres and psql, or WEIR_TEST_POSTGRES_URL)";

impl Session<'_> {
    fn binary(&self) -> PathBuf {
        self.project.binary(false)
    }

    /// Runs something against a fresh server on each database there is.
    fn on_each_database(&self, name: &str, test: impl Fn(&Server) -> Result<bool>) -> Result<Outcome> {
        self.on_each_database_with(&[], name, test)
    }

    /// The same with further settings for the server.
    fn on_each_database_with(
        &self,
        more: &[(&'static str, String)],
        name: &str,
        test: impl Fn(&Server) -> Result<bool>,
    ) -> Result<Outcome> {
        rust::build_server(self.project)?;
        let mut databases = vec![("SQLite", None)];
        if let Some(postgres) = &self.postgres {
            let database = format!("weir_{}", name.replace('-', "_"));
            databases.push(("PostgreSQL", Some(postgres.create_database(&database)?)));
        }
        let has_all = databases.len() > 1;
        for (label, database) in databases {
            eprintln!("-- {name} on {label}");
            let folder = self.project.empty_scratch(&format!("{name}-{}", label.to_lowercase()))?;
            let settings = Settings { binary: &self.binary(), folder: &folder, database: database.as_deref(), more };
            let server = settings.start()?;
            if !test(&server)? {
                eprintln!("-- the end of the server's log:\n{}", server.log_tail());
                return Ok(Outcome::Failed(format!("on {label}, see above")));
            }
        }
        Ok(if has_all { Outcome::Passed } else { Outcome::Missing(format!("{NO_POSTGRES}; passed on SQLite")) })
    }
}

/// Runs the suites and prints the account.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let chosen = choose(&options.suites)?;
    let is_strict = options.ci || std::env::var("CI").is_ok_and(|value| matches!(value.as_str(), "true" | "1"));
    let wants_postgres = chosen.iter().any(|suite| suite.wants_postgres);
    let postgres = if wants_postgres { Postgres::find(Durability::None)? } else { None };
    let session = Session { project, postgres };
    let mut account = Vec::new();
    for suite in chosen {
        eprintln!("\n== {}: {}", suite.name, suite.what);
        let begun = Instant::now();
        let outcome = (suite.run)(&session).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let outcome = match outcome {
            Outcome::Missing(part) if is_strict => Outcome::Failed(format!("nothing may be missing here: no {part}")),
            other => other,
        };
        account.push((suite.name, outcome, begun.elapsed()));
    }
    let is_clean = !account.iter().any(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)));
    println!("{}", table(&account));
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn choose(names: &[String]) -> Result<Vec<&'static Suite>> {
    if let Some(unknown) = names.iter().find(|name| !SUITES.iter().any(|suite| suite.name == name.as_str())) {
        let known: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        bail!("no suite {unknown:?}; there are {}", known.join(", "));
    }
    Ok(SUITES.iter().filter(|suite| names.is_empty() || names.iter().any(|name| name == suite.name)).collect())
}

fn table(account: &[(&'static str, Outcome, Duration)]) -> String {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut text = String::new();
    for (name, outcome, time) in account {
        let (word, why) = match outcome {
            Outcome::Passed => (&mut passed, "passed".to_owned()),
            Outcome::Failed(why) => (&mut failed, format!("FAILED: {why}")),
            Outcome::Missing(part) => (&mut skipped, format!("skipped: this machine has no {part}")),
        };
        *word += 1;
        text.push_str(&format!("\n{name:14} {:>5} s  {why}", time.as_secs()));
    }
    text.push_str(&format!("\n\n{passed} passed, {failed} failed, {skipped} skipped"));
    text
}

#[cfg(test)]
mod tests;
