//! `cargo xtask bench`: an optimised server against its budgets, on each database of this machine.
//!
//! These are measurements, not tests: nothing here fails because something is slow. The budgets stand beside the
//! numbers. Everything runs on this machine, load and server sharing its cores.

mod events;
mod load;
mod lockdown;
mod login;
mod measure;
mod page;
mod policies;
mod process;
mod seeded;
mod sync;
mod timing;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::postgres::{Durability, Postgres};
use crate::project::{Project, find_program, must, output, succeeds};
use crate::server::Settings;

/// What the command takes.
#[derive(clap::Args)]
pub struct Options {
    /// Seconds of load per measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Browsers at the same time
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Users in the large directory
    #[arg(long, default_value_t = 100_000)]
    users: u32,
    /// Configuration objects in the large snapshot
    #[arg(long, default_value_t = 10_000)]
    objects: u32,
    /// Requests about known users, and as many about unknown ones, at each stage
    #[arg(long, default_value_t = 1000)]
    rounds: usize,
    /// Events in the large audit trail
    #[arg(long, default_value_t = 200_000)]
    events: u32,
    /// Only SQLite, even when there is a PostgreSQL
    #[arg(long)]
    sqlite_only: bool,
    /// Only these parts, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Start-up, memory, the sign-in page
    Start,
    /// Flow steps without hashing
    Steps,
    /// Password logins
    Logins,
    /// Whether time tells who has an account
    Timing,
    /// The large directory and configuration
    Directory,
    /// Account lockdown
    Lockdown,
    /// The audit trail
    Events,
    /// Evaluations of policies
    Policies,
    /// Outgoing sync
    Sync,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// What is measured, and what architecture promises of it. The order is that of the printed table.
const ROWS: &[(&str, &str)] = &[
    (START_EMPTY, "< 1 s"),
    (START_MIGRATED, "< 100 ms"),
    (MEMORY_IDLE, "≤ 40 MB"),
    (PAGE, "≤ 50 KB"),
    (STEP, "≥ 5,000/s"),
    (STEP_P99, "< 10 ms"),
    (STEP_CPU, "≤ 0.25 ms"),
    (LOGIN, "–"),
    (LOGIN_RATIO, "≥ 0.95"),
    (LOGIN_CPU, "≤ hash + 1.5 ms"),
    (MEMORY_LOGINS, "≤ 80 MB + one hash block per thread"),
    (timing::IDENTIFICATION, EVEN),
    (timing::WITH_PASSWORD, EVEN),
    (timing::PASSWORD_STEP, EVEN),
    (timing::VALIDATION, EVEN),
    (timing::MAIL, EVEN),
    (timing::MAIL_AGAIN, EVEN),
    (START_LARGE, "–"),
    (MEMORY_LARGE, "–"),
    (SNAPSHOT, "–"),
    (CONFIG_WRITE, "–"),
    (USER_LIST, "< 50 ms"),
    (USER_SEARCH, "< 50 ms"),
    (USER_ORDER, "< 50 ms"),
    (USER_LAST_PAGE, "< 50 ms"),
    (lockdown::LARGE, "–"),
    (lockdown::DENIAL, "– (0)"),
    (lockdown::RACE, "0 survivors"),
    (lockdown::BULK, "–"),
    (events::INSERT, "–"),
    (events::LIST, "< 50 ms"),
    (events::SEARCH, "< 50 ms"),
    (events::DETAIL, "–"),
    (events::VOLUME, "–"),
    (events::VERIFY, "–"),
    (policies::NATIVE, "–"),
    (policies::EXPRESSION, "–"),
    (sync::FULL, "–"),
    (sync::AGAIN, "–"),
];

/// Medians of known and unknown users, and how often the slower one is the known one.
const EVEN: &str = "50 %";
const START_EMPTY: &str = "start to first healthy answer, empty database";
const START_MIGRATED: &str = "start to first healthy answer, migrated database";
const MEMORY_IDLE: &str = "memory (PSS), idle";
const PAGE: &str = "sign-in page with everything it loads, compressed";
const STEP: &str = "flow steps without hashing";
const STEP_P99: &str = "… latency p50 / p99";
const STEP_CPU: &str = "… server CPU per step";
const LOGIN: &str = "password logins (and raw Argon2id hashes of the same run)";
const LOGIN_RATIO: &str = "… logins ÷ raw hashes";
const LOGIN_CPU: &str = "… server CPU per login (and of one hash)";
const MEMORY_LOGINS: &str = "memory (PSS) after these logins";
const START_LARGE: &str = "start with the large directory and configuration";
const MEMORY_LARGE: &str = "memory (PSS) with them";
const SNAPSHOT: &str = "whole configuration snapshot rebuilt";
const CONFIG_WRITE: &str = "one configuration write, answered with the new snapshot in force, p50 / p95";
const USER_LIST: &str = "user list, p50 / p95";
const USER_SEARCH: &str = "user search, p50 / p95";
const USER_ORDER: &str = "user list ordered by e-mail, p50 / p95";
const USER_LAST_PAGE: &str = "user list, last page, p50 / p95";

/// The measured values of one database, by row.
type Results = BTreeMap<&'static str, String>;

/// Measures and prints the table.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    if !cfg!(feature = "bench") {
        return again_optimised(project);
    }
    let mut columns = vec![("SQLite", measure_on(project, options, "SQLite", None)?)];
    let postgres = if options.sqlite_only { None } else { Postgres::find(Durability::Full)? };
    match &postgres {
        Some(postgres) => {
            let database = postgres.create_database("weir_bench")?;
            columns.push(("PostgreSQL", measure_on(project, options, "PostgreSQL", Some(&database))?));
        }
        None => eprintln!("PostgreSQL was not measured: not asked for, or not on this machine"),
    }
    println!("{}\n\n{}", machine()?, table(&columns));
    Ok(ExitCode::SUCCESS)
}

