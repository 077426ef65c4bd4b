//! Account lockdown: how long it takes, how soon it is felt, and whether anything gets past it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Results;
use super::load::ms;
use crate::http::Client;
use crate::project::must;
use crate::server::{Server, Settings, TOKEN};

/// The rows of the table.
pub const LARGE: &str = "lockdown of a user with 1,000 sessions and 10,000 tokens, from its begin to the signed record";
/// As above.
pub const DENIAL: &str = "… first refusal, another node where there is one (and requests let in after the commit)";
/// As above.
pub const RACE: &str = "10,000 token mints beside a lockdown: made, survivors, per second";
/// As above.
pub const BULK: &str = "bulk lockdown of 10,000 users";

const FLOW: &str = "bench-lockdown";
const SESSIONS: &str = "1000";
const TOKENS: &str = "10000";
const MINTS: usize = 10_000;
const CLIENTS: usize = 16;
const MANY: usize = 10_000;

/// Measures on servers of its own: two where they can share a database.
pub fn measure(settings: &Settings<'_>, results: &mut Results) -> Result<()> {
    let server = settings.start()?;
    make_flow(&server)?;
    drop(server);
    let large = "bench-large";
    must(&mut settings.command(&["user", "create", large]))?;
    must(&mut settings.command(&["bench-seed", "--sessions", SESSIONS, "--tokens", TOKENS, "--of", large]))?;
    let (one, second) = (settings.start()?, settings.database.map(|_| settings.start()).transpose()?);
    let other = second.as_ref().unwrap_or(&one);
    let user = find(&one, large)?;
    let (denial, record) = denial(&one, other, &user)?;
    results.insert(LARGE, ms(between(&record, "started", "completed")?));
    results.insert(DENIAL, denial);
    drop(second);
    results.insert(RACE, race(&one)?);
    drop(one);
    must(&mut settings.command(&["bench-seed", "--users", &MANY.to_string()]))?;
    let server = settings.start()?;
    results.insert(BULK, bulk(&server)?);
    Ok(())
}

fn admin(server: &Server) -> Client {
    Client::new(server.address).with_token(TOKEN)
}

/// A flow with nothing but the lockdown, as that of the brand.
fn make_flow(server: &Server) -> Result<()> {
    let mut api = admin(server);
    let body = json!({"name": FLOW, "slug": FLOW, "title": FLOW, "designation": "stage_configuration"});
    let flow = api.create("/api/v3/flows/instances/", &body)?;
    let stage = api.create("/api/v3/stages/account_lockdown/", &json!({"name": FLOW}))?;
    let binding = json!({"target": flow.get("pk"), "stage": stage.get("pk"), "order": 0});
    api.create("/api/v3/flows/bindings/", &binding)?;
    let brands = api.get("/api/v3/core/brands/")?.json()?;
    let brand = brands.pointer("/results/0/brand_uuid").and_then(Value::as_str).context("there is no brand")?;
    let answer = api.request(
        "PATCH",
        &format!("/api/v3/core/brands/{brand}/"),
        Some(&json!({"flow_lockdown": flow.get("pk")})),
    )?;
    ensure!(answer.status == 200, "the brand was answered with status {}", answer.status);
    Ok(())
}

fn find(server: &Server, username: &str) -> Result<Value> {
    let found = admin(server).get(&format!("/api/v3/core/users/?username={username}"))?.json()?;
    found.pointer("/results/0").cloned().with_context(|| format!("no user {username}"))
}

/// Locks a user as the administrator, by the flow; the record.
fn lock_down(server: &Server, user: &Value) -> Result<Value> {
    let mut api = admin(server);
    let pk = user.get("pk").context("a user without key")?;
    let answer = api.post("/api/v3/core/users/account_lockdown/", &json!({"user": pk}))?;
    ensure!(answer.status == 200, "the lockdown was answered with status {}", answer.status);
    let answer = api.get(&format!("/api/v3/flows/executor/{FLOW}/?query="))?;
    ensure!(matches!(answer.status, 200 | 302), "the flow was answered with status {}", answer.status);
    let records = api.get(&format!("/api/v3/weir/lockdowns/?user={pk}"))?.json()?;
    let record = records.pointer("/results/0/record").cloned().context("there is no record")?;
    let left = record.get("artefacts").and_then(Value::as_array).context("an empty record")?;
    ensure!(left.iter().all(|kind| kind.get("remaining") == Some(&json!(0))), "something is left: {record}");
    Ok(record)
}

fn instant(record: &Value, name: &str) -> Result<f64> {
    let text = record.get(name).and_then(Value::as_str).context("a record without times")?;
    // Both are of one day or a day apart; only their distance counts.
    let (date, time) = text.trim_end_matches('Z').split_once('T').context("no time")?;
    let day: f64 = date.rsplit('-').next().unwrap_or_default().parse()?;
    let parts = time.split(':').map(str::parse::<f64>).collect::<Result<Vec<_>, _>>()?;
    let [hours, minutes, seconds] = parts.as_slice() else { bail!("no time: {text}") };
    Ok(((day * 24.0 + hours) * 60.0 + minutes) * 60.0 + seconds)
}

fn between(record: &Value, from: &str, to: &str) -> Result<Duration> {
    let seconds = instant(record, to)? - instant(record, from)?;
    Ok(Duration::try_from_secs_f64(seconds.max(0.0))?)
}

