//! Start-up, flow steps and logins.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::load::{self, Latencies, ms};
use super::login::Visitor;
use super::process::Tree;
use super::{
    LOGIN, LOGIN_CPU, LOGIN_RATIO, MEMORY_IDLE, MEMORY_LOGINS, Results, START_EMPTY, START_MIGRATED, STEP, STEP_CPU,
    STEP_P99,
};
use crate::http::Client;
use crate::server::{PASSWORD, Server, Settings, TOKEN};

/// The first start in an empty folder, then the median of five.
pub fn start_up(settings: &Settings<'_>, results: &mut Results) -> Result<()> {
    let server = settings.start()?;
    results.insert(START_EMPTY, ms(server.start_up));
    drop(server);
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(settings.start()?.start_up);
    }
    results.insert(START_MIGRATED, ms(Latencies::of(times).below(0.5)));
    let server = settings.start()?;
    std::thread::sleep(Duration::from_secs(3));
    results.insert(MEMORY_IDLE, Tree::of(server.pid())?.memory_text()?);
    Ok(())
}

/// Clients walking a flow of two stages that hash nothing, over and over.
pub fn flow_steps(server: &Server, clients: usize, time: Duration, results: &mut Results) -> Result<()> {
    let slug = "bench-steps";
    make_flow(server, slug)?;
    let visitors = (0..clients).map(|_| visitor(server, "akadmin")).collect();
    let load = load::run(&Tree::of(server.pid())?, visitors, time, |visitor, latencies| visitor.walk(slug, latencies))?;
    results.insert(STEP, format!("{:.0}/s", load.rate()));
    results.insert(STEP_P99, format!("{} / {}", ms(load.latency(0.5)), ms(load.latency(0.99))));
    results.insert(STEP_CPU, format!("{:.3} ms", load.cpu_ms_each()));
    Ok(())
}

/// Clients signing in as different users, against what the same cores hash without a server around it.
pub fn logins(server: &Server, clients: usize, time: Duration, results: &mut Results) -> Result<()> {
    let mut visitors = Vec::new();
    for number in 0..clients {
        let username = format!("bench-login-{number}");
        make_user(server, &username)?;
        visitors.push(visitor(server, &username));
    }
    // Once each before measuring: a first login may have a hash of other parameters to renew.
    for visitor in &mut visitors {
        visitor.log_in()?;
    }
    let threads = std::thread::available_parallelism()?.get();
    let before = raw_hash_rate(threads, time / 2)?;
    let tree = Tree::of(server.pid())?;
    let load = load::run(&tree, visitors, time, |visitor, latencies| {
        let begun = std::time::Instant::now();
        visitor.log_in()?;
        latencies.push(begun.elapsed());
        Ok(())
    })?;
    let raw = f64::midpoint(before, raw_hash_rate(threads, time / 2)?);
    let hash_ms = 1000.0 * f64::from(u32::try_from(threads)?) / raw;
    results.insert(LOGIN, format!("{:.1}/s ({raw:.1}/s)", load.rate()));
    results.insert(LOGIN_RATIO, format!("{:.2}", load.rate() / raw));
    results.insert(LOGIN_CPU, format!("{:.2} ms ({hash_ms:.2} ms)", load.cpu_ms_each()));
    results.insert(MEMORY_LOGINS, format!("{} ({} logins)", tree.memory_text()?, load.count));
    Ok(())
}

#[cfg(feature = "bench")]
fn raw_hash_rate(threads: usize, time: Duration) -> Result<f64> {
    Ok(weir_crypto::raw_argon2_rate(threads, time))
}

#[cfg(not(feature = "bench"))]
fn raw_hash_rate(_threads: usize, _time: Duration) -> Result<f64> {
    anyhow::bail!("built without the feature `bench`")
}

fn visitor(server: &Server, username: &str) -> Visitor {
    Visitor { client: Client::new(server.address), username: username.to_owned(), password: PASSWORD.to_owned() }
}

fn make_user(server: &Server, username: &str) -> Result<()> {
    let mut api = Client::new(server.address).with_token(TOKEN);
    let user = api.create("/api/v3/core/users/", &json!({"username": username, "name": username}))?;
    let path = format!("/api/v3/core/users/{}/set_password/", user.get("pk").unwrap_or(&Value::Null));
    let answer = api.post(&path, &json!({"password": PASSWORD}))?;
    anyhow::ensure!(answer.status == 204, "setting a password: status {}", answer.status);
    Ok(())
}

fn make_flow(server: &Server, slug: &str) -> Result<()> {
    let mut api = Client::new(server.address).with_token(TOKEN);
    let flow = json!({"name": slug, "slug": slug, "title": slug, "designation": "stage_configuration"});
    let flow = api.create("/api/v3/flows/instances/", &flow)?;
    let identification = json!({"name": "bench-identification", "user_fields": ["username"]});
    let stages = [
        api.create("/api/v3/stages/identification/", &identification)?,
        api.create("/api/v3/stages/dummy/", &json!({"name": "bench-dummy"}))?,
    ];
    for (order, stage) in stages.iter().enumerate() {
        let binding = json!({"target": flow.get("pk"), "stage": stage.get("pk"), "order": order});
        api.create("/api/v3/flows/bindings/", &binding)?;
    }
    Ok(())
}
