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
pub const DENIAL: &str = "… first refusal, at another node where there is one, since the lockdown began: p50 / p95 / max (let in after its end)";
/// As above.
pub const RACE: &str = "10,000 mints of 5 kinds over 256 connections beside a lockdown: made, survivors, tries per second (and the lockdown)";
/// As above.
pub const BULK: &str = "bulk lockdown of 10,000 users";

const FLOW: &str = "bench-lockdown";
const SESSIONS: &str = "1000";
const TOKENS: &str = "10000";
const MINTS: usize = 10_000;
const CLIENTS: usize = 256;
const DENIALS: usize = 20;
/// Those who ask the other node during one lockdown.
const ASKING: usize = 4;
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
    let record = lock_down(&one, &find(&one, large)?)?;
    results.insert(LARGE, ms(between(&record, "started", "completed")?));
    results.insert(DENIAL, denial(&one, other)?);
    drop(second);
    results.insert(RACE, race(settings, &one)?);
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

/// Seconds of the day in UTC, as records tell the time too.
#[expect(clippy::disallowed_methods, reason = "what a measurement compares with is the machine's own time")]
fn time_of_day() -> Result<f64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(now.as_secs_f64().rem_euclid(DAY))
}

const DAY: f64 = 86_400.0;

/// From one time of day to a later one.
fn since(from: f64, to: f64) -> Duration {
    let seconds = (to - from).rem_euclid(DAY);
    // A little before: the clock of a record is read before it is written.
    Duration::from_secs_f64(if seconds > DAY / 2.0 { 0.0 } else { seconds })
}

/// Asks the other node all the time with tokens of users while the one node locks them down, one after the other.
fn denial(one: &Server, other: &Server) -> Result<String> {
    let (mut waits, mut late) = (Vec::new(), 0);
    for number in 0..DENIALS {
        let name = format!("bench-denied-{number}");
        let user = admin(one).create("/api/v3/core/users/", &json!({"username": name, "name": name}))?;
        let key = token(one, &user, &name)?;
        let (wait, let_in) = refused(one, other, &user, &key)?;
        waits.push(wait);
        late += let_in;
    }
    waits.sort_unstable();
    let at = |share: usize| waits.get((waits.len() * share / 100).min(waits.len() - 1)).copied().unwrap_or_default();
    Ok(format!("{} / {} / {} ({late})", ms(at(50)), ms(at(95)), ms(at(100))))
}

/// From the begin of the lockdown, which is before its commit, to the first refusal; and how many requests were let in
/// that were sent after its end.
fn refused(one: &Server, other: &Server, user: &Value, key: &str) -> Result<(Duration, usize)> {
    let is_over = AtomicBool::new(false);
    let asking = || -> Result<Vec<(f64, f64, u16)>> {
        let mut client = Client::new(other.address).with_token(key);
        let mut asked = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let sent = time_of_day()?;
            let status = client.get("/api/v3/core/users/me/")?.status;
            asked.push((sent, time_of_day()?, status));
        }
        Ok(asked)
    };
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKING).map(|_| scope.spawn(asking)).collect();
        std::thread::sleep(Duration::from_millis(200));
        let record = lock_down(one, user);
        let end = time_of_day()?;
        std::thread::sleep(Duration::from_millis(100));
        is_over.store(true, Ordering::Relaxed);
        let mut asked = Vec::new();
        for asker in askers {
            asked.extend(asker.join().ok().context("an asking thread ended early")??);
        }
        let begun = instant(&record?, "started")?.rem_euclid(DAY);
        let refusals = asked.iter().filter(|(_, _, status)| *status == 403).map(|(_, at, _)| since(begun, *at));
        let first = refusals.min().context("nothing was refused")?;
        let is_late = |(sent, _, status): &&(f64, f64, u16)| *status == 200 && since(end, *sent) > Duration::ZERO;
        Ok((first, asked.iter().filter(is_late).count()))
    })
}

/// What is minted beside the lockdown.
#[derive(Clone, Copy)]
enum Mint {
    AppPassword,
    ApiToken,
    Session,
    Invitation,
    SourceSignIn,
}

const MINTED: [Mint; 5] = [Mint::AppPassword, Mint::ApiToken, Mint::Session, Mint::Invitation, Mint::SourceSignIn];

/// Flow that asks for a name only.
const QUICK: &str = "bench-quick";
const SOURCE: &str = "bench-source";

/// Signs in by name; whether that worked.
fn sign_in(client: &mut Client, name: &str) -> Result<bool> {
    let path = format!("/api/v3/flows/executor/{QUICK}/?query=");
    client.forget_cookies();
    client.get(&path)?;
    client.post(&path, &json!({"uid_field": name}))?;
    // The stage that signs in acts when it is looked at.
    let shown = client.get(&path)?;
    Ok(shown.status == 200 && shown.json()?.get("component") == Some(&json!("xak-flow-redirect")))
}

