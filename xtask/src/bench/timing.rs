//! Whether the time of an answer tells who has an account: the same request about known and unknown names by turns,
//! compared by the Mann–Whitney test. It asks for no distribution, and its statistic is what an attacker gets:
//! the chance to order one request of each kind rightly, which is 50 % when time tells nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Results;
use crate::http::{Answer, Client};
use crate::server::{Server, TOKEN};

/// Where a name is typed, and which request is timed.
struct Scene {
    row: &'static str,
    slug: &'static str,
    designation: &'static str,
    /// Path below `/stages/` and fields; `{"$": n}` stands for the key of the n-th stage made before.
    stages: &'static [(&'static str, &'static str)],
    /// Which of the stages are bound, in order.
    bound: &'static [usize],
    /// The timed request: this many answers after the first look.
    timed: usize,
}

/// The rows of the table.
pub const IDENTIFICATION: &str = "known or unknown user told apart by time: identification";
/// As above.
pub const WITH_PASSWORD: &str = "… identification with password";
/// As above.
pub const PASSWORD_STEP: &str = "… password stage";
/// As above.
pub const VALIDATION: &str = "… identification, then device validation";
/// As above.
pub const MAIL: &str = "… recovery, mail sent";
/// As above.
pub const MAIL_AGAIN: &str = "… recovery, mail asked for again";

const IDENTIFY: &str = r#"{"user_fields": ["username", "email"]}"#;
const MAIL_STAGE: &str = r#"{"use_global_settings": true, "recovery_max_attempts": 1000000}"#;
const BACKENDS: &str = r#"{"backends": ["authentik.core.auth.InbuiltBackend"], "failed_attempts_before_cancel": 100}"#;

