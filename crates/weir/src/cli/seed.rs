//! `weir bench-seed`: a large directory and a large configuration for measurements, without the hours that the API
//! would take.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use weir_core::{Map, Resource as _};
use weir_resource::{Actor, Unit};
use weir_stages::dummy::DummyStage;
use weir_store::Val;

use super::{print, refusal, user};
use crate::server::{self, Core};

/// Users of one statement, and objects of one transaction.
const BATCH: u32 = 500;

/// Adds users and dummy stages.
pub async fn run(core: &Core, users: u32, objects: u32) -> Result<()> {
    for first in (0..users).step_by(BATCH as usize) {
        add_users(core, first, BATCH.min(users - first)).await?;
    }
    for first in (0..objects).step_by(BATCH as usize) {
        add_objects(core, first, BATCH.min(objects - first)).await?;
    }
    core.site.db.settle().await?;
    print(&format!("added {users} users and {objects} objects"))
}

/// One statement: a hundred thousand single ones would take minutes.
async fn add_users(core: &Core, first: u32, count: u32) -> Result<()> {
    const COLUMNS: usize = 8;
    let now = core.site.clock.now();
    let mut sql = String::from(
        "INSERT INTO identity_user (uuid, username, username_lower, name, email, email_lower, password_change_date, \
         date_joined, last_updated) VALUES ",
    );
    let mut vals: Vec<Val> = Vec::new();
    for row in 0..count {
        let number = first + row;
        let name = format!("seeded-{number:07}");
        let email = format!("{name}@example.test");
        let at = vals.len();
        let marks: Vec<String> = (at + 1..=at + COLUMNS).map(|mark| format!("${mark}")).collect();
        sql.push_str(if row == 0 { "" } else { ", " });
        sql.push_str(&format!("({}, ${})", marks.join(", "), at + COLUMNS));
        vals.extend([
            core.site.random.uuid().into(),
            name.clone().into(),
            name.into(),
            format!("Seeded User {number}").into(),
            email.clone().into(),
            email.into(),
            now.into(),
            now.into(),
        ]);
    }
    let mut tx = core.site.db.tx();
    tx.write(&sql, &vals).await?;
    Ok(tx.commit().await?)
}

async fn add_objects(core: &Core, first: u32, count: u32) -> Result<()> {
    let mut unit = Unit::new(&core.site, Actor::system());
    let kind = weir_identity::kind::<DummyStage>(&core.site).map_err(refusal)?;
    debug_assert_eq!(kind.model, DummyStage::MODEL);
    for number in first..first + count {
        let body = Map::from_iter([("name".to_owned(), json!(format!("seeded-{number:07}")))]);
        unit.create(kind, &body, None).await.map_err(refusal)?;
    }
    unit.commit().await.map_err(refusal)
}

/// Sessions and tokens of one user. Nobody knows their keys: they are there to be ended.
pub async fn artefacts(core: &Core, of: &str, sessions: u32, tokens: u32) -> Result<()> {
    if sessions + tokens == 0 {
        return Ok(());
    }
    let (account, now) = (user::find(core, of).await?, core.site.clock.now());
    let end = now + chrono::TimeDelta::days(30);
    let mut tx = core.site.db.tx();
    for _ in 0..sessions {
        let (digest, uuid) = (core.site.random.text(64), core.site.random.uuid());
        let sql = "INSERT INTO identity_session (key_digest, uuid, \"user\", security_epoch, expires, last_used, created) \
                   VALUES ($1, $2, $3, $4, $5, $6, $6)";
        let vals =
            [digest.into(), uuid.into(), account.id.into(), account.security_epoch.into(), end.into(), now.into()];
        tx.write(sql, &vals).await?;
    }
    for _ in 0..tokens {
        let (id, key) = (core.site.random.uuid(), core.site.random.text(60));
        let sql = "INSERT INTO identity_token (id, identifier, key_digest, key, \"user\", expires, security_epoch, created) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let vals: [Val; 8] = [
            id.into(),
            format!("seeded-{id}").into(),
            weir_identity::digest(&key).into(),
            key.into(),
            account.id.into(),
            end.into(),
            account.security_epoch.into(),
            now.into(),
        ];
        tx.write(sql, &vals).await?;
    }
    tx.commit().await?;
    print(&format!("added {sessions} sessions and {tokens} tokens of {of}"))
}

