//! The project's own commands: `cargo xtask serve`, `cargo xtask test`, `cargo xtask bench`, `cargo xtask check-contract`.
//!
//! Each does all the set-up it needs, so that a clone and Rust are enough to begin. Start reading at [`suites`] for the
//! tests and at [`bench`] for the measurements. This crate must not depend on the server: it starts the built binary.

mod bench;
mod http;
mod postgres;
mod project;
mod python;
mod serve;
mod server;
mod suites;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::project::Project;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Set up, run, test and measure Weir")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the server and run it; without further settings on SQLite in ./data
    Serve(serve::Options),
    /// Run every test, with all its set-up
    Test(suites::Options),
    /// Measure an optimised build against the budgets and print a table
    Bench(bench::Options),
    /// Walk a freshly started server through the whole API contract
    CheckContract(suites::contract::Options),
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let project = Project::find()?;
    match cli.command {
        Command::Serve(options) => serve::run(&project, &options),
        Command::Test(options) => suites::run(&project, &options),
        Command::Bench(options) => bench::run(&project, &options),
        Command::CheckContract(options) => suites::contract::run(&project, &options),
    }
}
