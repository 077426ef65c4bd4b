//! Real components beside running servers: mail server, authenticators, proxies, providers. The tests start their own.

use std::process::Command;

use anyhow::Result;

use super::{NO_POSTGRES, Outcome, Session, rust};
use crate::postgres::URL_VARIABLE;
use crate::project::succeeds;
use crate::python;

pub fn suite(session: &Session<'_>) -> Result<Outcome> {
    let folder = session.project.root.join("tests/components");
    let interpreter = python::environment(session.project, "components", &folder.join("requirements.txt"))?;
    let Some(interpreter) = interpreter else { return Ok(Outcome::Missing("Python 3".to_owned())) };
    rust::build_server(session.project)?;
    let run = |postgres: Option<&str>| -> Result<bool> {
        eprintln!("-- components on {}", if postgres.is_some() { "PostgreSQL" } else { "SQLite" });
        let mut tests = Command::new(&interpreter);
        tests.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"]).current_dir(&folder);
        tests.env("PYTHONDONTWRITEBYTECODE", "1").env("WEIR_BIN", session.binary()).env_remove(URL_VARIABLE);
        if let Some(url) = postgres {
            tests.env(URL_VARIABLE, url);
        }
        succeeds(&mut tests)
    };
    if !run(None)? {
        return Ok(Outcome::Failed("on SQLite, see above".to_owned()));
    }
    let Some(postgres) = &session.postgres else {
        return Ok(Outcome::Missing(format!("{NO_POSTGRES}; passed on SQLite")));
    };
    Ok(Outcome::of(run(Some(postgres.url()))?))
}
