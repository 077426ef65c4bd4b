//! One browser walking a flow through the executor.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http::Client;

/// Whoever signs in.
pub struct Visitor {
    /// The browser.
    pub client: Client,
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: String,
}

impl Visitor {
    /// A whole sign-in by a browser that nobody has used yet.
    pub fn log_in(&mut self) -> Result<()> {
        self.client.forget_cookies();
        self.walk("default-authentication-flow", &mut Vec::new())
    }

    /// From the first challenge of a flow to its end; the latency of each request is noted.
    pub fn walk(&mut self, flow: &str, latencies: &mut Vec<Duration>) -> Result<()> {
        let path = format!("/api/v3/flows/executor/{flow}/?query=");
        let mut challenge = self.ask(&path, None, latencies)?;
        // More stages than any flow measured here has.
        for _ in 0..12 {
            let component = challenge.get("component").and_then(Value::as_str).unwrap_or_default();
            if component == "xak-flow-redirect" {
                return Ok(());
            }
            let answer = self.answer(component, &challenge)?;
            challenge = self.ask(&path, Some(&answer), latencies)?;
        }
        bail!("flow {flow} does not end")
    }

    fn answer(&self, component: &str, challenge: &Value) -> Result<Value> {
        if challenge.get("response_errors").is_some_and(|errors| errors.as_object().is_some_and(|it| !it.is_empty())) {
            bail!("{component} refused the answer: {challenge}");
        }
        let asks_password = challenge.get("password_fields").and_then(Value::as_bool).unwrap_or(false);
        Ok(match component {
            "ak-stage-identification" if asks_password => {
                json!({"component": component, "uid_field": self.username, "password": self.password})
            }
            "ak-stage-identification" => json!({"component": component, "uid_field": self.username}),
            "ak-stage-password" => json!({"component": component, "password": self.password}),
            "ak-stage-user-login" => json!({"component": component, "remember_me": false}),
            "ak-stage-dummy" => json!({"component": component}),
            _ => bail!("an unexpected challenge: {challenge}"),
        })
    }

    fn ask(&mut self, path: &str, answer: Option<&Value>, latencies: &mut Vec<Duration>) -> Result<Value> {
        let begun = Instant::now();
        let mut reply = match answer {
            None => self.client.get(path)?,
            Some(answer) => self.client.post(path, answer)?,
        };
        latencies.push(begun.elapsed());
        // Stages that ask nothing may each answer with where to go on.
        for _ in 0..12 {
            if reply.status != 302 {
                break;
            }
            let next = reply.header("location").context("a redirect without a target")?.to_owned();
            let begun = Instant::now();
            reply = self.client.get(&next)?;
            latencies.push(begun.elapsed());
        }
        if reply.status != 200 {
            bail!("{path}: status {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        }
        reply.json()
    }
}
