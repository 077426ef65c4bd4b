//! The command line. Every failure is one line on the standard error: exit code 2 for what was asked wrongly (flags,
//! settings), 1 for what went wrong.

mod args;
mod blueprint;
mod commands;
mod database;
mod events;
mod healthcheck;
mod lockdown;
mod mail;
mod seed;
mod user;
mod webauthn;

use std::{
    future::Future,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use weir_core::{ApiError, FieldErrors};

use crate::{
    config::{ConfigError, Inputs, Loaded, show},
    logging,
};
use args::{Action, Asked, ConfigAction};

/// The hidden subcommand that turns the program into a worker for expressions.
pub(crate) const EXPRESSION_WORKER: &str = "expression-worker";

/// Something the user asked wrongly; one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Runs the program.
pub fn main() -> ExitCode {
    // A worker must not read settings or start threads; it has its own way to live.
    if std::env::args_os().nth(1).is_some_and(|first| first == EXPRESSION_WORKER) {
        return weir_expression_worker::main_loop();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_usage = error.is::<ConfigError>() || error.is::<Usage>();
            let text = format!("{error:#}").replace(['\n', '\r'], " ");
            // Nobody may be listening any more.
            let _ = writeln!(io::stderr(), "weir: {text}");
            ExitCode::from(if is_usage { 2 } else { 1 })
        }
    }
}

fn run() -> Result<()> {
    let Some(asked) = args::parse(std::env::args_os())? else { return Ok(()) };
    let loaded = load(&asked)?;
    if let Action::Config(ConfigAction::Show) = &asked.action {
        warn(&loaded);
        return print(&show(&loaded));
    }
    if let Action::Healthcheck = &asked.action {
        return healthcheck::run(&loaded.config);
    }
    let traces = logging::start(&loaded.config)?;
    logging::log_panics();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    commands::run(asked.action, loaded.config, traces)
}

fn load(asked: &Asked) -> Result<Loaded> {
    let is_ours = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("WEIR_");
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
        let name = name.to_string_lossy().into_owned();
        let value = value.into_string().map_err(|_| ConfigError(format!("{name}: is not valid text")))?;
        environment.push((name, value));
    }
    let inputs = Inputs {
        folder: Path::new(""),
        file: asked.file.clone(),
        environment,
        flags: asked.flags.clone(),
        stdin: &mut io::stdin().lock(),
    };
    Ok(Loaded::from(inputs)?)
}

fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        let _ = writeln!(io::stderr(), "weir: warning: {warning}");
    }
}

/// Writes to the standard output; that nobody reads it any more is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let text = text.trim_end_matches('\n');
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("the standard output"),
        _ => Ok(()),
    }
}

/// Runs asynchronous work to its end.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
    runtime.block_on(work)
}

/// A refusal of the write path, for a terminal.
fn refusal(error: ApiError) -> anyhow::Error {
    match error {
        ApiError::Internal(cause) => cause,
        ApiError::Unavailable(_, cause) => cause,
        ApiError::Fields(errors) => {
            let sentence = |(field, errors): (&String, &Vec<weir_core::FieldError>)| {
                let texts: Vec<&str> = errors.iter().map(|error| error.text.as_str()).collect();
                let texts = texts.join(" ");
                if field == FieldErrors::GENERAL { texts } else { format!("{field}: {texts}") }
            };
            Usage(errors.iter().map(sentence).collect::<Vec<_>>().join("; ")).into()
        }
        other => anyhow::anyhow!("{other}"),
    }
}
