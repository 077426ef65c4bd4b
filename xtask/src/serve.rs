//! `cargo xtask serve`: build, then become the server.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::project::{Project, must};

/// What the command takes.
#[derive(clap::Args)]
pub struct Options {
    /// Build with optimisation: slower to build, faster to run
    #[arg(long)]
    release: bool,
    /// Handed to `weir serve`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the server and runs it until it ends.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let mut build = project.cargo(&["build", "--package", "weir"]);
    if options.release {
        build.arg("--release");
    }
    must(&mut build)?;
    let mut server = Command::new(project.binary(options.release));
    server.arg("serve").args(&options.arguments).current_dir(&project.root);
    become_it(server)
}

/// Signals then reach the server itself, so that Ctrl-C and a service manager both end it in order.
#[cfg(unix)]
fn become_it(mut server: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(server.exec()).context("starting the built server")
}

#[cfg(not(unix))]
fn become_it(mut server: Command) -> Result<ExitCode> {
    let status = server.status().context("starting the built server")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
