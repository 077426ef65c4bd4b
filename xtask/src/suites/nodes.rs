//! Two nodes on one PostgreSQL: they share nothing else, and nobody in front of them should notice which one answers.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::{NO_POSTGRES, Outcome, Session, rust};
use crate::http::Client;
use crate::server::{Server, Settings, TOKEN};

/// How long a configuration change may take to reach the other node.
const PROMISED: Duration = Duration::from_secs(1);

pub fn suite(session: &Session<'_>) -> Result<Outcome> {
    let Some(postgres) = &session.postgres else { return Ok(Outcome::Missing(NO_POSTGRES.to_owned())) };
    rust::build_server(session.project)?;
    let database = postgres.create_database("weir_nodes")?;
    let start = |name: &str| {
        let folder = session.project.empty_scratch(name)?;
        Settings { binary: &session.binary(), folder: &folder, database: Some(&database), more: &[] }.start()
    };
    let (one, other) = (start("node-one")?, start("node-other")?);
    let test = a_flow_crosses_nodes(&one, &other).and_then(|()| changes_reach_the_other_node(&one, &other));
    if test.is_err() {
        eprintln!("-- the one node's log:\n{}\n-- the other's:\n{}", one.log_tail(), other.log_tail());
    }
    test.map(|()| Outcome::Passed)
}

/// Each request of one browser goes to the node that did not answer the last one.
fn a_flow_crosses_nodes(one: &Server, other: &Server) -> Result<()> {
    let mut api = Client::new(one.address).with_token(TOKEN);
    let flow = json!({"name": "crossing", "slug": "crossing", "title": "x", "designation": "stage_configuration"});
    let flow = api.create("/api/v3/flows/instances/", &flow)?;
    let identification = json!({"name": "crossing-identification", "user_fields": ["username"]});
    let stages = [
        api.create("/api/v3/stages/identification/", &identification)?,
        api.create("/api/v3/stages/dummy/", &json!({"name": "crossing-dummy"}))?,
    ];
    for (order, stage) in stages.iter().enumerate() {
        let binding = json!({"target": flow.get("pk"), "stage": stage.get("pk"), "order": order});
        api.create("/api/v3/flows/bindings/", &binding)?;
    }
    wait_until(other, "/api/v3/flows/instances/crossing/", |flow| {
        flow.get("stages").and_then(Value::as_array).is_some_and(|stages| stages.len() == 2)
    })?;

    let mut browser = Client::new(one.address);
    let path = "/api/v3/flows/executor/crossing/?query=";
    expect(&browser.get(path)?.json()?, "ak-stage-identification")?;
    browser.turn_to(other.address);
    let answer = browser.post(path, &json!({"component": "ak-stage-identification", "uid_field": "akadmin"}))?;
    ensure!(answer.status == 302, "the identification was answered with status {}", answer.status);
    browser.turn_to(one.address);
    expect(&browser.get(path)?.json()?, "ak-stage-dummy")?;
    browser.turn_to(other.address);
    expect(&browser.post(path, &json!({"component": "ak-stage-dummy"}))?.json()?, "xak-flow-redirect")?;
    eprintln!("a flow begun on one node was finished on the other");
    Ok(())
}

fn changes_reach_the_other_node(one: &Server, other: &Server) -> Result<()> {
    let mut slowest = Duration::ZERO;
    for number in 0..10 {
        let (from, to) = if number % 2 == 0 { (one, other) } else { (other, one) };
        let title = format!("title {number}");
        let mut api = Client::new(from.address).with_token(TOKEN);
        let answer = api.request("PATCH", "/api/v3/flows/instances/crossing/", Some(&json!({"title": title})))?;
        ensure!(answer.status == 200, "a change was answered with status {}", answer.status);
        let has_title = |flow: &Value| flow.get("title").and_then(Value::as_str) == Some(title.as_str());
        slowest = slowest.max(wait_until(to, "/api/v3/flows/instances/crossing/", has_title)?);
    }
    eprintln!("ten changes reached the other node; the slowest took {} ms", slowest.as_millis());
    ensure!(slowest < PROMISED, "a change took {} ms to reach the other node", slowest.as_millis());
    Ok(())
}

/// Asks until the answer is as it should be; how long that took.
fn wait_until(server: &Server, path: &str, is_there: impl Fn(&Value) -> bool) -> Result<Duration> {
    let begun = Instant::now();
    let mut api = Client::new(server.address).with_token(TOKEN);
    while begun.elapsed() < Duration::from_secs(10) {
        let answer = api.get(path)?;
        if answer.status == 200 && is_there(&answer.json()?) {
            return Ok(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("the change did not reach the other node within 10 s: {path}")
}

fn expect(challenge: &Value, component: &str) -> Result<()> {
    ensure!(challenge.get("component").and_then(Value::as_str) == Some(component), "not {component}: {challenge}");
    Ok(())
}