/// Builds the server and this command with optimisation and hands over.
fn again_optimised(project: &Project) -> Result<ExitCode> {
    must(&mut project.cargo(&["build", "--release", "--package", "weir"]))?;
    let mut bench = project.plain_cargo();
    bench.args(["run", "--quiet", "--release", "--package", "xtask", "--features", "bench", "--"]);
    bench.args(std::env::args_os().skip(1));
    Ok(if succeeds(&mut bench)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure_on(project: &Project, options: &Options, label: &str, database: Option<&str>) -> Result<Results> {
    let binary = project.binary(true);
    let folder = project.empty_scratch(&format!("bench-{}", label.to_lowercase()))?;
    let settings = Settings { binary: &binary, folder: &folder, database, more: &[] };
    let mut results = Results::new();
    let note = |what: &str| eprintln!("-- {label}: {what}");
    if options.wants(Part::Start) {
        note("start-up");
        measure::start_up(&settings, &mut results)?;
    }
    let time = Duration::from_secs(options.seconds);
    let server = settings.start()?;
    if options.wants(Part::Start) {
        page::weigh(&server, &mut results)?;
    }
    if options.wants(Part::Steps) {
        note("flow steps");
        measure::flow_steps(&server, options.clients, time, &mut results)?;
    }
    if options.wants(Part::Logins) {
        note("logins");
        measure::logins(&server, options.clients, time, &mut results)?;
    }
    if options.wants(Part::Timing) {
        note("known and unknown users");
        timing::measure(&server, options.rounds, &mut results)?;
    }
    if options.wants(Part::Policies) {
        note("policies");
        policies::measure(&server, time, &mut results)?;
    }
    drop(server);
    if options.wants(Part::Directory) {
        note("seeding the large directory");
        seeded::seed(&settings, options.users, options.objects)?;
        note("lists and configuration writes");
        seeded::measure(&settings, options.users, options.objects, &mut results)
            .with_context(|| format!("with {} users and {} objects", options.users, options.objects))?;
    }
    if options.wants(Part::Lockdown) {
        note("lockdowns");
        lockdown::measure(&settings, &mut results).context("lockdowns")?;
    }
    if options.wants(Part::Sync) {
        note("outgoing sync");
        sync::measure(&settings, &mut results).context("outgoing sync")?;
    }
    if options.wants(Part::Events) {
        note("the audit trail");
        events::measure(&settings, options.events, &mut results)
            .with_context(|| format!("with {} events", options.events))?;
    }
    Ok(results)
}

fn machine() -> Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism()?;
    let rustc = output(std::process::Command::new("rustc").arg("--version"))?;
    let postgres = find_program(&["postgres"]).map(std::process::Command::new);
    let postgres = postgres.and_then(|mut program| output(program.arg("--version")).ok()).unwrap_or_default();
    Ok(format!("{cores} × {}; {rustc}; {postgres}", model.trim_start_matches([' ', '\t', ':'])))
}

fn table(columns: &[(&str, Results)]) -> String {
    let mut text = String::from("| what | budget |");
    for (label, _) in columns {
        text.push_str(&format!(" {label} |"));
    }
    text.push_str(&format!("\n| --- | --- |{}", " ---: |".repeat(columns.len())));
    for (what, budget) in ROWS {
        text.push_str(&format!("\n| {what} | {budget} |"));
        for (_, results) in columns {
            text.push_str(&format!(" {} |", results.get(what).map_or("not measured", String::as_str)));
        }
    }
    text
}

#[cfg(test)]
mod tests;
