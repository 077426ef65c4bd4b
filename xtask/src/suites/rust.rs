//! Formatting, lints, dependency rules and the workspace's own tests.

use std::process::Command;

use anyhow::Result;

use super::{NO_POSTGRES, Outcome, Session};
use crate::postgres::URL_VARIABLE;
use crate::project::{Project, has_cargo_command, must, succeeds};

const CLIENT_MANIFEST: &str = "tests/official-client/Cargo.toml";

pub fn format(session: &Session<'_>) -> Result<Outcome> {
    if !has_cargo_command(session.project, "fmt") {
        return Ok(Outcome::Missing("rustfmt".to_owned()));
    }
    let workspace = succeeds(session.project.plain_cargo().args(["fmt", "--all", "--check"]))?;
    let client = succeeds(session.project.plain_cargo().args(["fmt", "--check", "--manifest-path", CLIENT_MANIFEST]))?;
    Ok(Outcome::of(workspace && client))
}

pub fn lint(session: &Session<'_>) -> Result<Outcome> {
    if !has_cargo_command(session.project, "clippy") {
        return Ok(Outcome::Missing("clippy".to_owned()));
    }
    let mut clippy = session.project.cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
    Ok(Outcome::of(succeeds(clippy.args(["--", "--deny", "warnings"]))?))
}

pub fn dependencies(session: &Session<'_>) -> Result<Outcome> {
    if !has_cargo_command(session.project, "deny") {
        return Ok(Outcome::Missing("cargo-deny".to_owned()));
    }
    // Not the advisories: they need a database from outside, and change without us changing anything.
    let mut deny = session.project.plain_cargo();
    deny.args(["deny", "--locked", "--workspace", "--log-level", "error", "check", "bans", "licenses", "sources"]);
    Ok(Outcome::of(succeeds(&mut deny)?))
}

pub fn on_sqlite(session: &Session<'_>) -> Result<Outcome> {
    let mut tests = workspace_tests(session)?;
    let is_success = succeeds(tests.env_remove(URL_VARIABLE))?;
    let examples = succeeds(&mut session.project.cargo(&["test", "--workspace", "--doc", "--locked", "--quiet"]))?;
    Ok(Outcome::of(is_success && examples))
}

pub fn on_postgres(session: &Session<'_>) -> Result<Outcome> {
    let Some(postgres) = &session.postgres else { return Ok(Outcome::Missing(NO_POSTGRES.to_owned())) };
    let mut tests = workspace_tests(session)?;
    Ok(Outcome::of(succeeds(tests.env(URL_VARIABLE, postgres.url()))?))
}

/// The binary of the development profile, with the features the tests' build has, so that nothing is built twice.
pub fn build_server(project: &Project) -> Result<()> {
    must(&mut project.cargo(&["build", "--workspace", "--bins", "--locked"]))
}

fn workspace_tests(session: &Session<'_>) -> Result<Command> {
    build_server(session.project)?;
    let mut tests = if has_cargo_command(session.project, "nextest") {
        session.project.cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"])
    } else {
        session.project.cargo(&["test", "--workspace", "--tests", "--locked", "--no-fail-fast"])
    };
    // The tests find the expression worker beside themselves.
    tests.env("WEIR_BIN", session.binary()).env_remove("WEIR_EXPRESSION_WORKER");
    Ok(tests)
}
