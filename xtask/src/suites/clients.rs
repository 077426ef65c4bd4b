//! The official API clients, unmodified, against a running server.

use std::process::Command;

use anyhow::Result;

use super::{Outcome, Session};
use crate::project::succeeds;
use crate::python;
use crate::server::{PASSWORD, Server, TOKEN};

pub fn rust(session: &Session<'_>) -> Result<Outcome> {
    session.on_each_database("rust-client", |server| {
        let mut tests = session.project.plain_cargo();
        tests.args(["test", "--locked", "--manifest-path", "tests/official-client/Cargo.toml"]);
        succeeds(tell(&mut tests, server))
    })
}

pub fn python(session: &Session<'_>) -> Result<Outcome> {
    let folder = session.project.root.join("tests/python-client");
    let interpreter = python::environment(session.project, "client", &folder.join("requirements.txt"))?;
    let Some(interpreter) = interpreter else { return Ok(Outcome::Missing("Python 3".to_owned())) };
    session.on_each_database("python-client", |server| {
        let mut tests = Command::new(&interpreter);
        tests.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"]).current_dir(&folder);
        succeeds(tell(&mut tests, server).env("PYTHONDONTWRITEBYTECODE", "1"))
    })
}

fn tell<'a>(tests: &'a mut Command, server: &Server) -> &'a mut Command {
    tests.env("WEIR_URL", server.url()).env("WEIR_TOKEN", TOKEN).env("WEIR_PASSWORD", PASSWORD)
}
