//! `weir user lockdown`, `weir user unlock` and `weir lockdown`: locking accounts without signing in, and checking the
//! records of it, also far from the server.

use std::{io::Read as _, path::Path};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use uuid::Uuid;
use weir_resource::{Actor, Unit};
use weir_stages::account_lockdown::{Done, Order, Switches, carry_out, record, unlock as opening};

use super::{Usage, commands, print, refusal, user};
use crate::{config::Config, server::Core};

/// Locks an account, beside a running server or without one: every request looks at the database.
pub async fn lock(core: &Core, username: &str, reason: &str) -> Result<()> {
    let reason = given(reason)?;
    let account = user::find(core, username).await?;
    let order = Order { user: account.id, reason, switches: Switches::ALL, batch: None, claim: None };
    let unit = Unit::new(&core.site, Actor::system());
    match carry_out(&core.engine, unit, &order).await.map_err(refusal)? {
        Done::Locked(lockdown) => {
            print(&format!("locked {username}; record {}", lockdown.id))?;
            print(&summary(&lockdown.document))
        }
        Done::NoTarget | Done::Beaten => bail!("{username} is no account that can be locked"),
    }
}

/// Lets an account sign in again.
pub async fn unlock(core: &Core, username: &str, reason: &str) -> Result<()> {
    let reason = given(reason)?;
    let account = user::find(core, username).await?;
    let mut unit = Unit::new(&core.site, Actor::system());
    let before = opening::unlock(&mut unit, account.id, &reason).await.map_err(refusal)?;
    unit.commit().await.map_err(refusal)?;
    if before.is_active {
        return print(&format!("{username} was not locked"));
    }
    print(&format!("unlocked {username}; they need a new password: `weir user recovery-link {username}`"))
}

fn given(reason: &str) -> Result<String> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Usage("a reason is needed".to_owned()).into());
    }
    Ok(reason.to_owned())
}

/// One line for each kind that there was something of, and one for each system that keeps a copy.
fn summary(document: &Value) -> String {
    let list = |name: &str| document.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_i64).unwrap_or(0);
    let mut lines = Vec::new();
    for kind in list("artefacts").iter().filter(|kind| number(kind, "found") > 0) {
        let (found, ended, remaining) = (number(kind, "found"), number(kind, "ended"), number(kind, "remaining"));
        lines.push(format!("  {}: {found} found, {ended} ended, {remaining} remaining", text(kind, "kind")));
    }
    lines.extend(list("sync").iter().map(|to| format!("  {}: {}", text(to, "name"), text(to, "state"))));
    if lines.is_empty() {
        lines.push("  nothing was left to end".to_owned());
    }
    lines.join("\n")
}

/// Checks a record. With a key it needs neither settings nor database.
pub async fn verify(config: &Config, file: &Path, key: Option<&Path>) -> Result<()> {
    let found = json(file)?;
    let key = match key {
        Some(path) => json(path)?,
        None => public_key(&*commands::open(config).await?).await?,
    };
    record::verify(&key, &found).with_context(|| file.display().to_string())?;
    let about = |path: &str| found.pointer(path).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
    let part = |path: &str| about(path).unwrap_or_default();
    print(&format!(
        "good: lockdown {} of {} at {}",
        part("/record/id"),
        part("/record/user/username"),
        part("/record/started")
    ))
}

fn json(path: &Path) -> Result<Value> {
    let name = path.display();
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).context("the standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| name.to_string())?;
    }
    record::read(&text).map_err(|error| Usage(format!("{name}: no JSON: {error}")).into())
}

async fn public_key(core: &Core) -> Result<Value> {
    let mut unit = Unit::new(&core.site, Actor::system());
    let seal = record::seal(&mut unit).await.map_err(refusal)?;
    unit.commit().await.map_err(refusal)?;
    Ok(seal.jwk().clone())
}

/// Prints the public key.
pub async fn key(core: &Core) -> Result<()> {
    print(&public_key(core).await?.to_string())
}

/// Prints a record.
pub async fn show(core: &Core, id: &str) -> Result<()> {
    let id: Uuid = id.parse().map_err(|_| Usage(format!("{id:?} is no key of a record")))?;
    let found = record::find(&core.site.db, id).await.map_err(refusal)?;
    print(&found.with_context(|| format!("there is no record {id}"))?.shown().to_string())
}