/// Tries once; whether something was made. Locked, and a database that was busy, are both no mint.
fn mint(client: &mut Client, what: Mint, name: &str) -> Result<bool> {
    let made = match what {
        Mint::Session => return sign_in(client, RACER),
        Mint::SourceSignIn => client.get(&format!("/source/oauth/login/{SOURCE}/"))?.status == 302,
        Mint::AppPassword | Mint::ApiToken => {
            let intent = if matches!(what, Mint::ApiToken) { "api" } else { "app_password" };
            client.post("/api/v3/core/tokens/", &json!({"identifier": name, "intent": intent}))?.status == 201
        }
        Mint::Invitation => {
            client.post("/api/v3/stages/invitation/invitations/", &json!({"name": name}))?.status == 201
        }
    };
    Ok(made)
}

const RACER: &str = "bench-race";

/// The flow that signs in, the source, and the right to invite.
fn prepare(server: &Server, user: &Value) -> Result<()> {
    let mut api = admin(server);
    let body = json!({"name": QUICK, "slug": QUICK, "title": QUICK, "designation": "authentication"});
    let flow = api.create("/api/v3/flows/instances/", &body)?;
    let who = json!({"name": "bench-quick-who", "user_fields": ["username"]});
    let stages = [("identification", who), ("user_login", json!({"name": QUICK}))];
    for (order, (kind, fields)) in stages.into_iter().enumerate() {
        let stage = api.create(&format!("/api/v3/stages/{kind}/"), &fields)?;
        let binding = json!({"target": flow.get("pk"), "stage": stage.get("pk"), "order": order});
        api.create("/api/v3/flows/bindings/", &binding)?;
    }
    let source = json!({
        "name": SOURCE, "slug": SOURCE, "provider_type": "openidconnect", "consumer_key": "k", "consumer_secret": "s",
        "authorization_url": "https://id.example.test/authorize", "access_token_url": "https://id.example.test/token",
        "profile_url": "https://id.example.test/me",
    });
    api.create("/api/v3/sources/oauth/", &source)?;
    let role = api.create("/api/v3/rbac/roles/", &json!({"name": RACER}))?;
    let role = role.get("pk").and_then(Value::as_str).context("a role without key")?;
    let right = json!({"permissions": ["authentik_stages_invitation.add_invitation"]});
    for (path, body) in [
        (format!("/api/v3/rbac/permissions/assigned_by_roles/{role}/assign/"), right),
        (format!("/api/v3/rbac/roles/{role}/add_user/"), json!({"pk": user.get("pk")})),
    ] {
        let answer = api.post(&path, &body)?;
        ensure!(answer.status < 300, "{path} was answered with status {}", answer.status);
    }
    Ok(())
}

fn race(settings: &Settings<'_>, server: &Server) -> Result<String> {
    let mut api = admin(server);
    let user = api.create("/api/v3/core/users/", &json!({"username": RACER, "name": "race"}))?;
    prepare(server, &user)?;
    let key = token(server, &user, RACER)?;
    let (tries, made, begun) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let is_locked = AtomicBool::new(false);
    let work = |worker: usize| -> Result<()> {
        let what = MINTED.get(worker % MINTED.len()).copied().unwrap_or(Mint::AppPassword);
        let mut client = Client::new(server.address);
        match what {
            Mint::Session => {}
            Mint::SourceSignIn => drop(sign_in(&mut client, RACER)?),
            _ => client = client.with_token(&key),
        }
        loop {
            let number = tries.fetch_add(1, Ordering::SeqCst);
            if number >= MINTS {
                return Ok(());
            }
            // Without their session people leave for a source as nobody in particular.
            let counts = !matches!(what, Mint::SourceSignIn) || !is_locked.load(Ordering::Relaxed);
            if mint(&mut client, what, &format!("bench-race-{worker}-{number}"))? && counts {
                made.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let work = &work;
    let (record, took) = std::thread::scope(|scope| -> Result<(Value, Duration)> {
        let workers: Vec<_> = (0..CLIENTS).map(|worker| scope.spawn(move || work(worker))).collect();
        while tries.load(Ordering::SeqCst) < MINTS / 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let record = lock_down(server, &user);
        is_locked.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().ok().context("a minting thread ended early")??;
        }
        let record = record?;
        let took = between(&record, "started", "completed")?;
        Ok((record, took))
    })?;
    let time = begun.elapsed().as_secs_f64();
    ensure!(record.get("id").is_some(), "the lockdown left no record");
    // A second lockdown counts what there is of every kind of the registry.
    must(&mut settings.command(&["user", "lockdown", RACER, "--reason", "what is left?"]))?;
    let pk = user.get("pk").context("a user without key")?;
    let records = api.get(&format!("/api/v3/weir/lockdowns/?user={pk}"))?.json()?;
    let kinds = records.pointer("/results/0/record/artefacts").and_then(Value::as_array).cloned().unwrap_or_default();
    let count = records.pointer("/pagination/count").and_then(Value::as_f64).unwrap_or_default();
    ensure!(kinds.len() > MINTED.len() && count > 1.5, "there is no second record: {records}");
    let left: u64 = kinds.iter().filter_map(|kind| kind.get("found").and_then(Value::as_u64)).sum();
    let (made, all) = (made.load(Ordering::SeqCst), f64::from(u32::try_from(MINTS)?));
    Ok(format!("{made} made, {left} survivors, {:.0}/s ({})", all / time, ms(took)))
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
