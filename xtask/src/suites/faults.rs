//! What must survive: a killed server, and a database that goes away for a while.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{NO_POSTGRES, Outcome, Session, rust};
use crate::http::Client;
use crate::postgres::Postgres;
use crate::server::{Server, Settings, TOKEN};

const ROUNDS: u32 = 3;
const WRITERS: u32 = 4;

pub fn suite(session: &Session<'_>) -> Result<Outcome> {
    rust::build_server(session.project)?;
    let binary = session.binary();
    let folder = session.project.empty_scratch("faults-sqlite")?;
    kill_while_writing(&Settings { binary: &binary, folder: &folder, database: None, more: &[] })?;
    let Some(mut postgres) = Postgres::own()? else {
        return Ok(Outcome::Missing(format!("{NO_POSTGRES}; passed on SQLite")));
    };
    let folder = session.project.empty_scratch("faults-postgresql")?;
    let database = postgres.create_database("weir_faults")?;
    let settings = Settings { binary: &binary, folder: &folder, database: Some(&database), more: &[] };
    kill_while_writing(&settings)?;
    take_database_away(&settings, &mut postgres)?;
    Ok(Outcome::Passed)
}

/// Everything that was answered with 201 must be there after the next start.
fn kill_while_writing(settings: &Settings<'_>) -> Result<()> {
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let server = settings.start()?;
        let address = server.address;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                std::thread::spawn(move || {
                    write_until_cut_off(Client::new(address), &format!("fault-{round}-{writer}"))
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(700 + 150 * u64::from(round)));
        server.kill()?;
        for writer in writers {
            acknowledged.extend(writer.join().ok().context("a writer's thread ended early")?);
        }
    }
    let server = settings.start()?;
    let missing: Vec<_> = acknowledged.difference(&stage_names(&server)?).cloned().collect();
    ensure!(!acknowledged.is_empty(), "nothing was written before the server was killed");
    ensure!(missing.is_empty(), "acknowledged and lost: {missing:?}");
    eprintln!("killed {ROUNDS} times while writing: all {} acknowledged objects are there", acknowledged.len());
    Ok(())
}

fn write_until_cut_off(client: Client, stem: &str) -> Vec<String> {
    let mut api = client.with_token(TOKEN);
    let mut acknowledged = Vec::new();
    for number in 0_u32.. {
        let name = format!("{stem}-{number}");
        match api.post("/api/v3/stages/dummy/", &json!({"name": name})) {
            Ok(answer) if answer.status == 201 => acknowledged.push(name),
            _ => break,
        }
    }
    acknowledged
}

fn stage_names(server: &Server) -> Result<BTreeSet<String>> {
    let mut api = Client::new(server.address).with_token(TOKEN);
    let mut names = BTreeSet::new();
    let mut page = 1;
    while page != 0 {
        let list = api.get(&format!("/api/v3/stages/dummy/?page_size=100&page={page}"))?.json()?;
        let results = list.get("results").and_then(Value::as_array).context("no results")?;
        names.extend(results.iter().filter_map(|stage| stage.get("name")?.as_str().map(str::to_owned)));
        page = list.pointer("/pagination/next").and_then(Value::as_u64).unwrap_or(0);
    }
    Ok(names)
}

/// Without its database the server says 503 and stays; with it, it works again without a restart.
fn take_database_away(settings: &Settings<'_>, postgres: &mut Postgres) -> Result<()> {
    let server = settings.start()?;
    let mut api = Client::new(server.address).with_token(TOKEN);
    api.create("/api/v3/stages/dummy/", &json!({"name": "before"}))?;
    postgres.pause()?;
    wait_for(&server, "/-/health/ready/", 503)?;
    let live = Client::new(server.address).get("/-/health/live/")?.status;
    ensure!(live / 100 == 2, "a server without its database is alive, but answers {live}");
    let answer = api.post("/api/v3/stages/dummy/", &json!({"name": "during"}))?;
    ensure!(answer.status == 503, "a write without a database: status {}", answer.status);
    let page = Client::new(server.address).get("/if/flow/default-authentication-flow/")?;
    ensure!(page.status < 500 || page.status == 503, "a page without a database: status {}", page.status);
    postgres.resume()?;
    wait_for(&server, "/-/health/ready/", 2)?;
    api.create("/api/v3/stages/dummy/", &json!({"name": "after"}))?;
    ensure!(stage_names(&server)?.contains("before"), "what was written before is gone");
    eprintln!("the database went away and came back: 503, then as before");
    Ok(())
}

/// A status, or a hundred of them when below ten.
fn wait_for(server: &Server, path: &str, wanted: u16) -> Result<()> {
    let begun = Instant::now();
    let mut last = 0;
    while begun.elapsed() < Duration::from_secs(30) {
        last = Client::new(server.address).get(path).map_or(0, |answer| answer.status);
        if last == wanted || last / 100 == wanted {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{path} answers {last} after 30 s, not {wanted}:\n{}", server.log_tail())
}
