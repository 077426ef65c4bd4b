//! `weir bench-seed`: a large directory and a large configuration for measurements, without the hours that the API
//! would take.

use anyhow::Result;
use serde_json::json;
use weir_core::{Map, Resource as _};
use weir_resource::{Actor, Unit};
use weir_stages::dummy::DummyStage;
use weir_store::Val;

use super::{print, refusal, user};
use crate::server::Core;

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
    core.site.db.maintain().await?;
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
