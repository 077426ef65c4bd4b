//! How much of the API contract a running server really serves, by the checker that walks all of it.
//!
//! The checker and the contract's document are not part of this project: they lie in the folder that
//! `WEIR_CONTRACT_DIR` names. It alone judges; samples that fit this server are given to it by `tests/contract/walk.py`.
//! How many operations must be valid stands in `tests/contract-min.txt` and only rises.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use super::{Outcome, Session};
use crate::postgres::{Durability, Postgres};
use crate::project::{Project, succeeds};
use crate::python;
use crate::server::{PASSWORD, Server, TOKEN, free_port};

/// What the command takes.
#[derive(clap::Args)]
pub struct Options {
    /// Only operations whose id, path or tag matches this expression; then no number is required
    #[arg(long)]
    only: Option<String>,
    /// How many failing operations to print
    #[arg(long, default_value_t = 15)]
    show: u32,
    /// Also on PostgreSQL
    #[arg(long)]
    postgres: bool,
    /// With the checker's own samples only
    #[arg(long)]
    plain: bool,
}

pub(super) fn suite(session: &Session<'_>) -> Result<Outcome> {
    check(session, &Options { only: None, show: 15, postgres: true, plain: false })
}

/// `cargo xtask check-contract`.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let postgres = if options.postgres { Postgres::find(Durability::None)? } else { None };
    match check(&Session { project, postgres }, options)? {
        Outcome::Failed(why) => {
            eprintln!("{why}");
            Ok(ExitCode::FAILURE)
        }
        Outcome::Missing(part) if !part.ends_with("SQLite") || options.postgres => {
            eprintln!("this machine has no {part}");
            Ok(ExitCode::FAILURE)
        }
        Outcome::Missing(_) | Outcome::Passed => Ok(ExitCode::SUCCESS),
    }
}

fn check(session: &Session<'_>, options: &Options) -> Result<Outcome> {
    let project = session.project;
    let folder = std::env::var_os("WEIR_CONTRACT_DIR").map_or_else(|| project.root.join("../shared"), PathBuf::from);
    let (tools, schema) = (folder.join("tools"), folder.join("contract/schema.yml"));
    let checker = tools.join("contract_check.py");
    if !checker.is_file() || !schema.is_file() {
        return Ok(Outcome::Missing("contract checker (name its folder in WEIR_CONTRACT_DIR)".to_owned()));
    }
    let requirements = project.root.join("tests/contract-requirements.txt");
    let Some(interpreter) = python::environment(project, "contract", &requirements)? else {
        return Ok(Outcome::Missing("Python 3".to_owned()));
    };
    let least = least_valid(project)?;
    // The walk answers there as Duo would.
    let duo = free_port()?;
    let more = [("WEIR_OUTBOUND__DUO_URL", format!("http://127.0.0.1:{duo}"))];
    session.on_each_database_with(&more, "contract", |server| {
        let mut command = Command::new(&interpreter);
        if options.plain {
            command.arg(&checker);
        } else {
            command.arg(project.root.join("tests/contract/walk.py")).arg(&tools).arg(PASSWORD).arg(duo.to_string());
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg("--schema").arg(&schema);
        command.arg("--report").arg(report_path(project, server)?);
        command.args(["--url", &server.url(), "--token", TOKEN, "--show", &options.show.to_string()]);
        match &options.only {
            Some(only) => command.args(["--only", only, "--min", "0"]),
            None => command.args(["--min", &least.to_string()]),
        };
        succeeds(&mut command)
    })
}

fn report_path(project: &Project, server: &Server) -> Result<PathBuf> {
    Ok(project.scratch("contract-reports")?.join(format!("{}.json", server.address.port())))
}

fn least_valid(project: &Project) -> Result<u32> {
    let path = project.root.join("tests/contract-min.txt");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    text.trim().parse().with_context(|| format!("{} holds one number", path.display()))
}
