//! A large directory and a large configuration.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::load::{Latencies, ms};
use super::process::Tree;
use super::{
    CONFIG_WRITE, MEMORY_LARGE, Results, SNAPSHOT, START_LARGE, USER_LAST_PAGE, USER_LIST, USER_ORDER, USER_SEARCH,
};
use crate::http::Client;
use crate::project::must;
use crate::server::{Settings, TOKEN};

/// How often each question is asked.
const REPEATS: u32 = 200;

/// Fills the database by the server's own hidden command: through the API this would take an hour.
pub fn seed(settings: &Settings<'_>, users: u32, objects: u32) -> Result<()> {
    let (users, objects) = (users.to_string(), objects.to_string());
    must(&mut settings.command(&["bench-seed", "--users", &users, "--objects", &objects]))
}

/// Lists, searches and configuration writes on what was seeded.
pub fn measure(settings: &Settings<'_>, users: u32, objects: u32, results: &mut Results) -> Result<()> {
    let server = settings.start()?;
    results.insert(START_LARGE, ms(server.start_up));
    let mut api = Client::new(server.address).with_token(TOKEN);
    let first = api.get("/api/v3/core/users/?page_size=1")?.json()?;
    let count = first.pointer("/pagination/count").and_then(Value::as_f64).unwrap_or_default();
    ensure!(count >= f64::from(users), "only {count} users were seeded");
    // Without these two, as the other servers it is compared with would be asked.
    let lean = "include_groups=false&include_roles=false&page_size=20";
    let middle = users / 2;
    for (row, query) in [
        (USER_LIST, String::new()),
        (USER_SEARCH, format!("&search={middle}")),
        (USER_ORDER, "&ordering=email".to_owned()),
        (USER_LAST_PAGE, format!("&page={}", users / 20)),
    ] {
        let path = format!("/api/v3/core/users/?{lean}{query}");
        results.insert(row, time_of(|| Ok(api.get(&path)?.status), 200)?);
    }
    let stage = api.create("/api/v3/stages/dummy/", &json!({"name": "bench-written"}))?;
    let path = format!("/api/v3/stages/dummy/{}/", stage.get("pk").and_then(Value::as_str).unwrap_or_default());
    let mut number = 0;
    let write = || {
        number += 1;
        Ok(api.request("PATCH", &path, Some(&json!({"name": format!("bench-written-{number}")})))?.status)
    };
    results.insert(CONFIG_WRITE, time_of(write, 200)?);
    if let Some(time) = snapshot_time(&mut Client::new(server.address))? {
        results.insert(SNAPSHOT, format!("{} ({objects} objects)", ms(time)));
    }
    results.insert(MEMORY_LARGE, Tree::of(server.pid())?.memory_text()?);
    Ok(())
}

fn time_of(mut ask: impl FnMut() -> Result<u16>, expected: u16) -> Result<String> {
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let begun = Instant::now();
        let status = ask()?;
        times.push(begun.elapsed());
        ensure!(status == expected, "status {status}");
    }
    let times = Latencies::of(times);
    Ok(format!("{} / {}", ms(times.below(0.5)), ms(times.below(0.95))))
}

/// The mean of what the server itself measured, since it only rebuilds everything when it starts or another node wrote.
fn snapshot_time(browser: &mut Client) -> Result<Option<Duration>> {
    let metrics = browser.get("/-/metrics/")?;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let value = |name: &str| -> Option<f64> {
        text.lines().filter(|line| line.starts_with(name)).find_map(|line| line.rsplit(' ').next()?.parse().ok())
    };
    let (Some(sum), Some(count)) =
        (value("weir_snapshot_rebuild_seconds_sum"), value("weir_snapshot_rebuild_seconds_count"))
    else {
        return Ok(None);
    };
    Duration::try_from_secs_f64(sum / count.max(1.0)).map(Some).context("the metric of the snapshot")
}
