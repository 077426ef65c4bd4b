//! A full SCIM sync of 10,000 users against a server of our own that answers at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Results;
use super::load::ms;
use crate::http::Client;
use crate::project::must;
use crate::server::{Settings, TOKEN};

/// The rows of the table.
pub const FULL: &str = "full SCIM sync of 10,000 users, all new to the target";
/// As above.
pub const AGAIN: &str = "… once more, nothing to be sent";

const USERS: usize = 10_000;
/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Measures on a server of its own.
pub fn measure(settings: &Settings<'_>, results: &mut Results) -> Result<()> {
    let server = settings.start()?;
    let mut api = Client::new(server.address).with_token(TOKEN);
    let count = |api: &mut Client| -> Result<usize> {
        let page = api.get("/api/v3/core/users/?page_size=1")?.json()?;
        let count = page.pointer("/pagination/count").and_then(Value::as_u64).context("no count of users")?;
        Ok(usize::try_from(count)?)
    };
    let mut users = count(&mut api)?;
    drop(server);
    if users < USERS {
        must(&mut settings.command(&["bench-seed", "--users", &USERS.to_string()]))?;
    }
    let server = settings.start()?;
    let mut api = Client::new(server.address).with_token(TOKEN);
    users = users.max(count(&mut api)?);
    let target = Target::start()?;
    let mapping = "goauthentik.io/providers/scim/user";
    let found = api.get(&format!("/api/v3/propertymappings/provider/scim/?managed={mapping}"))?.json()?;
    let mapping = found.pointer("/results/0/pk").context("the shipped mapping is missing")?;
    let group = "goauthentik.io/providers/scim/group";
    let found = api.get(&format!("/api/v3/propertymappings/provider/scim/?managed={group}"))?.json()?;
    let group = found.pointer("/results/0/pk").context("the shipped mapping is missing")?;
    let provider = api.create(
        "/api/v3/providers/scim/",
        &json!({
            "name": "bench-sync", "url": format!("http://{}/v2", target.address), "token": "bench",
            "discovery_enabled": false, "property_mappings": [mapping], "property_mappings_group": [group],
        }),
    )?;
    let pk = provider.get("pk").and_then(Value::as_i64).context("the provider has no number")?;
    wait(&mut api, pk)?;
    let begun = Instant::now();
    api.create(
        "/api/v3/core/applications/",
        &json!({"name": "bench-sync", "slug": "bench-sync", "backchannel_providers": [pk]}),
    )?;
    wait(&mut api, pk)?;
    let took = begun.elapsed();
    let made = target.made.load(Ordering::Relaxed);
    ensure!(made >= users, "only {made} of {users} users arrived");
    let each = |took: Duration| format!("{} ({users} users, {:.0}/s)", ms(took), users as f64 / took.as_secs_f64());
    results.insert(FULL, each(took));
    let begun = Instant::now();
    api.request("PATCH", &format!("/api/v3/providers/scim/{pk}/"), Some(&json!({"name": "bench-sync"})))?;
    wait(&mut api, pk)?;
    ensure!(target.made.load(Ordering::Relaxed) == made, "users were made twice");
    results.insert(AGAIN, each(begun.elapsed()));
    Ok(())
}

/// Until no full sync of the provider is on its way.
fn wait(api: &mut Client, pk: i64) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let path = format!("/api/v3/tasks/tasks/?actor_name=sync_full&rel_obj_id={pk}&page_size=100");
        let tasks = api.get(&path)?.json()?;
        let tasks = tasks.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
        let ended = |task: &Value| {
            task.get("state").and_then(Value::as_str).is_some_and(|state| ["done", "rejected"].contains(&state))
        };
        if !tasks.is_empty() && tasks.iter().all(ended) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the sync did not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Takes whatever it is given.
struct Target {
    address: std::net::SocketAddr,
    made: Arc<AtomicUsize>,
}

impl Target {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let (address, made) = (listener.local_addr()?, Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&made);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || serve(&stream, &counter));
            }
        });
        Ok(Self { address, made })
    }
}

fn serve(stream: &TcpStream, made: &AtomicUsize) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (status, answer) = answer(&first, &body, made);
        let text = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        writer.write_all(format!("{head}{text}").as_bytes()).ok()?;
    }
}

fn answer(first: &str, body: &[u8], made: &AtomicUsize) -> (&'static str, Value) {
    if first.contains("ServiceProviderConfig") {
        return ("200 OK", json!({"patch": {"supported": true}, "filter": {"supported": true}}));
    }
    let mut resource: Value = serde_json::from_slice(body).unwrap_or_else(|_| json!({}));
    if first.starts_with("POST") {
        let number = made.fetch_add(usize::from(first.contains("/Users")), Ordering::Relaxed);
        if let Some(map) = resource.as_object_mut() {
            let folder = if first.contains("/Users") { "user" } else { "group" };
            let name = map.get("displayName").and_then(Value::as_str).unwrap_or_default().to_owned();
            map.insert("id".to_owned(), format!("{folder}-{number}-{name}").into());
        }
        return ("201 Created", resource);
    }
    ("200 OK", resource)
}