const SCENES: &[Scene] = &[
    Scene {
        row: IDENTIFICATION,
        slug: "timing-identification",
        designation: "authentication",
        stages: &[("identification", IDENTIFY), ("dummy", "{}")],
        bound: &[0, 1],
        timed: 1,
    },
    Scene {
        row: WITH_PASSWORD,
        slug: "timing-with-password",
        designation: "authentication",
        stages: &[
            ("password", BACKENDS),
            ("identification", r#"{"user_fields": ["username", "email"], "password_stage": {"$": 0}}"#),
        ],
        bound: &[1],
        timed: 1,
    },
    Scene {
        row: PASSWORD_STEP,
        slug: "timing-password",
        designation: "authentication",
        stages: &[("identification", IDENTIFY), ("password", BACKENDS)],
        bound: &[0, 1],
        timed: 2,
    },
    Scene {
        row: VALIDATION,
        slug: "timing-validation",
        designation: "authentication",
        stages: &[("identification", IDENTIFY), ("authenticator/validate", r#"{"not_configured_action": "deny"}"#)],
        bound: &[0, 1],
        timed: 1,
    },
    Scene {
        row: MAIL,
        slug: "timing-mail",
        designation: "recovery",
        stages: &[("identification", IDENTIFY), ("email", MAIL_STAGE)],
        bound: &[0, 1],
        timed: 1,
    },
    Scene {
        row: MAIL_AGAIN,
        slug: "timing-mail-again",
        designation: "recovery",
        stages: &[("identification", IDENTIFY), ("email", MAIL_STAGE)],
        bound: &[0, 1],
        timed: 2,
    },
];

/// Tries every scene with this many requests of each kind.
pub fn measure(server: &Server, rounds: usize, results: &mut Results) -> Result<()> {
    let mut api = Client::new(server.address).with_token(TOKEN);
    for number in 0..rounds {
        let username = name("known", number);
        let user = json!({"username": username, "name": username, "email": format!("{username}@example.test")});
        let user = api.create("/api/v3/core/users/", &user)?;
        let path = format!("/api/v3/core/users/{}/set_password/", user.get("pk").unwrap_or(&Value::Null));
        let answer = api.post(&path, &json!({"password": "correct horse battery"}))?;
        ensure!(answer.status == 204, "setting a password: status {}", answer.status);
    }
    for scene in SCENES {
        make_flow(&mut api, scene)?;
        let (known, unknown) = scene.run(server, rounds).with_context(|| scene.slug.to_owned())?;
        results.insert(scene.row, Comparison::of(&known, &unknown).to_string());
    }
    Ok(())
}

/// Both kinds have names of the same shape and length.
fn name(kind: &str, number: usize) -> String {
    let letter = if kind == "known" { 'a' } else { 'b' };
    format!("timing-{letter}-{number:05}")
}

fn make_flow(api: &mut Client, scene: &Scene) -> Result<()> {
    let slug = scene.slug;
    let flow = json!({"name": slug, "slug": slug, "title": slug, "designation": scene.designation});
    let flow = api.create("/api/v3/flows/instances/", &flow)?;
    let mut made: Vec<Value> = Vec::new();
    for (number, (path, fields)) in scene.stages.iter().enumerate() {
        let mut body: Value = serde_json::from_str(fields)?;
        let fields = body.as_object_mut().context("fields of a stage")?;
        for value in fields.values_mut() {
            if let Some(index) = value.get("$").and_then(Value::as_u64) {
                *value = made.get(usize::try_from(index)?).cloned().context("a stage made before")?;
            }
        }
        fields.insert("name".to_owned(), format!("{slug}-{number}").into());
        let stage = api.create(&format!("/api/v3/stages/{path}/"), &body)?;
        made.push(stage.get("pk").cloned().context("a stage without key")?);
    }
    for (order, index) in scene.bound.iter().enumerate() {
        let binding = json!({"target": flow.get("pk"), "stage": made.get(*index), "order": order});
        api.create("/api/v3/flows/bindings/", &binding)?;
    }
    Ok(())
}

impl Scene {
    fn run(&self, server: &Server, rounds: usize) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        let mut client = Client::new(server.address);
        let (mut likeness, mut likeness_unknown) = (None, None);
        for number in 0..rounds {
            // a b b a: what drifts over the run falls on both alike.
            let order = if number % 2 == 0 { ["known", "unknown"] } else { ["unknown", "known"] };
            for kind in order {
                let (time, shape) = self.visit(&mut client, &name(kind, number))?;
                let (times, seen) =
                    if kind == "known" { (&mut known, &mut likeness) } else { (&mut unknown, &mut likeness_unknown) };
                times.push(time);
                *seen = Some(shape);
            }
        }
        ensure!(likeness == likeness_unknown, "the answers differ: {likeness:?} and {likeness_unknown:?}");
        Ok((known, unknown))
    }

    /// Walks to the timed request. Gives its time, redirect included, and what the answer looks like without the name.
    fn visit(&self, client: &mut Client, username: &str) -> Result<(Duration, String)> {
        client.forget_cookies();
        let path = format!("/api/v3/flows/executor/{}/?query=", self.slug);
        let mut challenge = client.get(&path)?.json()?;
        let mut time = Duration::ZERO;
        for _ in 0..self.timed {
            let component = challenge.get("component").and_then(Value::as_str).unwrap_or_default();
            let answer = match component {
                "ak-stage-identification" => json!({"uid_field": username, "password": "a wrong password"}),
                "ak-stage-password" => json!({"password": "a wrong password"}),
                _ => json!({}),
            };
            let begun = Instant::now();
            let reply = followed(client, &path, &answer)?;
            time = begun.elapsed();
            challenge = reply.json()?;
        }
        let shape = challenge.to_string().replace(username, "NAME");
        // Nothing of a single visit: request ids and avatars made of the name.
        let keys: Vec<&String> = challenge.as_object().map(|map| map.keys().collect()).unwrap_or_default();
        let errors = challenge.get("response_errors").map(Value::to_string).unwrap_or_default();
        let message = challenge.get("error_message").map(Value::to_string).unwrap_or_default();
        ensure!(!shape.contains("ak-stage-flow-error"), "a stage failed: {shape}");
        Ok((time, format!("{keys:?} {errors} {message}")))
    }
}

fn followed(client: &mut Client, path: &str, answer: &Value) -> Result<Answer> {
    let reply = client.post(path, answer)?;
    match reply.header("location") {
        Some(next) if reply.status == 302 => {
            let next = next.to_owned();
            client.get(&next)
        }
        _ => Ok(reply),
    }
}

/// Two samples compared.
pub struct Comparison {
    medians: [Duration; 2],
    /// The chance that a random one of the first took longer than a random one of the second.
    chance: f64,
    /// Its distance from one half in standard deviations, were there no difference.
    z: f64,
}

impl Comparison {
    /// Compares.
    pub fn of(first: &[Duration], second: &[Duration]) -> Self {
        let mut all: Vec<(Duration, bool)> = first.iter().map(|time| (*time, true)).collect();
        all.extend(second.iter().map(|time| (*time, false)));
        all.sort_unstable();
        let mut rank_sum = 0.0;
        let mut rank = 0.0;
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            let (size, ours) = (count(group.len()), count(group.iter().filter(|(_, is_first)| *is_first).count()));
            // Equal times share the mean of their ranks.
            rank_sum += ours * (rank + f64::midpoint(1.0, size));
            rank += size;
        }
        let (n, m) = (count(first.len()), count(second.len()));
        let above = rank_sum - n * (n + 1.0) / 2.0;
        let spread = (n * m * (n + m + 1.0) / 12.0).sqrt();
        Self { medians: [median(first), median(second)], chance: above / (n * m), z: (above - n * m / 2.0) / spread }
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [known, unknown] = self.medians.map(|time| time.as_secs_f64() * 1000.0);
        write!(f, "{known:.2} ms / {unknown:.2} ms, {:.1} % (z {:+.1})", self.chance * 100.0, self.z)
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are far fewer than 2^52")]
fn count(items: usize) -> f64 {
    items as f64
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