/// Events in transactions of their own that are measured one by one.
const SINGLE: u32 = 1000;
/// Events that are sealed together.
const STRETCH: u32 = 50_000;

/// Events of a year. The first ones are written as the server does, the others as fast as possible; all are sealed.
pub async fn events(core: &Core, count: u32) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let (site, single) = (&core.site, SINGLE.min(count));
    let begun = std::time::Instant::now();
    for number in 0..single {
        let mut unit = Unit::new(site, Actor::system());
        let context = json!({"auth_method": "password", "number": number});
        unit.event(weir_events::Event::new("login", "authentik_core", context)).await.map_err(refusal)?;
        unit.commit().await.map_err(refusal)?;
    }
    print(&format!("single {:.0}", f64::from(single) / begun.elapsed().as_secs_f64().max(1e-6)))?;
    server::events::seal_waiting(core).await?;
    let (mut writing, mut sealing) = (Duration::ZERO, Duration::ZERO);
    for first in (single..count).step_by(STRETCH as usize) {
        let begun = std::time::Instant::now();
        let end = count.min(first + STRETCH);
        for batch in (first..end).step_by(BATCH as usize) {
            add_events(core, batch, BATCH.min(end - batch), count).await?;
        }
        writing += begun.elapsed();
        // As a server does: soon, while the rows are at hand.
        let begun = std::time::Instant::now();
        server::events::seal_waiting(core).await?;
        sealing += begun.elapsed();
    }
    let rate = |took: Duration| f64::from(count - single) / took.as_secs_f64().max(1e-6);
    print(&format!("bulk {:.0}\nsealed {:.0}", rate(writing), rate(sealing)))?;
    site.db.settle().await?;
    Ok(weir_events::forget_statistics(&site.db).await?)
}

async fn add_events(core: &Core, first: u32, count: u32, all: u32) -> Result<()> {
    const COLUMNS: usize = 12;
    const ACTIONS: [&str; 4] = ["login", "login_failed", "model_updated", "authorize_application"];
    let now = core.site.clock.now();
    let year = chrono::TimeDelta::days(365);
    let mut sql = String::from(
        "INSERT INTO audit_event (id, \"user\", user_id, username, action, app, context, client_ip, brand, created, \
         expires, application) VALUES ",
    );
    let mut vals: Vec<Val> = Vec::new();
    for row in 0..count {
        let number = first + row;
        let user = number % 5000;
        let name = format!("seeded-{user:07}");
        let action = ACTIONS.iter().cycle().nth(number as usize % 13).copied().unwrap_or("login");
        let context = json!({
            "auth_method": "password", "number": number,
            "http_request": {"path": "/api/v3/flows/executor/default/", "method": "POST", "user_agent": "Mozilla/5.0"},
            "authorized_application": {"pk": format!("{:032x}", number % 50), "name": format!("App {}", number % 50)},
        });
        let created = now - year + year * i32::try_from(number / 1000)? / i32::try_from(all / 1000 + 1)?;
        let at = vals.len();
        let marks: Vec<String> = (at + 1..=at + COLUMNS).map(|mark| format!("${mark}")).collect();
        sql.push_str(if row == 0 { "" } else { ", " });
        sql.push_str(&format!("({})", marks.join(", ")));
        vals.extend([
            core.site.random.uuid().into(),
            json!({"pk": user, "username": name, "email": format!("{name}@example.test")}).into(),
            i64::from(user).into(),
            name.into(),
            action.into(),
            "authentik_core".into(),
            context.into(),
            format!("192.0.2.{}", number % 250).into(),
            json!({"name": "Default"}).into(),
            created.into(),
            (now + year).into(),
            format!("{:032x}", number % 50).into(),
        ]);
    }
    let mut tx = core.site.db.tx();
    tx.write(&sql, &vals).await?;
    Ok(tx.commit().await?)
}