fn token(server: &Server, user: &Value, identifier: &str) -> Result<String> {
    let mut api = admin(server);
    let body = json!({"identifier": identifier, "user": user.get("pk"), "intent": "api"});
    api.create("/api/v3/core/tokens/", &body)?;
    let shown = api.get(&format!("/api/v3/core/tokens/{identifier}/view_key/"))?.json()?;
    Ok(shown.get("key").and_then(Value::as_str).context("a token without key")?.to_owned())
}

/// Asks the other node all the time with a token of the user while the one node locks the user down.
fn denial(one: &Server, other: &Server, user: &Value) -> Result<(String, Value)> {
    let key = token(one, user, "bench-denial")?;
    let (is_over, begun) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| -> Result<Vec<(Duration, u16)>> {
            let mut client = Client::new(other.address).with_token(&key);
            let mut asked = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let at = begun.elapsed();
                asked.push((at, client.get("/api/v3/core/users/me/")?.status));
            }
            Ok(asked)
        });
        std::thread::sleep(Duration::from_millis(300));
        let from = begun.elapsed();
        let record = lock_down(one, user);
        let until = begun.elapsed();
        std::thread::sleep(Duration::from_millis(300));
        is_over.store(true, Ordering::Relaxed);
        let asked = asking.join().ok().context("the asking thread ended early")??;
        let record = record?;
        let refused = asked.iter().find(|(_, status)| *status == 403).context("nothing was refused")?;
        // The flow's request had answered, so the commit was before.
        let late = asked.iter().filter(|(at, status)| *at > until && *status == 200).count();
        let text = format!("{} after the request began ({late})", ms(refused.0.saturating_sub(from)));
        Ok((text, record))
    })
}

fn mint(server: &Server, key: &str, worker: usize, tries: &AtomicUsize, made: &AtomicUsize) -> Result<()> {
    let mut client = Client::new(server.address).with_token(key);
    loop {
        let number = tries.fetch_add(1, Ordering::SeqCst);
        if number >= MINTS {
            return Ok(());
        }
        let body = json!({"identifier": format!("bench-race-{worker}-{number}"), "intent": "app_password"});
        match client.post("/api/v3/core/tokens/", &body)?.status {
            201 => made.fetch_add(1, Ordering::SeqCst),
            // Locked, or the database was busy: both are no mint.
            400 | 403 | 503 => 0,
            status => bail!("a token was answered with status {status}"),
        };
    }
}

fn race(server: &Server) -> Result<String> {
    let mut api = admin(server);
    let user = api.create("/api/v3/core/users/", &json!({"username": "bench-race", "name": "race"}))?;
    let key = token(server, &user, "bench-race")?;
    let (tries, made, begun) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let record = std::thread::scope(|scope| {
        let (tries, made, key) = (&tries, &made, key.as_str());
        let workers: Vec<_> =
            (0..CLIENTS).map(|worker| scope.spawn(move || mint(server, key, worker, tries, made))).collect();
        while tries.load(Ordering::SeqCst) < MINTS / 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let record = lock_down(server, &user);
        for worker in workers {
            worker.join().ok().context("a minting thread ended early")??;
        }
        record
    })?;
    let time = begun.elapsed().as_secs_f64();
    let left = api.get("/api/v3/core/tokens/?user__username=bench-race")?.json()?;
    let left = left.pointer("/pagination/count").and_then(Value::as_f64).context("a list without count")?;
    ensure!(record.get("id").is_some(), "the lockdown left no record");
    let (made, all) = (made.load(Ordering::SeqCst), f64::from(u32::try_from(MINTS)?));
    Ok(format!("{made} made, {left} survivors, {:.0}/s", all / time))
}

fn bulk(server: &Server) -> Result<String> {
    let mut api = admin(server);
    let mut users = Vec::new();
    for page in 1.. {
        let path = format!(
            "/api/v3/core/users/?search=seeded-&page_size=100&page={page}&include_groups=false&include_roles=false"
        );
        let listed = api.get(&path)?.json()?;
        let results = listed.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
        users.extend(results.iter().filter_map(|user| user.get("pk").cloned()));
        let next = listed.pointer("/pagination/next").and_then(Value::as_f64).unwrap_or_default();
        if users.len() >= MANY || next < 1.0 {
            break;
        }
    }
    users.truncate(MANY);
    let begun = Instant::now();
    let made = api.create("/api/v3/weir/lockdowns/", &json!({"users": users, "reason": "a measurement"}))?;
    let batch = made.get("batch").and_then(Value::as_str).context("a list without key")?.to_owned();
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let shown = api.get(&format!("/api/v3/weir/lockdowns/batches/{batch}/?page_size=1"))?.json()?;
        let count = |state: &str| shown.pointer(&format!("/counts/{state}")).and_then(Value::as_u64).unwrap_or(0);
        if count("waiting") == 0 {
            ensure!(count("locked") == u64::try_from(users.len())?, "not all were locked: {shown}");
            break;
        }
        ensure!(begun.elapsed() < Duration::from_secs(3600), "the list is not worked off within an hour: {shown}");
    }
    let time = begun.elapsed().as_secs_f64();
    Ok(format!("{time:.1} s ({:.0}/s)", f64::from(u32::try_from(users.len())?) / time))
}
