//! A large audit trail: how fast events are written, sealed, searched, counted and verified.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Results;
use super::load::{Latencies, ms};
use crate::http::Client;
use crate::project::{must, output};
use crate::server::{Settings, TOKEN};

/// The rows of the table.
pub const INSERT: &str = "events written one by one, as the server does (and in bulk, and sealed), per second";
/// As above.
pub const LIST: &str = "event list, newest first, p50 / p95";
/// As above.
pub const SEARCH: &str = "event search by action, user and time, p50 / p95";
/// As above.
pub const DETAIL: &str = "event search in details of one user's events, p50 / p95";
/// As above.
pub const VOLUME: &str = "event volume of seven days, p50 / p95";
/// As above.
pub const VERIFY: &str = "audit trail verified";

/// How often each question is asked, and for how long at most.
const REPEATS: u32 = 50;
const LONGEST: Duration = Duration::from_secs(60);

/// Seeds and measures.
pub fn measure(settings: &Settings<'_>, events: u32, results: &mut Results) -> Result<()> {
    drop(settings.start()?);
    let told = output(&mut settings.command(&["bench-seed", "--events", &events.to_string()]))?;
    let rate = |name: &str| {
        told.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap_or_default()
    };
    results.insert(
        INSERT,
        format!("{:.0} ({:.0}, {:.0}; {events} events)", rate("single "), rate("bulk "), rate("sealed ")),
    );
    let server = settings.start()?;
    let mut api = Client::new(server.address).with_token(TOKEN);
    let by_user = "user.username%20%3D%20%22seeded-0000042%22";
    for (row, query) in [
        (LIST, String::new()),
        (SEARCH, format!("&search=action%20%3D%20%22login%22%20and%20{by_user}%20and%20created%20%3E%202020-01-01")),
        (DETAIL, format!("&search={by_user}%20and%20context.authorized_application.name%20~%20%22app%201%22")),
    ] {
        let path = format!("/api/v3/events/events/?page_size=20{query}");
        results.insert(row, time_of(&mut api, &path)?);
    }
    results.insert(VOLUME, time_of(&mut api, "/api/v3/events/events/volume/?history_days=7")?);
    drop(server);
    let begun = Instant::now();
    must(&mut settings.command(&["events", "verify"]))?;
    results.insert(VERIFY, ms(begun.elapsed()));
    Ok(())
}

fn time_of(api: &mut Client, path: &str) -> Result<String> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    for _ in 0..REPEATS {
        let asked = Instant::now();
        let status = api.get(path)?.status;
        times.push(asked.elapsed());
        ensure!(status == 200, "status {status} of {path}");
        if begun.elapsed() > LONGEST {
            break;
        }
    }
    let times = Latencies::of(times);
    Ok(format!("{} / {}", ms(times.below(0.5)), ms(times.below(0.95))))
}
