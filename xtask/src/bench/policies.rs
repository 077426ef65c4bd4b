//! How many policies are evaluated in a second, native ones and expressions.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Results;
use crate::http::Client;
use crate::server::{Server, TOKEN};

/// The rows of the table.
pub const NATIVE: &str = "policy evaluations, native (password expiry), one client";
/// As above.
pub const EXPRESSION: &str = "policy evaluations, expression, one client";

/// Bindings of one target, so that what a request costs beside them hardly counts.
const BINDINGS: u32 = 100;

/// Measures by dry runs of a flow with many bindings.
pub fn measure(server: &Server, time: Duration, results: &mut Results) -> Result<()> {
    let native = json!({"name": "bench-native", "days": 36_500, "deny_only": true});
    results.insert(NATIVE, rate(server, "password_expiry", &native, time)?);
    let expression = json!({"name": "bench-expression", "expression": "return request.user.username != ''"});
    results.insert(EXPRESSION, rate(server, "expression", &expression, time)?);
    Ok(())
}

fn rate(server: &Server, kind: &str, policy: &Value, time: Duration) -> Result<String> {
    let mut api = Client::new(server.address).with_token(TOKEN);
    let policy = api.create(&format!("/api/v3/policies/{kind}/"), policy)?;
    let name = policy.get("name").and_then(Value::as_str).context("a policy without name")?;
    let body = json!({"name": name, "slug": name, "title": name, "designation": "stage_configuration"});
    let flow = api.create("/api/v3/flows/instances/", &body)?;
    for order in 0..BINDINGS {
        let binding = json!({"target": flow.get("pk"), "policy": policy.get("pk"), "order": order});
        api.create("/api/v3/policies/bindings/", &binding)?;
    }
    let user = api.get("/api/v3/core/users/me/")?.json()?;
    let user = user.pointer("/user/pk").cloned().context("nobody is signed in")?;
    let asked = json!({"user": user, "target": flow.get("pk")});
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < time {
        let answer = api.post("/api/v3/weir/dry_run/", &asked)?;
        ensure!(answer.status == 200, "the dry run was answered with status {}", answer.status);
        let passing = answer.json()?.pointer("/policies/passing") == Some(&json!(true));
        ensure!(passing, "the policies refuse");
        count += BINDINGS;
    }
    Ok(format!("{:.0}/s", f64::from(count) / begun.elapsed().as_secs_f64()))
}
